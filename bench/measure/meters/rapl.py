"""Energy counters of processors and memory, by RAPL through the kernel's powercap tree.

Packages and DRAM are components of their own. `psys` holds the packages, and packages hold `core`
and `uncore`: none of these is reported. A zone that appears twice, through the model-specific
registers and through memory-mapped ones, is counted once.

A counter of 32 bits wraps every few minutes to an hour; bench.measure.meters.counter undoes it, in
the one call that reads.

Source: https://docs.kernel.org/power/powercap/powercap.html
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.measure.clock import Clock
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
# Limits of power hold on average over a second or more: for milliseconds a package exceeds them.
PEAK_OVER_LIMIT = 2.0
# Where no limit is stated: more than any package, or memory of one, draws today.
DEFAULT_MAX_W = {"cpu": 1000.0, "dram": 200.0}
MAX_TICK_S = 1.0  # no more than that is to be estimated when a counter begins anew

_HOW_TO_GRANT = (
    "since 2020 (CVE-2020-8694) only root may read it; grant it with "
    "`sudo chmod a+r /sys/class/powercap/intel-rapl*:*/energy_uj` (until the next boot; by a udev "
    "or tmpfiles.d rule for good), or run as root"
)


@dataclass(frozen=True, slots=True)
class _Zone:
    """A folder of the tree with a counter that is wanted."""

    component: str
    part: str
    path: Path


class RaplMeter:
    """Joules of each package and its DRAM."""

    def __init__(
        self,
        root: str | Path = "/sys/class/powercap",
        max_w: float | None = None,
        *,
        clock: Clock = time.perf_counter,
    ) -> None:
        """Nothing is read yet.

        Args:
            root: The powercap tree.
            max_w: More than any component ever draws; None for twice its stated limits.
            clock: Monotonic seconds.

        Raises:
            ValueError: max_w is not positive.
        """
        if max_w is not None and not 0 < max_w < math.inf:
            raise ValueError(f"meter.sources.rapl.max_w={max_w}: must be a positive number or null")
        self.components: Sequence[Component] = ()
        self._root = Path(root)
        self._max_w = max_w
        self._clock = clock
        self._counters: dict[str, _Counter] = {}

    def open(self) -> None:
        """Find the zones and read each of them once; the files stay open.

        Raises:
            MeterUnavailable: There is no package, or a counter cannot be read, with the remedy.
        """
        zones = list(_zones(self._root))
        if not any(zone.part == "cpu" for zone in zones):
            raise MeterUnavailable(
                f"no processor package in {self._root}: a virtual machine, a container that hides "
                "the tree, or a processor without RAPL"
            )
        try:
            for name in dict.fromkeys(zone.component for zone in zones):
                self._open_first([zone for zone in zones if zone.component == name])
        except MeterUnavailable:
            self.close()
            raise
        self.components = [counter.component for counter in self._counters.values()]

    def _open_first(self, twins: Sequence[_Zone]) -> None:
        """Open the first of several zones for the same component that can be read."""
        refused: OSError | None = None
        for zone in twins:
            try:
                counter = _Counter(zone, self._max_w, self._clock())
            except OSError as error:
                refused = refused or error
                continue
            self._counters[zone.component] = counter
            return
        remedy = f": {_HOW_TO_GRANT}" if isinstance(refused, PermissionError) else ""
        raise MeterUnavailable(f"{refused}{remedy}")

    def read(self) -> Mapping[str, Reading]:
        """Joules since open().

        Raises:
            MeterUnavailable: It is not open.
            OSError: A counter cannot be read; none has moved on, so nothing is lost by it.
        """
        if not self._counters:
            raise MeterUnavailable("the meter is not open")
        shown_j = {name: counter.shown_j() for name, counter in self._counters.items()}
        now_s = self._clock()
        return {name: self._counters[name].sum.advance(shown_j[name], now_s) for name in shown_j}

    def close(self) -> None:
        """Close the files."""
        for counter in self._counters.values():
            counter.close()
        self._counters = {}


class _Counter:
    """One counter, and the file it is read from."""

    def __init__(self, zone: _Zone, max_w: float | None, now_s: float) -> None:
        max_w = max_w or _stated_max_w(zone)
        range_j = int((zone.path / "max_energy_range_uj").read_text()) / 1e6
        self._path = zone.path / "energy_uj"
        self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            shown_j = self.shown_j()
        except OSError:
            os.close(self._file)
            raise
        self.sum = CounterSum(
            shown_j, now_s, max_w=max_w, refresh_s=REFRESH_S, step_j=STEP_J, range_j=range_j
        )
        self.component = Component(
            name=zone.component,
            source=f"rapl({zone.path.name})",
            label="counter",
            refresh_s=REFRESH_S,
            error_frac=PACKAGE_ERROR_FRAC if zone.part == "cpu" else DRAM_ERROR_FRAC,
            edge_error_j=self.sum.edge_error_j,
            # Four times within the shortest wrap.
            tick_s=min(MAX_TICK_S, range_j / max_w / 4),
        )

    def shown_j(self) -> float:
        """What the counter shows now."""
        try:
            return int(os.pread(self._file, 32, 0)) / 1e6
        except OSError as error:
            error.filename = str(self._path)  # else the reason does not say which counter
            raise

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def _zones(root: Path) -> Iterator[_Zone]:
    """Packages and their DRAM; of twins those in model-specific registers come first.

    The class folder holds links to all zones side by side, a devices folder one folder for each
    kind of access; subzones lie in their package's folder in both.
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
        yield _Zone(f"cpu{number}", "cpu", path)
        for child in sorted(path.glob(f"{path.name}:*")):
            if _name(child) == "dram":
                yield _Zone(f"dram{number}", "dram", child)


def _name(zone: Path) -> str:
    file = zone / "name"
    return file.read_text().strip() if file.exists() else ""


def _stated_max_w(zone: _Zone) -> float:
    """Twice the largest limit that the zone states, else the default."""
    stated_w: list[float] = []
    for kind in ("max_power_uw", "power_limit_uw"):
        for file in zone.path.glob(f"constraint_*_{kind}"):
            # Some firmware has a file that cannot be read, or has no value for it.
            with suppress(OSError, ValueError):
                stated_w.append(int(file.read_text()) / 1e6)
    limit_w = max(stated_w, default=0.0)
    return PEAK_OVER_LIMIT * limit_w if limit_w > 0 else DEFAULT_MAX_W[zone.part]
