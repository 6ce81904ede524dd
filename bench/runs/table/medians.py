"""What a table shows of the runs of one configuration: a median, how far they spread, in one unit.

A run that missed its target or failed is the worst of all, never left out: the median over three
runs of which one missed is the slower of the other two.

Numbers to be compared share one unit, from microseconds to hours, nanojoules to megajoules, chosen
for their median. Where they span more than four orders of magnitude, each has its own.
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
    """A unit: its name, its size in base units, and the quantity from which on it is used."""

    name: str
    size: float
    least: float = 0.0


Scale = tuple[Unit, ...]

# From the smallest unit up. 0.455 s reads better than 455 ms, and 119 s than 1.98 min.
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
PLAIN = (Unit("", 1.0),)


def unit_of(value: float, scale: Scale) -> Unit:
    """The unit that a quantity reads best in."""
    return next((unit for unit in reversed(scale) if abs(value) >= unit.least), scale[0])


def common_unit(values: Iterable[float | None], scale: Scale) -> Unit | None:
    """The unit of a column: that of its median.

    Args:
        values: In base units; None, 0 and infinite ones do not count.
        scale: Units to choose from.

    Returns:
        None where the values span too much for one unit: each then needs its own.
    """
    sizes = [abs(value) for value in values if value and math.isfinite(value)]
    if not sizes:
        return scale[0]
    # A single unit to choose from is no choice.
    if len(scale) > 1 and max(sizes) > _SPAN * min(sizes):
        return None
    return unit_of(float(np.median(sizes)), scale)


def digits(value: float) -> str:
    """Three significant digits, whole numbers from 1000 on; `inf` for a run that missed."""
    if not value or not math.isfinite(value):
        return f"{value:g}"
    if abs(value) >= 999.5:
        return f"{value:.0f}"
    if math.isclose(value, round(value), rel_tol=1e-12):
        return f"{value:.0f}"
    return f"{value:#.{_DIGITS}g}".rstrip(".")


def quantity(value: float | None, scale: Scale, unit: Unit | None = None) -> str:
    """A number in the unit of its column; in its own unit, which is then part of it, without.

    Args:
        value: In base units.
        scale: Units to choose from.
        unit: Of the column; None where every number has its own.
    """
    if value is None:
        return ABSENT
    if unit is not None:
        return digits(value / unit.size)
    own = unit_of(value, scale)
    text = digits(value / own.size)
    if not math.isfinite(value) or not own.name:
        return text
    return text + own.name if scale is COUNT else f"{text} {own.name}"


def quality_text(value: float, threshold: float) -> str:
    """A quality with as many digits as it takes not to look like a threshold that it is not."""
    for places in range(4, 10):
        text = f"{value:.{places}g}"
        if value == threshold or float(text) != threshold:
            break
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Median:
    """A median over runs, in base units.

    Attributes:
        estimate: With misses and failures infinite; its value is None where the median is.
        beyond: What the median lies above where it is infinite; None where nothing is known.
        worst: What is shown for an infinite value or bound: 0 where larger values are better.
    """

    estimate: Estimate
    beyond: float | None = None
    worst: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one run spent.

    Attributes:
        hit: Until its target; None if it missed, or where it is not known.
        spent: In all, by a run that might have hit later; None if it would not have.
        reached: Whether it hit.
    """

    hit: float | None
    spent: float | None
    reached: bool


def median_of(values: Iterable[float | None]) -> Median | None:
    """The median of the values that are known; None where none is."""
    known = [value for value in values if value is not None]
    return Median(estimate=median(known)) if known else None


def median_with_worst(values: Iterable[float | None], *, is_larger_better: bool) -> Median:
    """The median of all values, unknown ones as the worst; a median of misses is no number."""
    worst = -math.inf if is_larger_better else math.inf
    estimate = median([worst if value is None else value for value in values])
    return Median(estimate=estimate, worst=0.0 if is_larger_better else math.inf)


def median_cost(costs: Iterable[Cost]) -> Median | None:
    """The median cost of reaching a target; None where nothing is known of it.

    Each run would have needed at least what it spent: the median of that is a lower bound where
    half of the runs or more missed.
    """
    counting = [cost for cost in costs if not cost.reached or cost.hit is not None]
    if all(cost.hit is None and cost.spent is None for cost in counting):
        return None
    estimate = median([math.inf if cost.hit is None else cost.hit for cost in counting])
    if estimate.value is not None:
        return Median(estimate=estimate)
    at_least = [cost.spent if cost.hit is None else cost.hit for cost in counting]
    return Median(
        estimate=estimate,
        beyond=float(np.median([math.inf if least is None else least for least in at_least])),
    )


def unit_for(medians: Sequence[Median | None], scale: Scale) -> Unit | None:
    """The unit of a column of medians; None where each needs its own."""
    shown = (each.estimate.value or each.beyond for each in medians if each is not None)
    return common_unit(shown, scale)


def value_text(value: Median | None, scale: Scale, unit: Unit | None) -> str:
    """The median, `> 119` where it is only known to lie above, `inf` (0) where most failed."""
    if value is None:
        return ABSENT
    if value.estimate.value is not None:
        return quantity(value.estimate.value, scale, unit)
    if value.beyond is None or math.isinf(value.beyond):
        return quantity(value.worst, scale, unit)
    return f"> {quantity(value.beyond, scale, unit)}"


def spread_text(value: Median | None, scale: Scale, unit: Unit | None) -> str:
    """`0.41 to 0.52` for the range of fewer than six runs, `[0.41, 0.52]` for a 95% interval.

    Empty for a single run, and where no run has a value.
    """
    if value is None or value.estimate.num < 2:
        return ""
    bounds = (value.estimate.low, value.estimate.high)
    if bounds == (None, None):
        return ""
    low, high = (quantity(value.worst if bound is None else bound, scale, unit) for bound in bounds)
    return f"{low} to {high}" if value.estimate.kind == "range" else f"[{low}, {high}]"
