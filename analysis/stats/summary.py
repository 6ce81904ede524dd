"""Per configuration, what its runs came to: one row per configuration, quantity and kind of joules.

Runs that may not be compared (another target, data, kind of host or scenario), or whose joules were
obtained in another way or of other parts of the machine, are no repeats of one another: they have
rows of their own. A best value is named only among rows that may be compared, and only if a test
says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame, Series

from analysis.load.joules import COST_BASIS, ELECTRICITY, GRID, joules_in_doubt
from analysis.load.values import with_only
from analysis.stats.accuracy import is_share, least_num, num_samples, with_sampling_error
from analysis.stats.best import Contender, leader_of, p_best
from analysis.stats.expected_cost import expected_cost
from analysis.stats.outcomes import counted_runs, outcomes, reached, with_target
from analysis.stats.repeats import KEYS, is_asked, with_keys
from analysis.stats.table_columns import OF_TRAINING, TOPICS, Statistic, TableColumn
from bench.core.arrays import Floats
from bench.core.labels import GUESSED
from bench.core.metric import Joules, Metric
from bench.core.stats.intervals import Estimate, median, share
from bench.core.stats.ranks import ALPHA, holm

# How joules were obtained, of which parts they are, and the runs of which both are true.
_Kind = tuple[str | None, str | None, DataFrame]
# What repeats have in common, and the kinds of them: found once for all metrics of the same joules.
_Repeats = tuple[dict[str, Any], Callable[[Joules | None, str | None], list[_Kind]]]

_USED = ("config.price.", "config.scenario.")
NO_LABEL = "unlabelled"
COLUMNS = (
    *KEYS,
    "topic",
    "metric",
    "statistic",
    "label",
    "components",
    "num",
    "num_missing",
    "value",
    "low",
    "high",
    "kind",
    "confidence",
    "error_frac",
    "best",
    "p_best",
    "p_best_holm",
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Row:
    """One row with the values of its comparable runs, of which the best is found."""

    facts: dict[str, Any]
    column: TableColumn
    estimate: Estimate
    contender: Contender


def summarise(runs: DataFrame) -> DataFrame:
    """Every quantity of TOPICS for every configuration, with its interval.

    Args:
        runs: Of load_runs; of each configuration, seed and repeat one run counts.

    Returns:
        `COLUMNS`. value, low and high are in the record's units, missing where they are infinite or
        not known; kind says whether the bounds are an interval of this confidence or a range. num
        runs are behind them, num_missing runs have no such value; an expected cost is missing where
        that of any run is not known. `label` and `components` say how joules were obtained and of
        which parts, and what money is for. error_frac is the largest bound of the systematic error.
        best is set where the value is the best of its column: where p_best_holm < 0.05, which is
        p_best (of analysis.stats.best) adjusted by Holm over all columns; of joules that nothing
        measured no value is called the best. A quantity that no run of a configuration has, has no
        row.
    """
    counted = with_keys(counted_runs(runs))
    counted = counted[[name for name in counted if _is_used(str(name))]]
    trained = _grouped(with_target(counted))
    grouped = {topic: trained for topic in OF_TRAINING}
    every = _grouped(counted)
    rows = [
        row
        for topic in TOPICS
        for column in TOPICS[topic]
        for row in _rows(grouped.get(topic, every), topic, column)
    ]
    found = [
        {
            **row.facts,
            "metric": row.column.name,
            "statistic": row.column.statistic,
            **_numbers(row.estimate),
            **tested,
        }
        for row, tested in zip(rows, _tested(rows), strict=True)
    ]
    return DataFrame(found, columns=list(COLUMNS))


def _is_used(name: str) -> bool:
    """Most columns are of the configuration and of the host: groups are quicker without them."""
    return not name.startswith(("config.", "host.")) or name.startswith(_USED)


def _grouped(runs: DataFrame) -> list[_Repeats]:
    return [
        (dict(zip(KEYS, keys, strict=True)), cache(partial(_kinds, repeats)))
        for keys, repeats in runs.groupby(list(KEYS), sort=False)
    ]


def _rows(groups: list[_Repeats], topic: str, column: TableColumn) -> Iterator[_Row]:
    for keys, kinds in groups:
        for label, components, group in kinds(column.joules, column.charged_by):
            facts = {**keys, "topic": topic, "label": label, "components": components}
            row = _row(group, column, facts)
            if row is not None:
                yield row


def _kinds(repeats: DataFrame, joules: Joules | None, charged_by: str | None) -> list[_Kind]:
    """Groups of one label and one set of parts, and of one price or grid.

    A run that failed before it had them belongs to the only group there is.
    """
    if joules is None:
        return [(None, None, repeats)]
    label, parts = (_labels(repeats[name]) for name in joules.facts)
    if charged_by == GRID:
        label = label.where(repeats[GRID] == "", label + ", grid of " + repeats[GRID])
    if charged_by == COST_BASIS:
        basis = _labels(repeats[COST_BASIS])
        metered = basis.str.contains(ELECTRICITY)
        label = basis.where(~metered, basis + ", " + label)
        parts = parts.where(metered, "")
    if label.nunique() == parts.nunique() == 1:
        return [(str(label.iloc[0]), str(parts.iloc[0]) or None, repeats)]
    return [
        (str(name), str(components) or None, group)
        for (name, components), group in repeats.groupby([label, parts], sort=True)
    ]


def _labels(values: Series) -> Series:
    """The labels; a run that failed before it had one has the only one that there is."""
    return with_only(values).fillna(NO_LABEL).astype(str)


def _row(group: DataFrame, column: TableColumn, facts: dict[str, Any]) -> _Row | None:
    estimate = _estimate(group, column)
    if estimate is None:
        return None
    comparable = comparable_and_valid(group)
    if column.joules is not None:
        comparable &= ~joules_in_doubt(group)
    values = Series(dtype="float64")
    if column.metric is not None and column.better is not None:
        values = _values(group, column.statistic, column.metric)[comparable].dropna()
    return _Row(
        facts={
            **facts,
            "num_missing": len(group) - estimate.num,
            "error_frac": group[column.error].max() if column.error else np.nan,
        },
        column=column,
        estimate=estimate,
        contender=Contender(values=np.asarray(values), comparable=bool(comparable.all())),
    )


def comparable_and_valid(runs: DataFrame) -> Series:
    """Whether neither a run's health nor its load generator speaks against comparing it."""
    return ~(runs["health.comparable"].eq(False) | runs["serving.valid"].eq(False))


