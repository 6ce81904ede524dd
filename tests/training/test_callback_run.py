"""Repeats of one configuration that run at the same time, and repeats that were cut off."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.connection import Connection
from pathlib import Path

from bench.core.outcome import outcome_record
from bench.core.records.run import Status
from bench.training.callback_run import CallbackRun

FORKING = multiprocessing.get_context("fork")


def opened(results: Path, **options: int) -> CallbackRun:
    run = CallbackRun(results, {"lr": 0.1}, options.get("seed", 0), options.get("repeat"))
    run.open()
    return run


def end(run: CallbackRun, status: Status = "ok") -> None:
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
