"""Books the seconds and joules of a deployment by phase, and hands them out window by window."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from bench.core.labels import EnergyLabel
from bench.core.records.phases import Phase
from bench.measure.window import Window

# Set-up comes before the clock. The phase `train` is the initial training.
PHASES: tuple[Phase, ...] = ("train", "serve", "detect", "decide", "retrain", "promote", "observe")
# What the windows of a stream are charged for.
STREAM_PHASES = PHASES[1:]


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds and joules of a stretch, and the weakest label of the joules so far.

    Joules are None if any part was not measured.
    """

    time_s: float
    energy_j: float | None
    energy_label: EnergyLabel | None = None


class Books:
    """The phases of a deployment on the clock and the meters of its window."""

    def __init__(self, window: Window) -> None:
        """Nothing has been spent; the window has been started."""
        self.window = window
        self._taken: Mapping[Phase, Spent] = {phase: Spent(0.0, 0.0) for phase in PHASES}

    @contextmanager
    def phase(self, name: Phase) -> Iterator[None]:
        """Book the block on a phase, then go back to the phase before."""
        before = self.window.clock.phase
        self.begin(name)
        try:
            yield
        finally:
            self.begin(before)

    def begin(self, name: Phase) -> None:
        """End the current phase, and begin another."""
        self.window.synchronize()  # work that the device has not finished belongs to the old phase
        self.window.phases.switch_quickly(name)

    def spent(self, name: Phase) -> Spent:
        """What a phase has needed until the last edge of a phase."""
        phases = self.window.phases
        return Spent(phases.times.of(name), phases.book.energy_j(name), phases.energy.label)

    def take(self) -> dict[str, float | None]:
        """Seconds and joules by phase since the last call, by field of WindowRow."""
        self.window.phases.switch(self.window.clock.phase)
        now = {phase: self.spent(phase) for phase in STREAM_PHASES}
        fields: dict[str, float | None] = {}
        for phase, spent in now.items():
            passed = difference(spent, self._taken[phase])
            fields |= {f"{phase}_s": passed.time_s, f"{phase}_j": passed.energy_j}
        self._taken = now
        return fields


def difference(after: Spent, before: Spent) -> Spent:
    """What was spent between two states of a phase."""
    known = after.energy_j is not None and before.energy_j is not None
    energy_j = (after.energy_j or 0.0) - (before.energy_j or 0.0) if known else None
    return Spent(after.time_s - before.time_s, energy_j, after.energy_label)
