"""The numbers of a table: the median over the runs of a configuration, its spread and its unit.

A run that missed its target or failed counts as the worst of all; it is never left out. So the
median of three runs, one of which missed, is the slower of the other two.

The numbers of a column share one unit (nanoseconds to hours, nanojoules to megajoules), which suits
their median. If they span more than four orders of magnitude, each number shows its own unit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bench.core.stats.intervals import Estimate, median

ABSENT = "-"
_SPAN = 1e4
_DIGITS = 3


class Unit(NamedTuple):
    """A unit: its name, its size in base units, and the smallest quantity it is used for."""

    name: str
    size: float
    least: float = 0.0


Scale = tuple[Unit, ...]

# From the smallest unit up. A unit may start below or above 1: 0.455 s reads better than 455 ms,
# and 119 s better than 1.98 min.
TIME = (
    Unit("ns", 1e-9),
    Unit("µs", 1e-6, 1e-6),
    Unit("ms", 1e-3, 1e-3),
    Unit("s", 1.0, 0.1),
    Unit("min", 60.0, 600.0),
    Unit("h", 3600.0, 10800.0),
)
ENERGY = (
    Unit("nJ", 1e-9),
    Unit("µJ", 1e-6, 1e-6),
    Unit("mJ", 1e-3, 1e-3),
    Unit("J", 1.0, 0.1),
    Unit("kJ", 1e3, 1e4),
    Unit("MJ", 1e6, 1e7),
)
BYTES = (Unit("B", 1.0), Unit("kB", 1e3, 1e3), Unit("MB", 1e6, 1e6), Unit("GB", 1e9, 1e9))
COUNT = (Unit("", 1.0), Unit("k", 1e3, 1e4), Unit("M", 1e6, 1e6), Unit("G", 1e9, 1e9))
RATE = (Unit("/s", 1.0), Unit("k/s", 1e3, 1e4), Unit("M/s", 1e6, 1e6))
MONEY = (
    Unit("nUSD", 1e-9),
    Unit("µUSD", 1e-6, 1e-6),
    Unit("mUSD", 1e-3, 1e-3),
    Unit("USD", 1.0, 0.1),
    Unit("kUSD", 1e3, 1e4),
)
PERCENT = (Unit("%", 0.01),)
PLAIN = (Unit("", 1.0),)


def unit_of(value: float, scale: Scale) -> Unit:
    """Choose the unit in which a quantity reads best."""
    return next((unit for unit in reversed(scale) if abs(value) >= unit.least), scale[0])


def common_unit(values: Iterable[float | None], scale: Scale) -> Unit | None:
    """Choose the unit of a column, which is the unit of its median.

    Args:
        values: In base units. None, 0 and infinite values are ignored.
        scale: Units to choose from.

    Returns:
        None if the values span too many orders of magnitude for one unit. The base unit if there
        is no value to choose by.
    """
    sizes = [abs(value) for value in values if value and math.isfinite(value)]
    if not sizes:
        return next((unit for unit in scale if unit.size == 1.0), scale[0])
    # With a single unit to choose from, the span makes no difference.
    if len(scale) > 1 and max(sizes) > _SPAN * min(sizes):
        return None
    return unit_of(float(np.median(sizes)), scale)


def digits(value: float) -> str:
    """Format a number: three significant digits, whole numbers in full; `inf` is a miss."""
    if not value or not math.isfinite(value):
        return f"{value:g}"
    if abs(value) >= 999.5:
        return f"{value:.0f}"
    if math.isclose(value, round(value), rel_tol=1e-12):
        return f"{value:.0f}"
    return f"{value:#.{_DIGITS}g}".rstrip(".")


def quantity(value: float | None, scale: Scale, unit: Unit | None = None) -> str:
    """Format a number in the unit of its column, or with a unit of its own.

    Args:
        value: In base units.
        scale: Units to choose from.
        unit: The unit of the column. If None, the number chooses its unit and shows it.
    """
    if value is None:
        return ABSENT
    if unit is not None:
        return digits(value / unit.size)
    unit = unit_of(value, scale)
    text = digits(value / unit.size)
    if not math.isfinite(value) or not unit.name:
        return text
    return text + unit.name if scale is COUNT else f"{text} {unit.name}"


def quality_text(value: float, threshold: float) -> str:
    """Format a quality with enough digits that it does not look like a threshold it missed."""
    for places in range(4, 10):
        text = f"{value:.{places}g}"
        if value == threshold or float(text) != threshold:
            break
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Median:
    """A median over runs, in base units.

    Attributes:
        estimate: Misses and failures are infinite in it; its value is None if the median is one.
        beyond: A lower bound of an infinite median; None if none is known.
        worst: What an infinite value or bound is shown as: 0 if larger values are better.
    """

    estimate: Estimate
    beyond: float | None = None
    worst: float = math.inf


def median_of(values: Iterable[float | None]) -> Median | None:
    """Take the median of the known values; None if there are none."""
    known = [value for value in values if value is not None]
    return Median(estimate=median(known)) if known else None


def median_with_worst(values: Iterable[float | None], *, is_larger_better: bool) -> Median:
    """Take the median of all values; an unknown value counts as the worst."""
    worst = -math.inf if is_larger_better else math.inf
    estimate = median([worst if value is None else value for value in values])
    return Median(estimate=estimate, worst=0.0 if is_larger_better else math.inf)


def median_cost(runs: Sequence[tuple[float | None, float | None]]) -> Median | None:
    """Take the median cost of reaching a target.

    Args:
        runs: For each run its cost to the target, which is None if it missed, and what a run that
            missed had spent, which is None if more would not have helped it (it failed).

    Returns:
        None if nothing is known. If half of the runs or more missed, the median is infinite. A run
        that missed needs at least what it has spent, so the median of that is a lower bound.
    """
    if all(cost is None and spent is None for cost, spent in runs):
        return None
    estimate = median([math.inf if cost is None else cost for cost, _ in runs])
    if estimate.value is not None:
        return Median(estimate=estimate)
    bounds = [spent if cost is None else cost for cost, spent in runs]
    beyond = np.median([math.inf if bound is None else bound for bound in bounds])
    return Median(estimate=estimate, beyond=float(beyond))


def unit_for(medians: Sequence[Median | None], scale: Scale) -> Unit | None:
    """Choose the unit of a column of medians; None if each needs its own."""
    shown = (each.estimate.value or each.beyond for each in medians if each is not None)
    return common_unit(shown, scale)


def value_text(value: Median | None, scale: Scale, unit: Unit | None) -> str:
    """Format a median: `> 119` if only a lower bound is known, `inf` (or 0) if most runs failed."""
    if value is None:
        return ABSENT
    if value.estimate.value is not None:
        return quantity(value.estimate.value, scale, unit)
    if value.beyond is None or math.isinf(value.beyond):
        return quantity(value.worst, scale, unit)
    return f"> {quantity(value.beyond, scale, unit)}"


def spread_text(value: Median | None, scale: Scale, unit: Unit | None) -> str:
    """Format the spread: `0.41 to 0.52` for a range, `[0.41, 0.52]` for a 95% interval.

    The text is empty for a single run, and if no run has a value.
    """
    if value is None or value.estimate.num < 2:
        return ""
    bounds = (value.estimate.low, value.estimate.high)
    if bounds == (None, None):  # all runs missed
        return ""
    low, high = (quantity(value.worst if bound is None else bound, scale, unit) for bound in bounds)
    return f"{low} to {high}" if value.estimate.kind == "range" else f"[{low}, {high}]"
