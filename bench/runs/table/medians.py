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

import numpy as np

from bench.core.scales import ABSENT, Scale, Unit, common_unit, quantity
from bench.core.stats.intervals import Estimate, median


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
