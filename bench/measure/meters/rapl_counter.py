"""One energy counter of RAPL, and the file it is read from."""

from __future__ import annotations

import os

from bench.measure.meters.base import Component, MeterUnavailable, Reading
from bench.measure.meters.counter import CounterSum
from bench.measure.meters.rapl_zones import Zone, number_in

# Source: Intel's manual, volume 3, 15.10: energy status is updated about every millisecond.
REFRESH_S = 0.001
# The files are in microjoules; the hardware's own unit is 61 on most processors.
STEP_J = 1e-4
# What the readings themselves may be off by. Packages are measured since Haswell, and published
# comparisons find a few percent (Khan et al., ToMPECS 2018); DRAM has an offset that weighs more
# when idle (Desrochers et al., MEMSYS 2016). AMD's registers have had no such study.
PACKAGE_ERROR_FRAC = 0.05
DRAM_ERROR_FRAC = 0.20
# Read so often, a counter that stands still for part of the time is found out, and no more than
# that is to be estimated when it begins anew.
MAX_TICK_S = 0.1
_MIN_TICK_S = 0.01  # a counter that has to be read more often costs what it measures

# Less than a package, or memory of one, draws while anything runs.
LEAST_W = {"cpu": 0.1, "dram": 0.005}


class RaplCounter:
    """One counter, whose file is open.

    Attributes:
        zone: Which.
        path: Of its file.
        mirrors: Names of further zones that show the same counter.
    """

    def __init__(self, zone: Zone, max_w: float | None) -> None:
        """Open the file and read it once.

        Args:
            zone: Which.
            max_w: More than it ever draws; None for what the zone states.

        Raises:
            MeterUnavailable: A file holds what cannot be.
            OSError: One cannot be read.
        """
        self.zone = zone
        self.path = zone.path / "energy_uj"
        self.mirrors: list[str] = []
        self._max_w = max_w or zone.max_w()
        self._range_j = zone.range_j()
        # Four times within the shortest wrap.
        self._tick_s = min(MAX_TICK_S, self._range_j / self._max_w / 4)
        if self._tick_s < _MIN_TICK_S:
            raise MeterUnavailable(
                f"{zone.path / 'max_energy_range_uj'}: {self._range_j:g} J wrap too soon to follow"
            )
        self._sum: CounterSum | None = None
        self._file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.shown_j()
        except (OSError, MeterUnavailable):
            os.close(self._file)
            raise

    def shown_j(self) -> float:
        """What the counter shows now.

        Raises:
            MeterUnavailable: The file holds no number.
            OSError: It cannot be read.
        """
        try:
            text = os.pread(self._file, 32, 0)
        except OSError as error:
            error.filename = str(self.path)  # else the reason does not say which counter
            raise
        return number_in(self.path, text) / 1e6

    def begin(self, now_s: float) -> Component:
        """Take the baseline.

        Raises:
            MeterUnavailable: As shown_j.
            OSError: Likewise.
        """
        self._sum = CounterSum(
            self.shown_j(),
            now_s,
            max_w=self._max_w,
            refresh_s=REFRESH_S,
            step_j=STEP_J,
            range_j=self._range_j,
        )
        names = ", mirrored by ".join([self.zone.path.name, *self.mirrors])
        return Component(
            name=self.zone.component,
            source=f"rapl({names})",
            label="counter",
            refresh_s=REFRESH_S,
            error_frac=PACKAGE_ERROR_FRAC if self.zone.part == "cpu" else DRAM_ERROR_FRAC,
            edge_error_j=self._sum.edge_error_j,
            tick_s=self._tick_s,
            least_w=LEAST_W[self.zone.part],
        )

    def try_to_read(self) -> float | str:
        """What the counter shows now, or why it cannot be read; in neither case does it move on."""
        try:
            return self.shown_j()
        except (OSError, MeterUnavailable) as error:
            return str(error)

    def advance(self, shown: float | str, now_s: float) -> Reading:
        """The joules since the baseline, or the reason why they are not known."""
        assert self._sum is not None, "begin() comes first"
        if isinstance(shown, str):
            return Reading.failed(shown)
        return self._sum.advance(shown, now_s)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
