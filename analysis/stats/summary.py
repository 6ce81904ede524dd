"""One row per configuration, quantity and kind of joules: what its runs amount to.

Runs that may not be compared (another target, data, kind of host or scenario) are not repeats of
one another, nor are runs whose joules were obtained in another way or of other parts of the
machine: they have rows of their own. A best value is named only among rows that may be compared,
and only if a test supports it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame, Series

from analysis.load.joules import COST_BASIS, ELECTRICITY, GRID, joules_in_doubt
from analysis.load.once import settled
from analysis.stats.accuracy import is_share, least_num, num_samples, with_sampling_error
from analysis.stats.best import Contender, leader_of, p_best
from analysis.stats.expected_cost import expected_cost
from analysis.stats.outcomes import outcomes, reached, with_target
from analysis.stats.repeats import KEYS, counted_with_keys, has_fixed_rate
from analysis.stats.table_columns import OF_TRAINING, TOPICS, Statistic, TableColumn, columns_of
from bench.core.arrays import Floats
from bench.core.labels import GUESSED
from bench.core.metric import Joules, Metric
from bench.core.stats.intervals import Estimate, median, share
from bench.core.stats.ranks import ALPHA, holm

# The columns of the configuration that the statistics read.
_USED = ("config.price.", "config.scenario.", "config.trainer.num_nodes")
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
    """One row, with the values of its comparable runs, among which the best is looked for."""

    facts: dict[str, Any]
    column: TableColumn
    estimate: Estimate
    contender: Contender


class _Repeats:
    """Runs of one configuration with joules of one kind; a column reads them more than once."""

    def __init__(self, runs: DataFrame, label: str | None = None, parts: str | None = None) -> None:
        self.runs = runs
        self.label, self.parts = label, parts
        self.hit = reached(runs)
        # Neither the run's health nor the load generator speaks against comparing it.
        self.comparable = ~(runs["health.comparable"].eq(False) | runs["serving.valid"].eq(False))
        # A flag on the joules does not speak against the time of the same run.
        self.comparable_joules = self.comparable & ~joules_in_doubt(runs)
        # Several columns of a table are about the same quantity.
        self.outcomes = cache(partial(outcomes, runs))


class _Configuration:
    """The repeats of one configuration, which are divided by kind of joules as a column asks."""

    def __init__(self, keys: tuple[Any, ...], runs: DataFrame) -> None:
        self.keys = dict(zip(KEYS, keys, strict=True))
        self._runs = runs
        self.kinds = cache(self._kinds)

    def _kinds(self, joules: Joules | None, charged_by: str | None) -> list[_Repeats]:
        """Repeats with one label and one set of parts, and with one price or grid.

        A run that failed before it had a label belongs to the only kind that there is.
        """
        runs = self._runs
        if joules is None:
            return [_Repeats(runs)]
        facts = list(zip(*(_labels(runs[name]) for name in joules.facts), strict=True))
        if charged_by == GRID:
            facts = [
                (f"{label}, grid of {grid}" if grid else label, parts)
                for (label, parts), grid in zip(facts, runs[GRID], strict=True)
            ]
        if charged_by == COST_BASIS:
            # Rent has no label: it does not depend on how joules were obtained.
            facts = [
                (f"{basis}, {label}", parts) if ELECTRICITY in basis else (basis, "")
                for (label, parts), basis in zip(facts, _labels(runs[COST_BASIS]), strict=True)
            ]
        rows = {key: [n for n, each in enumerate(facts) if each == key] for key in set(facts)}
        return [
            _Repeats(runs if len(rows) == 1 else runs.iloc[rows[key]], key[0], key[1] or None)
            for key in sorted(rows)
        ]


def summarise(runs: DataFrame) -> DataFrame:
    """Estimate every quantity of the tables for every configuration, with its interval.

    Args:
        runs: Of load_runs; one run counts per configuration, seed and repeat.

    Returns:
        `COLUMNS`. value, low and high are in the record's units, missing if infinite or unknown;
        kind says whether the bounds are an interval of this confidence or a range. num is the
        number of runs with a value, num_missing of those without. An expected cost is missing if
        the cost of any run is unknown. `label` and `components` say how joules were obtained and of
        which parts, and what money is for. error_frac is the largest bound of the systematic error.
        best marks the best value of a column if p_best_holm < 0.05: that is p_best (of
        analysis.stats.best), corrected by Holm over all columns. Modelled joules have no best
        value. A quantity that no run of a configuration has, has no row.
    """
    runs = settled(runs)
    counted = counted_with_keys(runs)
    counted = counted[[name for name in counted if _is_used(str(name))]]
    # Costs of reaching a target say nothing about a serving.
    trained = _configurations(with_target(counted))
    every = _configurations(counted)
    # Most quantities of the catalogue: left out here, they cost nothing for each configuration.
    missing = set(counted.columns[counted.isna().all()])
    rows = [
        row
        for topic in TOPICS
        for column in columns_of(topic, runs)
        if column.needs not in missing
        for row in _rows(trained if topic in OF_TRAINING else every, topic, column)
    ]
    cells = [
        {
            **row.facts,
            "metric": row.column.name,
            "statistic": row.column.statistic,
            **_numbers(row.estimate),
            **tested,
        }
        for row, tested in zip(rows, _tested(rows), strict=True)
    ]
    return DataFrame(cells, columns=list(COLUMNS))


def _is_used(name: str) -> bool:
    # Most columns are of the configuration and the host, and slow every selection of rows down.
    return not name.startswith(("config.", "host.")) or name.startswith(_USED)


def _configurations(runs: DataFrame) -> list[_Configuration]:
    return [_Configuration(keys, part) for keys, part in runs.groupby(list(KEYS), sort=False)]


def _rows(configurations: list[_Configuration], topic: str, column: TableColumn) -> Iterator[_Row]:
    for configuration in configurations:
        for repeats in configuration.kinds(column.joules, column.charged_by):
            kind = {"label": repeats.label, "components": repeats.parts}
            row = _row(repeats, column, {**configuration.keys, "topic": topic, **kind})
            if row is not None:
                yield row


def _labels(values: Series) -> list[str]:
    """Fill in missing labels with the only known one, or with NO_LABEL if there are several."""
    known = {str(value) for value in values if not pd.isna(value)}
    instead = known.pop() if len(known) == 1 else NO_LABEL
    return [instead if pd.isna(value) else str(value) for value in values]


def _row(repeats: _Repeats, column: TableColumn, facts: dict[str, Any]) -> _Row | None:
    runs, values = repeats.runs, Series(np.nan, index=repeats.runs.index)
    if column.metric is not None:
        # A case of many columns: found here, it takes a fraction of the time.
        if column.needs is not None and runs[column.needs].isna().all():
            return None
        values = _values(repeats, column.statistic, column.metric)
    estimate = _estimate(repeats, column, values)
    if estimate is None:
        return None
    comparable = repeats.comparable if column.joules is None else repeats.comparable_joules
    return _Row(
        facts={
            **facts,
            "num_missing": len(runs) - estimate.num,
            "error_frac": runs[column.error].max() if column.error else np.nan,
        },
        column=column,
        estimate=estimate,
        contender=Contender(
            values=np.asarray(values[comparable].dropna()),
            comparable=bool(comparable.all()),
        ),
    )


def _estimate(repeats: _Repeats, column: TableColumn, values: Series) -> Estimate | None:
    """None if the runs have no such quantity at all."""
    metric = column.metric
    if metric is None:
        return share(int(repeats.hit.sum()), len(repeats.runs))
    if metric.censored_by is not None:
        ended = repeats.outcomes(metric.censored_by)
        if np.isnan(ended.cost).all():
            return None
        if column.statistic == "expected":
            return replace(expected_cost(ended), num=len(ended) - ended.num_unknown)
    known: Floats = np.asarray(values.dropna())
    # Misses are known to be the worst. If nothing is known of the hits, they alone say nothing.
    # All runs missed: the median is infinite, which is known.
    has_only_misses = column.statistic == "to_target" and not repeats.hit.any()
    if not len(known) or not (has_only_misses or np.isfinite(known).any()):
        return None
    estimate = median(known)
    if is_share(metric.path):
        return with_sampling_error(estimate, least_num(num_samples(repeats.runs, metric.path)))
    return estimate


def _values(repeats: _Repeats, statistic: Statistic, metric: Metric) -> Series:
    """The value of each run, NaN if unknown; infinite for one that did not reach its target."""
    values = repeats.runs[metric.path].astype(np.float64)
    if statistic == "to_target":
        values = values.where(repeats.hit, np.inf)
    if metric.path == "serving.throughput_per_s":
        # At a rate that was asked for, the throughput is that rate.
        values = values.mask(has_fixed_rate(repeats.runs))
    return values


def is_modelled(label: str | None) -> bool:
    """Whether nothing measured these joules, so that they cannot rank configurations."""
    return label is not None and any(word in label for word in GUESSED)


def _tested(rows: list[_Row]) -> list[dict[str, Any]]:
    """The result of the test in each row: only the leader of a column has a p-value."""
    columns: dict[tuple[Any, ...], list[int]] = {}
    for place, row in enumerate(rows):
        # Modelled joules rank nothing, so they are not tested and do not count in the correction.
        if row.column.better is not None and not is_modelled(row.facts["label"]):
            names = ("topic", "label", "components", "command", "peer_group")
            key = (row.column.name, *(row.facts[name] for name in names))
            columns.setdefault(key, []).append(place)
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
    # An interval without an upper bound is still one.
    bounded = estimate.low is not None or estimate.high is not None
    is_interval = bounded and estimate.kind == "interval"
    return {
        **asdict(estimate),
        "kind": estimate.kind if bounded else None,
        "confidence": estimate.confidence if is_interval else np.nan,
    }


def as_estimate(row: Mapping[Any, Any] | Series) -> Estimate:
    """Turn a row of summarise into an estimate again."""
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
