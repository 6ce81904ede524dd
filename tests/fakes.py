"""Stand-ins for hardware and time that do as they are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.core.records import EnergyLabel
from bench.measure.meters.base import Component


class FakeClock:
    """Seconds that pass only when told to."""

    def __init__(self, now_s: float = 0.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        self.now_s += seconds


class ScriptedMeter:
    """A meter that gives the readings it was given, and raises those that are exceptions."""

    def __init__(
        self,
        readings_j: Sequence[float | Exception],
        *,
        component: str = "cpu",
        label: EnergyLabel = "counter",
        refresh_s: float = 0.001,
        open_error: Exception | None = None,
    ) -> None:
        self.components = [
            Component(name=component, source="script", label=label, refresh_s=refresh_s)
        ]
        self.closed = False
        self._readings = iter(readings_j)
        self._open_error = open_error

    def open(self) -> None:
        if self._open_error is not None:
            raise self._open_error

    def read_j(self) -> Mapping[str, float]:
        reading = next(self._readings)
        if isinstance(reading, Exception):
            raise reading
        return {self.components[0].name: reading}

    def close(self) -> None:
        self.closed = True
