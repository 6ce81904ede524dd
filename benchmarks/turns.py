"""Trains in several ways by turns: a process for each way, of which one at a time is at work.

Turns follow one another within a second, so whatever slows the machine down for longer than that
slows all ways down alike. Each way is in a process of its own, so none shares an interpreter with
the threads of another. The processes are spawned: forks of one process would share where it has its
code and its libraries in memory, so repeating them would not show how much that matters.
"""

from __future__ import annotations

import gc
import math
import multiprocessing
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.tasks.loaders import Batch

_MS_PER_S = 1e3


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a training ended: its last validation loss in nats, and its number of evaluations."""

    loss: float
    num_evaluations: int


class Pacer:
    """Lets a training run one turn at a time, and times each.

    A turn is a number of steps with everything between them. It ends where the training asks for
    the batch of the next turn, so it includes the evaluations that fall among its steps.
    """

    def __init__(self, parent: Connection, turn_steps: int) -> None:
        """Begin before the first batch.

        Args:
            parent: Gives the turns, and gets the seconds and CPU seconds of each.
            turn_steps: Steps of a turn.
        """
        self._parent = parent
        self._turn_steps = turn_steps
        self._num_batches = 0
        self._began_s = (math.nan, math.nan)
        self._loss = math.nan
        self._num_evaluations = 0

    def batch(self, batch: Batch) -> Batch:
        """Hand a batch on; the first of a turn has to wait for it."""
        if self._num_batches % self._turn_steps == 0:
            self._parent.send(np.subtract(_now_s(), self._began_s))
            self._parent.recv()
            self._began_s = _now_s()
        self._num_batches += 1
        return batch

    def evaluated(self, loss: float) -> None:
        """Note an evaluation and its loss in nats."""
        self._loss = loss
        self._num_evaluations += 1

    def ended(self) -> Ended:
        """What to compare with other ways, now that the training has ended."""
        return Ended(loss=self._loss, num_evaluations=self._num_evaluations)


def _now_s() -> tuple[float, float]:
    """Seconds, and CPU seconds of all threads of this process."""
    return time.perf_counter(), time.process_time()


def train_in_turns(
    ways: Mapping[str, Callable[[Pacer], None]],
    *,
    turn_steps: int,
    num_turns: int,
    num_threads: int,
    rng: np.random.Generator,
) -> tuple[dict[str, NDArray[Any]], dict[str, Ended]]:
    """Train once in each way.

    Args:
        ways: Each trains turn_steps * num_turns steps, and can be pickled.
        turn_steps: Steps of a turn.
        num_turns: Turns of each way.
        num_threads: Threads of torch.
        rng: Draws the order of the ways, anew for each turn.

    Returns:
        Milliseconds and CPU milliseconds per step, shape (num_turns - 1, 2) for each way: the last
        turn has no end. And how each training ended.

    Raises:
        RuntimeError: A training failed; its traceback is on the terminal.
    """
    context = multiprocessing.get_context("spawn")
    parents: dict[str, Connection] = {}
    for key, way in ways.items():
        parents[key], child = context.Pipe()
        arguments = (way, child, turn_steps, num_threads)
        context.Process(target=_train, args=arguments, daemon=True).start()
        child.close()  # or nobody would notice that the process has ended
    replies: dict[str, list[Any]] = {key: [_reply(key, parents[key])] for key in ways}
    for _ in range(num_turns):
        for key in rng.permutation(list(ways)).tolist():
            parents[key].send(None)
            replies[key].append(_reply(key, parents[key]))
    ms_per_step = _MS_PER_S / turn_steps
    # The first reply came before the first turn.
    times_ms = {key: np.array(each[1:-1]) * ms_per_step for key, each in replies.items()}
    return times_ms, {key: each[-1] for key, each in replies.items()}


def _reply(key: str, parent: Connection) -> Any:
    try:
        return parent.recv()
    except EOFError:
        raise RuntimeError(f"the training ({key}) has failed") from None


def _train(
    way: Callable[[Pacer], None], parent: Connection, turn_steps: int, num_threads: int
) -> None:
    """Train in the child."""
    torch.set_num_threads(num_threads)
    gc.collect()
    gc.freeze()  # what was imported is not searched for garbage, as in a run of a sweep
    pacer = Pacer(parent, turn_steps)
    way(pacer)
    parent.send(pacer.ended())
    os._exit(0)  # some libraries fill the terminal when their interpreter ends
