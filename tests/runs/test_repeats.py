"""Runs that start at once get different repeats; one that was cut off gives its own back."""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from bench.core.files import StoreError
from bench.core.outcome import outcome_record
from bench.core.process import Process
from bench.core.records.run import RunIdentity, Status
from bench.core.store import create_run_folder, new_identity, write_record
from bench.runs.own_run import OwnRun
from bench.runs.repeats import claim_free_repeat

OPTIONS: dict[str, Any] = {
    "target": {"metric": "accuracy", "value": 0.9},
    "seed": 0,
    "repeat": None,
}
FORKING = multiprocessing.get_context("fork")


def opened(results: Path, **options: int) -> OwnRun:
    run = OwnRun("lightning", results=results, config={"lr": 0.1}, **{**OPTIONS, **options})
    run.open(0.0)
    return run


def end(run: OwnRun, status: Status = "ok") -> None:
    run.curve.close()
    write_record(run.folder, outcome_record(run.identity, run.config, [], status=status))


def test_runs_at_the_same_time_have_different_repeats(tmp_path: Path) -> None:
    first, second = opened(tmp_path), opened(tmp_path)
    assert (first.identity.repeat, second.identity.repeat) == (0, 1)
    assert opened(tmp_path, seed=1).identity.repeat == 0
    end(first, "interrupted")  # its number is taken again
    third, fourth = opened(tmp_path), opened(tmp_path)
    assert (third.identity.repeat, fourth.identity.repeat) == (0, 2)
    end(second, "failed")  # a failure counts as a run
    end(third, "interrupted")
    assert [opened(tmp_path).identity.repeat for _ in range(2)] == [0, 3]


def test_a_number_that_was_given_is_not_taken_meanwhile(tmp_path: Path) -> None:
    given, again = opened(tmp_path, repeat=0), opened(tmp_path, repeat=0)
    assert (given.identity.repeat, again.identity.repeat) == (0, 0)
    end(again, "interrupted")
    assert opened(tmp_path).identity.repeat == 1  # the first one goes on
    end(given)


def test_runs_without_a_claim_count_too(tmp_path: Path) -> None:
    """Those of an earlier version, or of a folder that was copied here."""
    run = opened(tmp_path)
    end(run)
    for claim in (tmp_path / ".repeats").iterdir():
        claim.unlink()
    assert opened(tmp_path).identity.repeat == 1
    (run.folder / "run.json").write_text("damaged")
    assert claim_free_repeat(tmp_path, run.identity).repeat == 2


def _begin(results: Path, pipe: Connection) -> None:
    pipe.recv()
    run = opened(results)
    pipe.send(run.identity.repeat)
    pipe.recv()
    os._exit(1)  # as if it was killed


def test_processes_do_not_share_a_number_and_a_killed_one_gives_it_back(tmp_path: Path) -> None:
    pipes, processes = [], []
    for _ in range(4):
        ours, theirs = FORKING.Pipe()
        process = FORKING.Process(target=_begin, args=(tmp_path, theirs), daemon=True)
        process.start()
        pipes.append(ours)
        processes.append(process)
    for pipe in pipes:
        pipe.send("begin")
    assert sorted(pipe.recv() for pipe in pipes) == [0, 1, 2, 3]
    for pipe, process in zip(pipes, processes, strict=True):
        pipe.send("die")
        process.join()
    assert opened(tmp_path).identity.repeat == 0


@pytest.fixture
def identity() -> RunIdentity:
    return new_identity("own", "0123456789ab", 0, 0)


def test_a_run_of_another_host_keeps_its_repeat_until_its_record_says_interrupted(
    tmp_path: Path, identity: RunIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = Process(host="another", pid=1, start_ticks=0)
    monkeypatch.setattr(Process, "current", lambda: elsewhere)
    assert claim_free_repeat(tmp_path, identity).repeat == 0
    monkeypatch.undo()
    other = replace(identity, run_id=f"{identity.run_id[:-1]}x")
    assert claim_free_repeat(tmp_path, other).repeat == 1
    config = {"seed": 0, "repeat": 0}
    folder = create_run_folder(tmp_path, identity, config)
    write_record(folder, outcome_record(identity, config, [], status="interrupted"))
    assert claim_free_repeat(tmp_path, other).repeat == 0


def test_a_claim_that_is_being_written_counts(tmp_path: Path, identity: RunIdentity) -> None:
    claim_free_repeat(tmp_path, identity)
    (claim,) = (tmp_path / ".repeats").iterdir()
    claim.write_text("")
    assert claim_free_repeat(tmp_path, identity).repeat == 1


def test_results_that_cannot_be_written_are_named(tmp_path: Path, identity: RunIdentity) -> None:
    (tmp_path / ".repeats").write_text("no folder")
    with pytest.raises(StoreError, match=r"results=.*cannot write there"):
        claim_free_repeat(tmp_path, identity)
