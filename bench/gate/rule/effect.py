"""How much worse a candidate is: the loss, the ratio, and values made comparable across seeds.

A loss is a share of the base's median, positive for worse whatever the direction of the metric. A
run that missed its target has an infinite value, so a loss may be infinite; it is NaN where it is
not defined.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from bench.core.arrays import Floats, Ints
from bench.core.metric import Better
from bench.core.stats.intervals import Estimate, median_of_ratios, middle_of, ratio_of_medians
from bench.gate.model import Kind, RowValues

ROUNDING = 1e-9  # a loss of 5% counts as at least 5%, however it was rounded


def without_rounding(values: Floats, rounding_frac: float) -> Floats:
    """Make values equal that differ by rounding only, such as 0.949999988 and 0.95.

    Args:
        values: Shape (n,), no NaN.
        rounding_frac: Neighbours this close, as a share, count as equal; 0 changes nothing.
    """
    ordered = np.unique(values[np.isfinite(values)])
    if not rounding_frac or not len(ordered):
        return values
    # Starts a new group where the gap to the previous value is more than rounding explains.
    is_first = np.append(True, np.diff(ordered) > rounding_frac * np.abs(ordered[1:]))
    firsts = ordered[is_first]
    place = np.searchsorted(firsts, values, side="right") - 1
    return np.where(np.isfinite(values), firsts[place], values)


def by_server(row: RowValues) -> RowValues:
    """Replace the runs of one seed that share a server by their median: one value per server.

    A server's forks share its memory layout, so their values are no independent measurements.
    """
    if row.servers is None:
        return row
    places = np.stack([row.servers, row.strata])
    found, place = np.unique(places, axis=1, return_inverse=True)
    if found.shape[1] == len(row.base):
        return row
    base, candidate = (
        np.array([middle_of(side[place.ravel() == each]) for each in range(found.shape[1])])
        for side in (row.base, row.candidate)
    )
    return replace(row, base=base, candidate=candidate, servers=found[0], strata=found[1])


def align(row: RowValues) -> tuple[Floats, Floats]:
    """Take the differences between strata (seeds) out of the values of both sides.

    Each value is divided by the median of its stratum over both sides. That median does not depend
    on which run is on which side, so the rank test within strata stays exact. With one stratum, or
    with zeros among the values, nothing is changed.

    Returns:
        Base and candidate, in the order of the row; misses stay infinite.

    Source: Hodges and Lehmann (1962), Rank methods for combination of independent experiments.
    """
    values = np.concatenate([row.base, row.candidate])
    # Pairs have one number for both of their runs.
    strata = np.tile(row.strata, 2)
    hit = np.isfinite(values)
    present = np.unique(strata)
    # One cannot divide by a median of 0.
    if len(present) > 1 and (values[hit] > 0).all():
        for stratum in present[np.isin(present, strata[hit])]:
            inside = strata == stratum
            values[inside] /= middle_of(values[inside & hit])
    return values[: len(row.base)], values[len(row.base) :]


def loss_of(base: Floats, candidate: Floats, better: Better) -> float:
    """By how much the candidate's median is worse, as a share of the base's; negative for better.

    Args:
        base: Shape (n,), n >= 1; infinite for a miss.
        candidate: Shape (m,), likewise.
        better: Which direction is better.

    Returns:
        Infinite where one median is, or where the base's is 0. Where both are infinite, the side
        that missed more often is infinitely worse; NaN if neither did.
    """
    # Medians, not means: one slow run must not decide.
    middle, other = middle_of(base), middle_of(candidate)
    if math.isinf(middle) and math.isinf(other):
        more = float(np.mean(np.isinf(candidate)) - np.mean(np.isinf(base)))
        return math.copysign(math.inf, more) if more else math.nan
    if middle == other:
        return 0.0
    sign = 1 if better == "min" else -1
    if middle == 0 or math.isinf(middle) or math.isinf(other):
        return math.copysign(math.inf, sign * (other - middle))
    return sign * (other - middle) / abs(middle)


def ratio(base: Floats, candidate: Floats, strata: Ints | None = None) -> Estimate | None:
    """The candidate's median over the base's, with its bounds; a rate that missed counts as 0.

    Runs of several seeds are compared pair by pair: what a seed does to both runs cancels.

    Args:
        base: As they were measured, shape (n,).
        candidate: The partners of the base, shape (n,).
        strata: A number per pair; None if all are of one.

    Returns:
        None if a value is negative, as R2 may be: a ratio then says nothing.
    """
    values = np.concatenate([base, candidate])
    if (values[np.isfinite(values)] < 0).any():
        return None
    base, candidate = np.maximum(base, 0), np.maximum(candidate, 0)
    if not base.any() and not candidate.any():  # 0/0 is not a number, yet the sides are equal
        base, candidate = np.ones_like(base), np.ones_like(candidate)
    if strata is not None and len(np.unique(strata)) > 1:
        return median_of_ratios(candidate, base)
    return ratio_of_medians(candidate, base)


def loss_of_exact(row: RowValues, loss: float) -> tuple[Kind, float, str]:
    """Kind, loss as a share of the base, and a note, of a row of an exact metric.

    The row is demoted to measured where the same work does not give the same number.

    Args:
        row: Of an exact metric.
        loss: Of the medians of all seeds.
    """
    seeds = [row.strata == seed for seed in np.unique(row.strata)]
    sides = [(row.base[seed], row.candidate[seed]) for seed in seeds]
    # Repeats of one seed on one side should be equal to the last digit.
    if any((values != values[0]).any() for pair in sides for values in pair):
        return "measured", loss, "differs between runs of one revision: judged as measured"
    losses = [loss_of(*pair, row.metric.direction) for pair in sides]
    # Two misses of one seed are equal, however far each run had come.
    losses = [0.0 if math.isnan(each) else each for each in losses]
    # Exact means exact for each seed: a loss in one of them is real.
    extreme, least_frac = max(losses, key=abs), row.metric.least_effect_frac
    if min(losses) < 0 < max(losses) and abs(extreme) >= least_frac:
        return "measured", loss, "losses in some seeds and gains in others: judged as measured"
    if _counts(extreme, least_frac) and not _counts(loss, least_frac):
        return "exact", extreme, "the medians hardly differ: the loss is that of one seed"
    return "exact", loss if extreme else 0.0, ""


def _counts(loss: float, least_frac: float) -> bool:
    """Whether a loss or gain is large enough to count; false for NaN."""
    return abs(loss) > ROUNDING and abs(loss) >= least_frac - ROUNDING
