"""Repeats of runs at the same time and of runs that were cut off, and what a run is charged by."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from bench.core.outcome import outcome_record
from bench.core.records.run import Status
from bench.runs.own_run import OwnRun

OPTIONS: dict[str, Any] = {
    "target": {"metric": "accuracy", "value": 0.9},
    "results": "results",
    "seed": None,
    "repeat": None,
}
FORKING = multiprocessing.get_context("fork")


def opened(results: Path, **options: int) -> OwnRun:
    given = {**OPTIONS, "results": results, "seed": 0, **options}
    run = OwnRun("lightning", config={"lr": 0.1}, **given)
    run.open(0.0)
    return run


def end(run: OwnRun, status: Status = "ok") -> None:
    run.curve.close()
    run.write(outcome_record(run.identity, run.config, [], status=status))


def test_runs_at_the_same_time_have_different_repeats(tmp_path: Path) -> None:
    first, second = opened(tmp_path), opened(tmp_path)
    assert (first.identity.repeat, second.identity.repeat) == (0, 1)
    assert opened(tmp_path, seed=1).identity.repeat == 0
    end(first, "interrupted")  # its number is taken again
    third, fourth = opened(tmp_path), opened(tmp_path)
    assert (third.identity.repeat, fourth.identity.repeat) == (0, 2)


def test_a_number_that_was_given_is_not_taken_meanwhile(tmp_path: Path) -> None:
    given = opened(tmp_path, repeat=0)
    assert opened(tmp_path).identity.repeat == 1
    end(given)


def _begin(results: Path, pipe: Connection) -> None:
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
    assert sorted(pipe.recv() for pipe in pipes) == [0, 1, 2, 3]
    for pipe, process in zip(pipes, processes, strict=True):
        pipe.send("die")
        process.join()
    assert opened(tmp_path).identity.repeat == 0


def test_a_run_is_charged_by_the_default_price_and_grid_or_by_its_own(tmp_path: Path) -> None:
    run = opened(tmp_path)
    assert run.config["price"]["name"] == "this_machine"
    assert run.config["grid"] == {"country_iso_code": "USA"}
    german = OwnRun("own", config={"grid": {"country_iso_code": "DEU"}}, **OPTIONS)
    assert german.config["grid"] == {"country_iso_code": "DEU"}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"price": 5}, r"config\['price'\]=5: must be a mapping, as in conf/price/.*rename"),
        ({"price": {"usd_per_hour": 1.0}}, r"config\['price'\]: .*missing .*'name'"),
        ({"grid": {"country_iso_code": "ZZZ"}}, "grid.country_iso_code=ZZZ: no such country"),
        ({"grid": {"rows": 3}}, "grid.rows: no such key"),
    ],
)
def test_what_cannot_be_charged_is_refused_in_one_line(config: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refusal:
        OwnRun("own", config=config, **OPTIONS)
    assert "\n" not in str(refusal.value)
