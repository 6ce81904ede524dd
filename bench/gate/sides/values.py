"""The value of a metric in a run, a miss included."""

from __future__ import annotations

import math

from bench.core.metric import Metric
from bench.gate.model import GateRun


def value_of(metric: Metric, run: GateRun) -> float | None:
    """Of the run; infinite of the bad sign for one that missed, None where it has none.

    A run without a meter has no joules, whether it missed or not.
    """
    if not metric.censored_by or not run.missed:
        return run.values.get(metric.name)
    if metric.joules is not None and run.facts.get(metric.joules.label) is None:
        return None
    return math.inf if metric.better == "min" else -math.inf


def is_all_of_its_total(metric: Metric, run: GateRun) -> bool:
    """Whether a metric is of the only part of a total, so that both are the same joules."""
    if metric.part is None or metric.joules is None:
        return False
    total = run.facts.get(metric.joules.components.removesuffix(f".{metric.part}"))
    return total is not None and set(total) == {metric.part}
