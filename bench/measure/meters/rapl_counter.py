"""The energy counters of RAPL in the kernel's powercap tree: which there are, and how to read one.

Packages and DRAM are components of their own. Other zones are not reported: `psys` includes the
packages, and packages include `core` and `uncore`. A zone that appears twice, through
model-specific registers and through memory-mapped ones, is counted once.

Source: https://docs.kernel.org/power/powercap/powercap.html
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.measure.meters.base import Component, MeterUnavailable, Reading
from bench.measure.meters.counter import CounterSum

# Source: Intel's manual, volume 3, 15.10: energy status is updated about every millisecond.
REFRESH_S = 0.001
# The files are in microjoules; the hardware's own unit is 61 on most processors.
STEP_J = 1e-4
# What the readings themselves may be off by. Packages are measured since Haswell, and published
# comparisons find a few percent (Khan et al., ToMPECS 2018); DRAM has an offset that weighs more
# when idle (Desrochers et al., MEMSYS 2016). AMD's registers have had no such study.
PACKAGE_ERROR_FRAC = 0.05
DRAM_ERROR_FRAC = 0.20
# Reading this often shows a counter that stands still for part of the time, and leaves little to be
# estimated after a reset.
MAX_TICK_S = 0.1
_MIN_TICK_S = 0.01  # a counter that has to be read more often costs what it measures

# A package, or its memory, draws more than this while anything runs.
LEAST_W = {"cpu": 0.1, "dram": 0.005}

# Limits of power hold on average over a second or more: for milliseconds a package exceeds them.
PEAK_OVER_LIMIT = 2.0
# Where no limit is stated: more than any package, or memory of one, draws today.
DEFAULT_MAX_W = {"cpu": 1000.0, "dram": 200.0}
# Firmware that states less, or more than registers hold, states nothing.
_LIMITS_W = (1.0, 5000.0)
_MOST_UJ = 2.0**64


@dataclass(frozen=True, slots=True)
class Zone:
    """A folder of the tree with a counter to read; package is the number of its socket."""

    component: str
    part: str
    package: str
    path: Path

    def max_w(self) -> float:
        """Twice the largest power limit that the zone states, or else the default."""
        stated_w: list[float] = []
        for kind in ("max_power_uw", "power_limit_uw"):
            for file in self.path.glob(f"constraint_*_{kind}"):
                # Some firmware has a file that cannot be read, or has no value for it.
                with suppress(OSError, ValueError):
                    stated_w.append(int(file.read_text()) * 1e-6)
        least_w, most_w = _LIMITS_W
        usable_w = [limit_w for limit_w in stated_w if least_w <= limit_w <= most_w]
        return PEAK_OVER_LIMIT * max(usable_w) if usable_w else DEFAULT_MAX_W[self.part]

    def range_j(self) -> float:
        """The value at which its counter wraps.

        Raises:
            MeterUnavailable: It states no range.
            OSError: The file cannot be read.
        """
        path = self.path / "max_energy_range_uj"
        text = path.read_bytes()
        range_uj = number_in(path, text)
        if range_uj == 0:
            raise _unusable(path, text)
        return range_uj / 1e6


def number_in(path: Path, text: bytes) -> int:
    """Parse the number in a file.

    Raises:
        MeterUnavailable: The file holds something else.
    """
    with suppress(ValueError):
        number = int(text)
        if 0 <= number <= _MOST_UJ:
            return number
    raise _unusable(path, text)


def _unusable(path: Path, text: bytes) -> MeterUnavailable:
    content = text.decode(errors="replace").strip()
    return MeterUnavailable(f"{path} holds {content!r}, which cannot be")


def zones(root: Path) -> Iterator[Zone]:
    """Find packages and their DRAM; a zone in model-specific registers comes before its twin.

    The class folder holds links to all zones side by side, a devices folder one folder per kind of
    access. In both, subzones lie in the folder of their package.

    Raises:
        MeterUnavailable: A zone has no name, so it may be a package that would be missing.
        OSError: A name cannot be read.
    """
    folders: dict[str, Path] = {}
    for access in ("intel-rapl", "intel-rapl-mmio"):
        for parent in (root, root / access):
            for path in sorted(parent.glob(f"{access}:*")):
                if re.fullmatch(rf"{access}:\d+", path.name):
                    folders.setdefault(path.name, path)
    for path in folders.values():
        package = re.fullmatch(r"package-(\d+)(?:-die-(\d+))?", _name(path))
        if package is None:
            continue  # psys, which holds the packages
        number = package[1] if package[2] is None else f"{package[1]}-die{package[2]}"
        yield Zone(f"cpu{number}", "cpu", package[1], path)
        for child in sorted(path.glob(f"{path.name}:*")):
            if _name(child) == "dram":
                yield Zone(f"dram{number}", "dram", package[1], child)


def _name(zone: Path) -> str:
    path = zone / "name"
    text = path.read_bytes()
    name = text.decode(errors="replace").strip()
    if re.fullmatch(r"[\w-]+", name) is None:
        raise _unusable(path, text)
    return name


class RaplCounter:
    """One counter, whose file is open.

    Attributes:
        zone: Its zone.
        path: Its file.
        mirrors: Names of further zones that show the same counter.
    """

    def __init__(self, zone: Zone, max_w: float | None) -> None:
        """Open the file and read it once.

        Args:
            zone: Its zone.
            max_w: More power than it ever draws; None for what the zone states.

        Raises:
            MeterUnavailable: A file holds a value that cannot be.
            OSError: A file cannot be read.
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
            range_j=self._range_j,
        )

    def try_to_read(self) -> float | str:
        """What the counter shows now, or why it cannot be read; the baseline stays."""
        try:
            return self.shown_j()
        except (OSError, MeterUnavailable) as error:
            return str(error)

    def advance(self, shown: float | str, now_s: float) -> Reading:
        """The joules since the baseline, or the reason why they are unknown."""
        assert self._sum is not None, "begin() comes first"
        if isinstance(shown, str):
            return Reading.failed(shown)
        return self._sum.advance(shown, now_s)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
