"""What an energy tool must offer so that the conformance kit can run it.

An adapter subclasses EnergyTool and defines open(), start() and stop(). Everything runs in
simulated time, which passes only between the calls of the kit and in Machine.sleep().
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Refused(Exception):  # noqa: N818 -- a refusal may be the right answer
    """The tool states no joules; the message says why."""


class NotRun(Exception):  # noqa: N818 -- neither right nor wrong
    """The case says nothing about the tool, with the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The joules of a window, as the tool states them.

    Attributes:
        energy_j: Joules of everything that the job is charged for.
        bound_j: Joules by which they may be off, as the tool states it; None if it states no bound.
        doubts: What the result itself marks as doubtful; a warning in a log does not count.
    """

    energy_j: float
    bound_j: float | None = None
    doubts: tuple[str, ...] = ()


class Machine(Protocol):
    """A simulated machine. Its GPUs are beneath pynvml; environment variables of CUDA are set."""

    @property
    def powercap(self) -> Path:
        """The folder that stands for /sys/class/powercap."""

    @property
    def has_zones(self) -> bool:
        """Whether there are zones in it."""

    @property
    def clock(self) -> Callable[[], float]:
        """Monotonic seconds."""

    @property
    def gpu_uuids(self) -> Sequence[str] | None:
        """UUIDs of the GPUs that the job uses; None for the visible ones. Empty without GPUs."""

    @property
    def cuda_uuids(self) -> Sequence[str]:
        """UUIDs of the GPUs that CUDA would show, in its order; for a tool that asks CUDA."""

    @property
    def num_gpus(self) -> int:
        """How many GPUs the job uses."""

    def sleep(self, seconds: float) -> None:
        """Let simulated time pass."""


class EnergyTool(Protocol):
    """An energy tool under test; a new one is made for each window.

    Attributes:
        tick_s: Simulated seconds from one call of tick() to the next, from open() on; None if it is
            never called. It may be set in open().
    """

    tick_s: float | None = None

    def open(self, machine: Machine) -> None:
        """Find what can be measured.

        Raises:
            Refused: Nothing can be measured here.
            NotRun: The case says nothing about this tool.
        """

    def start(self) -> None:
        """Begin the window."""

    def tick(self) -> None:
        """Do what the tool does regularly, in a thread or a process of its own."""

    def stop(self) -> Measured:
        """End the window and return its joules.

        Raises:
            Refused: The joules are unknown.
        """

    def close(self) -> None:
        """Undo what open() did; called even if open() failed."""
