"""The windows around the passes of a serving run: each pass that may be reported has one.

A search makes several such passes, and the one that is reported need not be the last. Time, joules
and telemetry of a record are those of the window that was kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure.energy import WindowEnergy, per_item
from bench.measure.sampler import write_telemetry
from bench.measure.window import Window
from bench.serving.metered import MeteredSystem


@dataclass(frozen=True, slots=True, kw_only=True)
class PassWindow:
    """A window, and the joules of exactly the time in which the system answered."""

    window: Window
    energy: WindowEnergy


class PassWindows:
    """Opens a window for each pass, and remembers that of the pass to report."""

    def __init__(self, build: Callable[[], Window], telemetry: Path) -> None:
        """Nothing is built yet.

        Args:
            build: Makes a window, not open.
            telemetry: File for what the sampler saw in the window that is kept.
        """
        self._build = build
        self._telemetry = telemetry
        self._current: Window | None = None
        self._last: PassWindow | None = None
        self.kept: PassWindow | None = None

    @property
    def window(self) -> Window | None:
        """The one that is kept; before there is one, the one of the pass in progress."""
        return self._current if self.kept is None else self.kept.window

    def open(self) -> Window:
        """Open the window of the first pass, ahead of it."""
        self._current = self._build()
        self._current.open()
        return self._current

    @contextmanager
    def around(self, system: MeteredSystem) -> Iterator[None]:
        """The window of a pass of a system."""
        window = self._current
        if window is None or window.clock.started:
            self.close()
            window = self.open()
        system.measure(window.meters)
        window.start()
        try:
            yield
        finally:
            energy = system.read()
            window.stop()
            self._last = PassWindow(window=window, energy=energy)
            if self.kept is None:
                self._write(window)

    def keep(self) -> None:
        """Keep the window of the last pass, in place of the one kept before."""
        assert self._last is not None, "a pass has a window before it is kept"
        self.kept = self._last
        self._write(self.kept.window)

    def close(self) -> None:
        """Stop and release the current window, if there is one."""
        if self._current is not None:
            self._current.stop()
            self._current.close()

    def _write(self, window: Window) -> None:
        write_telemetry(self._telemetry, window.telemetry())


def energy_fields(measured: PassWindow, num_samples: int) -> dict[str, Any]:
    """The fields of Serving for the joules of one prediction.

    Args:
        measured: The window of the pass that is reported.
        num_samples: Predictions made in it.

    Returns:
        Joules of each component that its meter resolves, and their sum where that is all of them.
        What the window as a whole does not vouch for, such as a counter that its telemetry
        contradicts, does not count here either.
    """
    energy, whole = measured.energy, measured.window.energy
    trusted = {row.component for row in whole.rows}
    rows = [row for row in energy.rows if row.label != "constant" and row.component in trusted]
    if not num_samples:
        return {}
    fields: dict[str, Any] = {"energy_per_prediction_components": per_item(rows, num_samples)}
    if energy.total_j is None or whole.total_j is None:
        return fields
    if any(row.below_resolution for row in rows):
        return fields
    return fields | {
        "energy_per_prediction_j": energy.total_j / num_samples,
        "energy_per_prediction_label": energy.label,
        "energy_per_prediction_error_frac": energy.error_frac,
        # Predictions per second over joules per second, of one window.
        "throughput_per_w": num_samples / energy.total_j if energy.total_j else None,
    }
