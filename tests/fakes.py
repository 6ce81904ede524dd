"""Fake hardware and fake clocks that tests control."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from typing_extensions import override

from bench.core.labels import EnergyLabel
from bench.measure.meters.base import Component, Reading


class FakeClock:
    """Seconds that pass only when told to."""

    def __init__(self, now_s: float = 0.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        self.now_s += seconds


class PoweredClock(FakeClock):
    """A clock whose machine draws some watts while time passes: 10 unless it is told."""

    def __init__(self, now_s: float = 0.0) -> None:
        super().__init__(now_s)
        self.joules = 0.0

    @override
    def advance(self, seconds: float, watts: float = 10.0) -> None:
        super().advance(seconds)
        self.joules += watts * seconds


class FunctionMeter:
    """A meter of one component that asks a function for its joules."""

    def __init__(
        self,
        read: Callable[[], float | Reading],
        *,
        component: str = "cpu",
        label: EnergyLabel = "counter",
        refresh_s: float = 0.001,
        error_frac: float = 0.0,
        edge_error_j: float = 0.0,
        tick_s: float | None = None,
    ) -> None:
        self.components = [
            Component(
                name=component,
                source="script",
                label=label,
                refresh_s=refresh_s,
                error_frac=error_frac,
                edge_error_j=edge_error_j,
                tick_s=tick_s,
            )
        ]
        self.closed = False
        self._read = read

    def open(self) -> None:
        """Nothing to open."""

    def read(self) -> Mapping[str, Reading]:
        reading = self._read()
        if not isinstance(reading, Reading):
            reading = Reading(reading)
        return {self.components[0].name: reading}

    def close(self) -> None:
        self.closed = True


class ScriptedMeter(FunctionMeter):
    """A meter that gives the readings it was given, and raises those that are exceptions."""

    def __init__(
        self,
        readings: Sequence[float | Reading | Exception],
        *,
        open_error: Exception | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(self._next, **facts)
        self._readings = iter(readings)
        self._open_error = open_error

    @override
    def open(self) -> None:
        if self._open_error is not None:
            raise self._open_error

    def _next(self) -> float | Reading:
        reading = next(self._readings)
        if isinstance(reading, Exception):
            raise reading
        return reading
