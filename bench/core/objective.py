"""The one number of a job that a sweeper minimizes or maximizes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.core.flat import value_of
from bench.core.metric import Metric
from bench.core.metrics import METRICS, metric_at
from bench.core.quality_rows import is_quality
from bench.core.records.run import RunRecord
from bench.core.suggest import did_you_mean


def require_objective(name: str) -> Metric:
    """Look up a quantity that can be an objective.

    Raises:
        ValueError: There is no such quantity, or neither more nor less of it is better.
    """
    known = [path for path, metric in METRICS.items() if metric.better is not None]
    if name not in METRICS and not is_quality(name):
        meant = did_you_mean(name, known)
        raise ValueError(f"objective={name}: no quantity of a record (docs/metrics.md){meant}")
    metric = metric_at(name)
    if metric.better is None:
        raise ValueError(
            f"objective={name}: neither more nor less of it is better; give another quantity, "
            "such as target.time_to_target_s"
        )
    return metric


def objective_of(name: str, records: Sequence[RunRecord]) -> float:
    """The value of an objective for a job: the worst one of its runs.

    A run that was refused, failed, missed its target or has no such number is as bad as can be: inf
    if less is better, -inf if more is. Otherwise the cheapest configuration would be the one that
    gives up first. Qualities of a run that missed its target do count.

    Args:
        name: The dotted name of the quantity.
        records: The runs of the job; none if it was refused.

    Raises:
        ValueError: The quantity cannot be an objective.
    """
    metric = require_objective(name)
    worst = math.inf if metric.better == "min" else -math.inf
    values = [worst if (value := _value(name, each)) is None else value for each in records]
    if not values:
        return worst
    return max(values) if metric.better == "min" else min(values)


def _value(name: str, record: RunRecord) -> float | None:
    if record.status != "ok" or (record.serving is not None and record.serving.valid is False):
        return None
    if record.target is not None and not record.target.reached and not is_quality(name):
        return None
    value = value_of(record, name)
    return None if value is None or math.isnan(value) else float(value)