def _estimate(group: DataFrame, column: TableColumn) -> Estimate | None:
    """None where the runs have no such quantity at all."""
    metric = column.metric
    if metric is None:
        return share(int(reached(group).sum()), len(group))
    if metric.censored_by is not None:
        ended = outcomes(group, metric.censored_by)
        if np.isnan(ended.cost).all():
            return None
        if column.statistic == "expected":
            return replace(expected_cost(ended), num=len(ended) - ended.num_unknown)
    values: Floats = np.asarray(_values(group, column.statistic, metric).dropna())
    # Runs that missed are known to be the worst; if nothing is known of the hits, that is no value.
    only_misses = column.statistic == "to_target" and not reached(group).any()
    if not len(values) or not (only_misses or np.isfinite(values).any()):
        return None
    estimate = median(values)
    if is_share(metric.path):
        return with_sampling_error(estimate, least_num(num_samples(group, metric.path)))
    return estimate


def _values(group: DataFrame, statistic: Statistic, metric: Metric) -> Series:
    """The value of each run, if known; infinite for one that did not reach its target."""
    values = group[metric.path].astype("float64")
    if statistic == "to_target":
        values = values.where(reached(group), np.inf)
    if metric.path == "serving.throughput_per_s":
        values = values.mask(is_asked(group))
    return values


def is_guessed(label: str | None) -> bool:
    """Whether nothing measured these joules, so that no configuration is better in them."""
    return label is not None and any(word in label for word in GUESSED)


def _tested(rows: list[_Row]) -> list[dict[str, Any]]:
    """What a test says of each row: only that of the leader of a column says anything."""
    columns: dict[tuple[Any, ...], list[int]] = {}
    for place, row in enumerate(rows):
        if row.column.better is not None and not is_guessed(row.facts["label"]):
            facts = row.facts
            of = [facts[name] for name in ("topic", "label", "components", "command", "compared")]
            columns.setdefault((row.column.name, *of), []).append(place)
    p_values: list[float | None] = [None] * len(rows)
    for places in columns.values():
        contenders = [rows[place].contender for place in places]
        better = rows[places[0]].column.better
        leader = None if better is None else leader_of(contenders, better)
        if leader is not None and better is not None:
            p_values[places[leader]] = p_best(contenders, leader, better)
    return [
        {
            "best": adjusted is not None and adjusted < ALPHA,
            "p_best": np.nan if p_value is None else p_value,
            "p_best_holm": np.nan if adjusted is None else adjusted,
        }
        for p_value, adjusted in zip(p_values, holm(p_values), strict=True)
    ]


def _numbers(estimate: Estimate) -> dict[str, Any]:
    bounded = estimate.low is not None or estimate.high is not None
    is_interval = bounded and estimate.kind == "interval"
    return {
        **asdict(estimate),
        "kind": estimate.kind if bounded else None,
        "confidence": estimate.confidence if is_interval else np.nan,
    }


def counts(runs: DataFrame) -> DataFrame:
    """By configuration, the runs behind it and what speaks against them.

    Args:
        runs: Of load_runs; of each configuration, seed and repeat one run counts.

    Returns:
        `KEYS, num_runs, num_with_target, num_hits, num_failed, num_incomparable, num_invalid`:
        incomparable by their health (see health.flags), invalid by the load generator.
    """
    counted = with_keys(counted_runs(runs))
    rows = counted[list(KEYS)].assign(
        num_runs=1,
        num_with_target=counted["target.metric"].notna().astype(int),
        num_hits=reached(counted).astype(int),
        num_failed=(~counted["status"].isin(["ok", "interrupted"])).astype(int),
        num_incomparable=counted["health.comparable"].eq(False).astype(int),
        num_invalid=counted["serving.valid"].eq(False).astype(int),
    )
    grouped: DataFrame = rows.groupby(list(KEYS), sort=False).sum().reset_index()
    return grouped


def as_estimate(row: Mapping[Any, Any] | Series) -> Estimate:
    """A row of summarise as an estimate again."""
    value, low, high = (
        None if pd.isna(row[name]) else float(row[name]) for name in ("value", "low", "high")
    )
    return Estimate(
        value=value,
        low=low,
        high=high,
        num=int(row["num"]),
        kind="range" if row["kind"] == "range" else "interval",
    )
