"""Runs tasks in forked processes, which share what this process has loaded.

A task that fails must say so in what it returns. A process that is killed costs the one task that
it was at: the others are given to the processes that are left, or to new ones.
"""

from __future__ import annotations

import gc
import os
import signal
import struct
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait
from types import TracebackType
from typing import Any, Generic, NoReturn, Self, TypeVar

_T = TypeVar("_T")
_PLACE = struct.Struct("=H")
_MOST_TASKS = 10_000  # their numbers fit into a pipe, even of 32 KiB
_RUNNING = "running"


@dataclass(frozen=True, slots=True)
class Lost:
    """What became of a task whose process ended.

    Attributes:
        reason: How the process ended.
    """

    reason: str


def num_processes(chosen: int | None) -> int:
    """How many processes to use: as many as were chosen, else one for each CPU that is allowed.

    Only Linux gets more than one: elsewhere, libraries of the system do not survive a fork.
    """
    if sys.platform != "linux":
        return 1
    return chosen or len(os.sched_getaffinity(0))


class Forked(Generic[_T]):
    """Tasks that run in processes of their own, from the start of the context until its end."""

    def __init__(self, tasks: Sequence[Callable[[], _T]], num: int) -> None:
        """Keep the tasks.

        Args:
            tasks: Functions whose results can be pickled.
            num: Number of processes; with 1, `outcomes` calls the tasks in this one.

        Raises:
            ValueError: There are too many tasks.
        """
        if len(tasks) > _MOST_TASKS:
            raise ValueError(f"{len(tasks)} tasks: at most {_MOST_TASKS}")
        self._tasks, self._num = tasks, min(num, len(tasks))
        # By the connection from which its results come: the process, and what it is at.
        self._processes: dict[Connection, int] = {}
        self._running: dict[Connection, int] = {}

    def __enter__(self) -> Self:
        """Start the processes."""
        if self._num > 1:
            gc.freeze()  # what is loaded stays, and need not be looked at again
            self._start(range(len(self._tasks)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the processes that are still running."""
        for results, process in self._processes.items():
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            results.close()
        self._processes.clear()

    def outcomes(self) -> Iterator[tuple[int, _T | Lost]]:
        """Wait for the tasks; return the place of each and its result, as they end."""
        if self._num <= 1:
            yield from ((place, task()) for place, task in enumerate(self._tasks))
            return
        pending = set(range(len(self._tasks)))
        while pending:
            before = len(pending)
            for place, outcome in self._until_all_end():
                pending.remove(place)
                yield place, outcome
            if pending and len(pending) == before:
                yield from ((place, Lost("no process could be kept")) for place in sorted(pending))
                return
            if pending:  # of processes that have ended before they reported what they took
                self._start(sorted(pending))

    def _until_all_end(self) -> Iterator[tuple[int, _T | Lost]]:
        while self._processes:
            for results in wait(list(self._processes)):
                assert isinstance(results, Connection)
                try:
                    place, outcome = results.recv()
                except (EOFError, OSError):  # the end of the process, perhaps within a message
                    yield from self._ended(results)
                    continue
                if isinstance(outcome, str) and outcome == _RUNNING:
                    self._running[results] = place
                else:
                    del self._running[results]
                    yield place, outcome

    def _ended(self, results: Connection) -> Iterator[tuple[int, Lost]]:
        _, status = os.waitpid(self._processes.pop(results), 0)
        results.close()
        if results in self._running:
            yield self._running.pop(results), Lost(_how_it_ended(os.waitstatus_to_exitcode(status)))

    def _start(self, places: Sequence[int]) -> None:
        """Start processes that take these tasks from a pipe, one after the other."""
        # A pipe and not this process gives out the tasks, since it has work of its own meanwhile.
        queue, filled = os.pipe()
        os.write(filled, b"".join(map(_PLACE.pack, places)))
        os.close(filled)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # otherwise each process would print what is left there
        for _ in range(min(self._num, len(places))):
            ours, theirs = Pipe(duplex=False)
            process = os.fork()
            if process == 0:
                # With the ends of this process, no other one would notice that it is gone.
                for other in (ours, *self._processes):
                    other.close()
                _work(self._tasks, queue, theirs)
            theirs.close()
            self._processes[ours] = process
        os.close(queue)


def _work(tasks: Sequence[Callable[[], Any]], queue: int, results: Connection) -> NoReturn:
    """Do tasks until there are no more, and end the process."""
    code = 1
    try:
        # Ctrl-C reaches every process of the terminal; this one is ended by its parent.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        gc.disable()  # looks at the same objects again and again
        while taken := os.read(queue, _PLACE.size):
            (place,) = _PLACE.unpack(taken)
            results.send((place, _RUNNING))
            outcome = tasks[place]()
            sys.stdout.flush()
            sys.stderr.flush()
            results.send((place, outcome))
            gc.collect(0)  # what the task has left; what was there before needs no second look
        code = 0
    except BrokenPipeError:  # the parent was killed
        pass
    except BaseException:
        traceback.print_exc()
    finally:
        # Not sys.exit: what the parent does at its end is not for this process.
        os._exit(code)


def _how_it_ended(code: int) -> str:
    if code < 0:
        return f"its process was killed ({signal.Signals(-code).name})"
    return f"its process ended with exit code {code}"
