"""The windows around the passes of a serving run: one for each pass that may be reported.

A search runs several such passes, and the reported one need not be the last. Time, joules and
telemetry of the record come from the window that was kept.

LoadGen prepares its queries and writes its logs inside a pass, which takes 0.2 s of a pass of three
seconds with 90,000 queries. Predictions must not be charged for that, so the meters are read when
the first query is issued and when the last one has been answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure.energy import EnergyWindow, WindowEnergy, per_item
from bench.measure.raw_files import FIRST_QUERY, LAST_ANSWER, write_raw
from bench.measure.window import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class PassWindow:
    """A window, and the joules of just the time in which the system answered."""

    window: Window
    energy: WindowEnergy


class PassMeter:
    """Measures joules from the first query of a pass to its last answer.

    The first reading takes some tens of microseconds, which add to the latency of the first query.
    """

    def __init__(self, window: Window, *, answers_at_once: bool) -> None:
        """Read nothing yet.

        Args:
            window: The window around the pass; its meters are open.
            answers_at_once: Whether a query has been answered when issue() returns. The pass then
                ends with its last query; otherwise it ends when read() is called.
        """
        self._around = window
        self._window = EnergyWindow(window.meters)
        self._answers_at_once = answers_at_once
        self._started = False
        self._energy: WindowEnergy | None = None

    def first_query(self) -> None:
        """Start: the first query is about to be issued."""
        self._around.phases.keep(self._window.start(), FIRST_QUERY)
        self._started = True

    def last_query(self) -> None:
        """Read the meters, if the last query has already been answered."""
        if self._answers_at_once:
            self.read()

    def read(self) -> WindowEnergy:
        """Energy of the pass; empty if no query came."""
        if self._energy is None and self._started:
            reading = self._around.meters.read()
            self._around.phases.keep(reading, LAST_ANSWER)
            self._energy = self._window.until(reading)
        return self._energy or WindowEnergy()


class PassWindows:
    """Opens a window for each pass, and keeps that of the pass to report."""

    def __init__(self, build: Callable[[], Window], folder: Path) -> None:
        """Nothing is built yet.

        Args:
            build: Makes a window, not yet open.
            folder: Where the samples and readings of the window that is kept are written.
        """
        self._build = build
        self._folder = folder
        self.answers_at_once = True  # see PassMeter
        self._current: Window | None = None
        self._last: PassWindow | None = None
        self.kept: PassWindow | None = None

    @property
    def window(self) -> Window | None:
        """The window that is kept; before that, the window of the pass in progress."""
        return self._current if self.kept is None else self.kept.window

    def open(self) -> Window:
        """Open the window of the first pass, ahead of it."""
        self._current = self._build()
        self._current.open()
        return self._current

    @contextmanager
    def around(self) -> Iterator[PassMeter]:
        """Open a window around a pass."""
        window = self._current
        if window is None or window.clock.started:
            self.close()
            window = self.open()
        meter = PassMeter(window, answers_at_once=self.answers_at_once)
        window.start()
        try:
            yield meter
        finally:
            energy = meter.read()
            window.stop()
            self._last = PassWindow(window=window, energy=energy)
            if self.kept is None:
                self._write(window)

    def keep(self) -> None:
        """Keep the window of the last pass instead of the one kept before."""
        assert self._last is not None, "a pass has a window before it is kept"
        self.kept = self._last
        self._write(self.kept.window)

    def close(self) -> None:
        """Stop and release the current window, if there is one."""
        if self._current is not None:
            self._current.stop()
            self._current.close()

    def _write(self, window: Window) -> None:
        write_raw(self._folder, window)


def energy_fields(
    measured: PassWindow, num_samples: int, output_tokens: int | None = None
) -> dict[str, Any]:
    """The fields of Serving for the joules of one prediction.

    Args:
        measured: The window of the pass that is reported.
        num_samples: Predictions made in it.
        output_tokens: Tokens that each prediction generated, if it did.

    Returns:
        Joules of each component that its meter resolves, and their sum if none is missing.
    """
    energy, whole = measured.energy, measured.window.energy
    # The whole window leaves out doubtful components, such as a counter that the telemetry
    # contradicts. They must not count here either.
    trusted = {row.component for row in whole.rows}
    rows = [row for row in energy.rows if row.label != "constant" and row.component in trusted]
    if not num_samples:
        return {}  # joules of nothing: every request failed
    fields: dict[str, Any] = {"energy_per_prediction_components": per_item(rows, num_samples)}
    if energy.total_j is None or whole.total_j is None:
        return fields
    if any(row.below_resolution for row in rows):
        return fields  # such a component is left out above, so a sum would be too small
    each_j = energy.total_j / num_samples
    return fields | {
        "energy_per_prediction_j": each_j,
        "energy_per_output_token_j": each_j / output_tokens if output_tokens else None,
        "energy_per_prediction_label": energy.label,
        "energy_per_prediction_error_frac": energy.error_frac,
        # Predictions per second over joules per second, of one window.
        "throughput_per_w": num_samples / energy.total_j if energy.total_j else None,
    }
