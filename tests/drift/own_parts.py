"""Policies, detectors and streams as a user might write them, with and without a fault."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from bench.drift.policies.base import Decision, Policy, View
from bench.drift.samples import Pool
from bench.drift.streams.synthetic import synthetic


class Nameless(Policy):
    """Does without the attributes that need not be set."""

    def decide(self, view: View) -> Decision:
        return Decision()


class CannotBeBuilt(Nameless):
    def __init__(self) -> None:
        raise RuntimeError("a bug in the policy")


class Undecided(Policy):
    """Has no method decide()."""


class Meets(Nameless):
    """Meets its fate at the end of the window after the first `windows`."""

    fate: Callable[[], None]

    def __init__(self, *, windows: int) -> None:
        self._windows = windows

    def decide(self, view: View) -> Decision:
        if view.window == self._windows:
            type(self).fate()
        return Decision()


def _kill_this_job() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class KillsItself(Meets):
    """Ends as the kernel ends a process when memory runs out."""

    fate = staticmethod(_kill_this_job)


def _raise() -> NoReturn:
    raise RuntimeError("a bug in the policy")


class Raises(Meets):
    fate = staticmethod(_raise)


def _wait() -> None:
    while True:
        time.sleep(0.05)


class Waits(Meets):
    """Waits until the run is ended from outside."""

    fate = staticmethod(_wait)


def no_pool() -> Path:
    """A source that returns something else."""
    return Path()


def broken_pool() -> NoReturn:
    raise KeyError("station")


num_read = 0


def counted_pool() -> Pool:
    """A pool of two classes that counts how often it is read."""
    global num_read
    num_read += 1
    return synthetic(num_samples=2000, num_features=2, num_classes=2, separation=3.0, seed=0)
