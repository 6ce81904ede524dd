"""Energy counters of processors and memory, by RAPL through the kernel's powercap tree.

A counter of 32 bits wraps every few minutes to an hour; bench.measure.meters.counter undoes it, in
the one call that reads. Before the clock starts all counters are watched for a moment: a package
whose counter stands still, or changes seldom, makes the meter unavailable, and of dies that show
one and the same counter, as some AMD processors have it, one is counted.

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

# Watched for up to fifty refreshes. Looks are at least a refresh apart: a hypervisor that feeds a
# counter now and then shows the same value again and again.
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
            max_w: More than any component ever draws; None for twice its stated limits.
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
        """Find the zones and watch their counters for a moment; the files stay open.

        Raises:
            MeterUnavailable: There is no package, or a counter cannot be used, with the remedy.
        """
        found = list(zones(self._root))
        if not any(zone.part == "cpu" for zone in found):
            raise MeterUnavailable(
                f"no processor package in {self._root}: a virtual machine, a container that hides "
                "the tree, or a processor without RAPL"
            )
        try:
            for name in dict.fromkeys(zone.component for zone in found):
                self._open_first([zone for zone in found if zone.component == name])
            self._watch()
            self.components = [counter.begin(self._clock()) for counter in self._counters.values()]
        except (MeterUnavailable, OSError):
            self.close()
            raise

    def _open_first(self, twins: Sequence[Zone]) -> None:
        """Open the first of several zones for the same component that can be read.

        Raises:
            MeterUnavailable: None can, and it is a package.
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
        """Refuse counters that stand still, and count those that are one and the same once."""
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
                break  # the clock stands still, so it cannot say that a counter does
            looks.append(_look(counters))
        self._drop_mirrors(looks)

    def _refuse_slow(self, looks: Sequence[_Look], watched_s: float) -> None:
        for name, counter in sorted(self._counters.items()):
            if not _changes_often(looks, name):
                reason = still_or_slow(_num_changes(looks, name), watched_s, looks[-1][name])
                self._refuse(counter.zone, f"{counter.path} {reason}")
                self._counters.pop(name).close()

    def _refuse(self, zone: Zone, reason: str) -> None:
        """Leave memory out; without a package there is no meter.

        Raises:
            MeterUnavailable: It is a package.
        """
        if zone.part == "cpu":
            raise MeterUnavailable(reason)
        self.refused = {**self.refused, zone.component: reason}

    def _drop_mirrors(self, looks: Sequence[_Look]) -> None:
        """Of zones that show one and the same counter keep the first."""
        kept: list[RaplCounter] = []
        for name, counter in list(self._counters.items()):
            first = next((one for one in kept if _are_one(one, counter, looks)), None)
            if first is None:
                kept.append(counter)
            else:
                first.mirrors.append(counter.zone.path.name)
                self._counters.pop(name).close()

    def read(self) -> Mapping[str, Reading]:
        """Joules since open(); of a counter that cannot be read the reason.

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


# What each counter shows, by component.
_Look = Mapping[str, float]


def _look(counters: Sequence[RaplCounter]) -> _Look:
    return {counter.zone.component: counter.shown_j() for counter in counters}


def _have_moved(looks: Sequence[_Look]) -> bool:
    """Whether every counter changes often, in enough looks to judge and to tell dies apart."""
    return len(looks) >= _ENOUGH_LOOKS and all(_changes_often(looks, name) for name in looks[0])


def _changes_often(looks: Sequence[_Look], name: str) -> bool:
    return _num_changes(looks, name) >= _LEAST_CHANGED_FRAC * (len(looks) - 1)


def _num_changes(looks: Sequence[_Look], name: str) -> int:
    """How many looks showed another value than the look before."""
    return sum(before[name] != look[name] for before, look in itertools.pairwise(looks))


def _are_one(first: RaplCounter, other: RaplCounter, looks: Sequence[_Look]) -> bool:
    """Whether two zones show one counter: equal to the microjoule, and moving in lockstep.

    Dies of one package are taken for one by their equal values alone, where no time passed in which
    they could have moved. A refresh may come between reading the one and the other, which makes the
    two differ for once: one look in four may.
    """
    one, two = first.zone.component, other.zone.component
    if first.zone.part != other.zone.part or looks[0][one] == 0:
        return False
    num_apart = sum(look[one] != look[two] for look in looks)
    have_moved = any(look[one] != looks[0][one] for look in looks)
    same_package = first.zone.package == other.zone.package
    return num_apart <= len(looks) // 4 and (have_moved or same_package)
