"""What the cheapest configuration in one cost loses in others, and in quality, latency and size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from pandas import DataFrame, Series

from analysis.load.joules import COST_BASIS
from analysis.load.values import column
from analysis.stats.accuracy import differs, is_share, least_num, num_samples
from analysis.stats.outcomes import outcomes
from analysis.tables.digits import estimate_text, with_digits
from bench.core.arrays import Floats
from bench.core.metric import Metric, Quantity
from bench.core.metrics import METRICS, metric_at
from bench.core.quality_rows import TEST
from bench.core.stats.intervals import Estimate, ratio_of_medians

_RATIOS = (METRICS["serving.latency_p90_ms"], METRICS["model.size_bytes"])


def losses(group: DataFrame, winner: str, others: Sequence[tuple[str, Quantity]]) -> Iterator[str]:
    """Say how far the winner is from the best in each other respect.

    A difference does not count if the sampling error of an accuracy, the interval of a ratio or the
    least effect of a metric can explain it.

    Args:
        group: Runs that may be compared, one per configuration, seed and repeat.
        winner: The configuration that is cheapest in one cost.
        others: The other costs: name in a sentence, and quantity.
    """
    for words, quantity in others:
        if quantity == "time_s" or _is_one_kind(group, quantity):
            yield from _cost_loss(group, winner, words, quantity)
    yield from _quality_loss(group, winner)
    for metric in _RATIOS:
        yield from _ratio_loss(group, winner, metric)


def _is_one_kind(group: DataFrame, quantity: Quantity) -> bool:
    """Whether all joules have one label and the same parts, and all money pays for the same."""
    # A ratio of a measured and a modelled cost would compare two methods, not two models.
    kinds = ["energy_label", "energy_components"]
    if quantity == "cost_usd":
        kinds.append(COST_BASIS)
    return all(column(group, name).nunique() == 1 for name in kinds)


def _cost_loss(group: DataFrame, winner: str, words: str, quantity: Quantity) -> Iterator[str]:
    costs = _by_configuration(group, outcomes(group, quantity).with_misses_worst())
    if winner not in costs or len(costs) < 2:
        return
    best = min(costs, key=lambda name: float(np.median(costs[name])))
    # Every configuration missed mostly: there is nothing to compare with.
    if not np.isfinite(np.median(costs[best])):
        return
    if best == winner:
        yield f"the least {words} as well"
        return
    ratio = ratio_of_medians(costs[winner], costs[best])
    # Hits of an unknown cost are left out, so misses may be the majority here.
    times = "infinitely many" if ratio.value is None else estimate_text(ratio)
    yield f"{times} times the {words} of {best} (n = {ratio.num})"


def _quality_loss(group: DataFrame, winner: str) -> Iterator[str]:
    """Compare the test quality by the metric of the target, which all runs of the group share."""
    metric, mode = group["target.metric"].iloc[0], group["target.mode"].iloc[0]
    path = f"{TEST}.{metric}"
    values, words = _by_configuration(group, column(group, path)), metric_at(path).title
    if winner not in values or len(values) < 2:
        return
    sign = -1 if mode == "min" else 1
    medians = {name: float(np.median(known)) for name, known in values.items()}
    best = max(medians, key=lambda name: sign * medians[name])
    winning, highest = medians[winner], medians[best]
    # A tie is no loss.
    if best == winner or winning == highest:
        return
    if not is_share(path):
        if abs(winning - highest) > metric_at(path).least_effect_frac * abs(highest):
            pair = f"{with_digits(winning)} instead of the {with_digits(highest)} of {best}"
            yield f"a {words} of {pair} (n = {len(values[winner])})"
        return
    nums = {
        name: least_num(num_samples(group[group["configuration"] == name], path))
        for name in (winner, best)
    }
    if differs(winning, highest, nums[winner], nums[best]):
        points = with_digits(100 * (highest - winning), 2)
        yield f"{points} points less {words} than {best} (n = {len(values[winner])})"
    else:
        yield f"no less {words} than {best}, within the sampling error of the test split"


def _ratio_loss(group: DataFrame, winner: str, metric: Metric) -> Iterator[str]:
    values = _by_configuration(group, column(group, metric.path))
    if winner not in values or len(values) < 2:
        return
    # So that the best is always the smallest.
    sign = 1 if metric.direction == "min" else -1
    best = min(values, key=lambda each: sign * float(np.median(values[each])))
    ratio = ratio_of_medians(values[winner], values[best])
    if best != winner and _is_difference(ratio, metric.least_effect_frac):
        yield f"{estimate_text(ratio)} times the {metric.title} of {best} (n = {ratio.num})"


def _is_difference(ratio: Estimate, least_frac: float) -> bool:
    # The gate would not call it a regression either.
    if ratio.value is None or abs(ratio.value - 1) <= least_frac:
        return False
    low, high = ratio.low, ratio.high
    # Without an interval (few runs), the least effect alone decides.
    holds_one = low is not None and low <= 1 and (high is None or high >= 1)
    return not holds_one


def _by_configuration(group: DataFrame, values: Floats | Series) -> dict[str, Floats]:
    """The known values of each configuration that has any."""
    floats = np.asarray(values, dtype=np.float64)
    is_known = ~np.isnan(floats)
    parts = Series(floats[is_known]).groupby(group["configuration"].to_numpy()[is_known])
    return {str(name): np.asarray(part, dtype=np.float64) for name, part in parts}
