"""Measures energy of processors and memory by RAPL, through the kernel's powercap tree.

A counter of 32 bits wraps every few minutes to an hour; read() undoes that, with
bench.measure.meters.counter. open() watches all counters for a moment. If the counter of a package
stands still or seldom changes, the meter is unavailable. If several dies show the same counter, as
on some AMD processors, it is counted once.

Source: https://docs.kernel.org/power/powercap/powercap.html
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.measure.clock import Clock
from bench.measure.meters.base import Component, MeterUnavailable, Reading
from bench.measure.meters.counter import still_or_slow
from bench.measure.meters.rapl_counter import REFRESH_S, RaplCounter, Zone, zones

# Watched for up to fifty refreshes, with looks at least one refresh apart. A hypervisor that rarely
# updates a counter shows the same value in many looks.
_WATCH_S = 0.05
_POLL_S = REFRESH_S
_ENOUGH_LOOKS = 5
_LEAST_CHANGED_FRAC = 0.5

_HOW_TO_GRANT = (
    "since 2020 (CVE-2020-8694) only root may read it; grant it with "
    "`sudo chmod a+r /sys/class/powercap/intel-rapl*:*/energy_uj` (until the next boot; by a udev "
    "or tmpfiles.d rule for good), or run as root"
)


class RaplMeter:
    """Joules of each package and its DRAM."""

    def __init__(
        self,
        root: str | Path = "/sys/class/powercap",
        max_w: float | None = None,
        *,
        clock: Clock = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Nothing is read yet.

        Args:
            root: The powercap tree.
            max_w: More power than any component ever draws; None for twice its stated limits.
            clock: Monotonic seconds.
            sleep: Waits for a number of seconds, while the counters are watched.

        Raises:
            ValueError: max_w is not positive.
        """
        if max_w is not None and not 0 < max_w < math.inf:
            raise ValueError(f"meter.sources.rapl.max_w={max_w}: must be a positive number or null")
        self.components: Sequence[Component] = ()
        self.refused: Mapping[str, str] = {}
        self._root = Path(root)
        self._max_w = max_w
        self._clock = clock
        self._sleep = sleep
        self._counters: dict[str, RaplCounter] = {}

    def open(self) -> None:
        """Find the zones and watch their counters for a moment; their files stay open.

        Raises:
            MeterUnavailable: There is no package, or its counter cannot be used, with the remedy.
        """
        # Some zones occur twice in sysfs, by MSR and by MMIO.
        all_zones = list(zones(self._root))
        if not any(zone.part == "cpu" for zone in all_zones):
            raise MeterUnavailable(
                f"no processor package in {self._root}: a virtual machine, a container that hides "
                "the tree, or a processor without RAPL"
            )
        try:
            for name in dict.fromkeys(zone.component for zone in all_zones):
                self._open_first([zone for zone in all_zones if zone.component == name])
            self._watch()
            self.components = [counter.begin(self._clock()) for counter in self._counters.values()]
        except (MeterUnavailable, OSError):
            self.close()
            raise

    def _open_first(self, twins: Sequence[Zone]) -> None:
        """Open the first readable zone of several for the same component.

        Raises:
            MeterUnavailable: None is readable, and the component is a package.
        """
        refused: Exception | None = None
        for zone in twins:
            try:
                self._counters[zone.component] = RaplCounter(zone, self._max_w)
            except (OSError, MeterUnavailable) as error:
                refused = refused or error
                continue
            return
        remedy = f": {_HOW_TO_GRANT}" if isinstance(refused, PermissionError) else ""
        self._refuse(twins[0], f"{refused}{remedy}")

    def _watch(self) -> None:
        """Refuse counters that stand still, and keep one of each group that is the same counter."""
        counters = list(self._counters.values())
        looks = [_look(counters)]
        started_s = now_s = self._clock()
        while not _have_moved(looks):
            if now_s - started_s >= _WATCH_S and len(looks) >= _ENOUGH_LOOKS:
                self._refuse_slow(looks, now_s - started_s)
                break
            self._sleep(_POLL_S)
            before_s, now_s = now_s, self._clock()
            if now_s == before_s:
                break  # a clock that stands still cannot show that a counter does
            looks.append(_look(counters))
        self._drop_mirrors(looks)

    def _refuse_slow(self, looks: Sequence[_Look], watched_s: float) -> None:
        for name, counter in sorted(self._counters.items()):
            if not _changes_often(looks, name):
                reason = still_or_slow(_num_changes(looks, name), watched_s, looks[-1][name])
                self._refuse(counter.zone, f"{counter.path} {reason}")
                self._counters.pop(name).close()

    def _refuse(self, zone: Zone, reason: str) -> None:
        """Leave memory out, with the reason; without a package there is no meter.

        Raises:
            MeterUnavailable: The zone is a package.
        """
        if zone.part == "cpu":
            raise MeterUnavailable(reason)
        self.refused = {**self.refused, zone.component: reason}

    def _drop_mirrors(self, looks: Sequence[_Look]) -> None:
        """Keep the first of several zones that show the same counter."""
        kept: list[RaplCounter] = []
        for name, counter in list(self._counters.items()):
            first = next((one for one in kept if _are_one(one, counter, looks)), None)
            if first is None:
                kept.append(counter)
            else:
                first.mirrors.append(counter.zone.path.name)
                self._counters.pop(name).close()

    def read(self) -> Mapping[str, Reading]:
        """Read the joules since open(); for a counter that cannot be read, the reason.

        Raises:
            MeterUnavailable: It is not open.
        """
        if not self._counters:
            raise MeterUnavailable("the meter is not open")
        shown = {name: counter.try_to_read() for name, counter in self._counters.items()}
        now_s = self._clock()
        return {
            name: counter.advance(shown[name], now_s) for name, counter in self._counters.items()
        }

    def close(self) -> None:
        """Close the files."""
        for counter in self._counters.values():
            counter.close()
        self._counters = {}


# The value of each counter, by component.
_Look = Mapping[str, float]


def _look(counters: Sequence[RaplCounter]) -> _Look:
    return {counter.zone.component: counter.shown_j() for counter in counters}


def _have_moved(looks: Sequence[_Look]) -> bool:
    """Whether every counter changes often, in enough looks to judge and to distinguish dies."""
    return len(looks) >= _ENOUGH_LOOKS and all(_changes_often(looks, name) for name in looks[0])


def _changes_often(looks: Sequence[_Look], name: str) -> bool:
    return _num_changes(looks, name) >= _LEAST_CHANGED_FRAC * (len(looks) - 1)


def _num_changes(looks: Sequence[_Look], name: str) -> int:
    """How many looks showed another value than the look before."""
    return sum(before[name] != look[name] for before, look in itertools.pairwise(looks))


def _are_one(first: RaplCounter, other: RaplCounter, looks: Sequence[_Look]) -> bool:
    """Whether two zones show one counter: equal to the microjoule, and changing together.

    If no time passed in which counters could change, equal values are enough for dies of one
    package. A refresh between the two readings makes a look differ, so one look in four may.
    """
    one, two = first.zone.component, other.zone.component
    if first.zone.part != other.zone.part or looks[0][one] == 0:
        return False
    num_apart = sum(look[one] != look[two] for look in looks)
    have_moved = any(look[one] != looks[0][one] for look in looks)
    same_package = first.zone.package == other.zone.package
    return num_apart <= len(looks) // 4 and (have_moved or same_package)
