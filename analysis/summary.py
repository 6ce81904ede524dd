"""Per configuration, what its runs came to: one row per configuration, quantity and label.

Runs of one configuration on different processors, or of different joule labels, are not repeats of
one another: they have rows of their own. A best value is named only among rows that may be compared
(the same quantity, label, processor, target and scenario), and only if a test says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas import DataFrame

from analysis.metrics import OF_TRAINING, TOPICS, Metric
from analysis.outcomes import hosts, outcomes, reached, with_target
from analysis.restarts import expected_cost
from bench.core.intervals import Estimate, median, share
from bench.core.rank_test import ALPHA, p_better

Floats = npt.NDArray[np.float64]

NO_LABEL = "unlabelled"
# What must be equal for two configurations to be compared at all.
_COMPARABLE = (
    "command",
    "host",
    "target.metric",
    "target.value",
    "target.rule",
    "serving.scenario",
)
COLUMNS = (
    "command",
    "configuration",
    "host",
    "topic",
    "metric",
    "statistic",
    "label",
    "num",
    "num_missing",
    "value",
    "low",
    "high",
    "confidence",
    "unbounded_frac",
    "error_frac",
    "best",
    "p_against_second",
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Row:
    """One row with the values that it was made from, of which the best is found."""

    facts: dict[str, Any]
    metric: Metric
    estimate: Estimate
    values: Floats
    comparable: tuple[Any, ...]


def summarise(runs: DataFrame) -> DataFrame:
    """Every quantity of TOPICS for every configuration, with its interval.

    Args:
        runs: Of load_runs; unhealthy, failed and missed ones among them.

    Returns:
        `COLUMNS`: value, low and high in the record's units, missing where they are infinite (see
        unbounded_frac) or not known; num runs behind them, num_missing runs without the value,
        error_frac the largest bound of the systematic error; best where the value is the best of
        its like and p_against_second < 0.05 (one-sided rank test against the second best, misses
        as the worst). A quantity that no run of a configuration has, has no row.
    """
    runs = runs.assign(host=hosts(runs))
    rows = [
        row
        for topic in TOPICS
        for metric in TOPICS[topic]
        for row in _rows(_of_topic(runs, topic), topic, metric)
    ]
    p_values = _against_second(rows)
    found = [
        {
            **row.facts,
            "metric": row.metric.name,
            "statistic": row.metric.statistic,
            **asdict(row.estimate),
            "best": p_values.get(place, 1.0) < ALPHA,
            "p_against_second": p_values.get(place, np.nan),
        }
        for place, row in enumerate(rows)
    ]
    return DataFrame(found, columns=list(COLUMNS))


def _of_topic(runs: DataFrame, topic: str) -> DataFrame:
    return with_target(runs) if topic in OF_TRAINING else runs


def _rows(runs: DataFrame, topic: str, metric: Metric) -> Iterator[_Row]:
    keys = ["command", "configuration", "host"]
    for (command, configuration, host), repeats in runs.groupby(keys, sort=False):
        for label, group in _by_label(repeats, metric):
            facts = {"command": command, "configuration": configuration, "host": host}
            row = _row(group, metric, {**facts, "topic": topic, "label": label})
            if row is not None:
                yield row


def _by_label(repeats: DataFrame, metric: Metric) -> Iterator[tuple[str | None, DataFrame]]:
    """Groups of one label; a run that failed before it had one belongs to the only one there is."""
    if metric.label is None:
        yield None, repeats
        return
    labels = repeats[metric.label]
    known = labels.dropna().unique()
    filled = labels.fillna(known[0] if len(known) == 1 else NO_LABEL)
    for label, group in repeats.groupby(filled, sort=True):
        yield str(label), group


def _row(group: DataFrame, metric: Metric, facts: dict[str, Any]) -> _Row | None:
    estimate, values = _estimate(group, metric)
    if estimate is None:
        return None
    facts = {
        **facts,
        "num_missing": len(group) - estimate.num,
        "error_frac": group[metric.error].max() if metric.error else np.nan,
    }
    comparable = tuple(group[list(_COMPARABLE)].astype(object).iloc[0].fillna(""))
    return _Row(facts=facts, metric=metric, estimate=estimate, values=values, comparable=comparable)


def _estimate(group: DataFrame, metric: Metric) -> tuple[Estimate | None, Floats]:
    nothing = np.empty(0)
    if metric.statistic == "hit_rate":
        return share(int(reached(group).sum()), len(group)), nothing
    if metric.statistic == "expected":
        assert metric.quantity is not None
        return expected_cost(outcomes(group, metric.quantity)), nothing
    values = _values(group, metric)
    values = values[~np.isnan(values)]
    if not len(values) or (metric.statistic == "per_run" and not np.isfinite(values).any()):
        return None, nothing
    return median(values), values


def _values(group: DataFrame, metric: Metric) -> Floats:
    if metric.statistic == "to_target":
        cost = group[metric.column].astype("float64")
        return np.asarray(cost.where(reached(group), np.inf), dtype=np.float64)
    return np.asarray(group[metric.column].astype("float64"), dtype=np.float64)


def _against_second(rows: list[_Row]) -> dict[int, float]:
    """By the place of the best row of each kind, the p-value against the second best."""
    kinds: dict[tuple[Any, ...], list[int]] = {}
    for place, row in enumerate(rows):
        if row.metric.better is not None:
            kind = (row.facts["topic"], row.metric.name, row.facts["label"], row.comparable)
            kinds.setdefault(kind, []).append(place)
    return {
        best: p_better(rows[best].values, rows[second].values, rows[best].metric.better or "min")
        for best, second in (_leading(rows, places) for places in kinds.values())
        if second is not None
    }


def _leading(rows: list[_Row], places: list[int]) -> tuple[int, int | None]:
    better = rows[places[0]].metric.better

    def key(place: int) -> float:
        value = rows[place].estimate.value
        worst = np.inf if better == "min" else -np.inf
        return (worst if value is None else value) * (1 if better == "min" else -1)

    order = sorted(places, key=key)
    return order[0], order[1] if len(order) > 1 else None


def counts(runs: DataFrame) -> DataFrame:
    """By configuration, the runs behind it and what speaks against them.

    Returns:
        `command, configuration, host, num_runs, num_with_target, num_hits, num_failed, num_unfit,
        num_invalid`: unfit by their health (see health.flags), invalid by the load generator.
    """
    rows = DataFrame(
        {
            "command": runs["command"],
            "configuration": runs["configuration"],
            "host": hosts(runs),
            "num_runs": 1,
            "num_with_target": runs["target.metric"].notna().astype(int),
            "num_hits": reached(runs).astype(int),
            "num_failed": (~runs["status"].isin(["ok", "interrupted"])).astype(int),
            "num_unfit": runs["health.fit"].eq(False).astype(int),
            "num_invalid": runs["serving.valid"].eq(False).astype(int),
        }
    )
    keys = ["command", "configuration", "host"]
    grouped: DataFrame = rows.groupby(keys, sort=False).sum().reset_index()
    return grouped


def as_estimate(row: pd.Series) -> Estimate:
    """A row of summarise as an estimate again."""
    bounds = {
        name: None if pd.isna(row[name]) else float(row[name]) for name in ("value", "low", "high")
    }
    return Estimate(
        **bounds,
        num=int(row["num"]),
        confidence=float(row["confidence"]),
        unbounded_frac=float(row["unbounded_frac"]),
    )
