"""What the runs say, in sentences made from the data: who is cheapest, how sure, and at what price.

Every number stands with its n and interval. Where a difference is not significant, or joules were
obtained in different ways, the sentence says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pandas import DataFrame, Series

from analysis.digits import estimate_text, of_digits
from analysis.figures.prepare import column, fitness
from analysis.outcomes import Floats, Quantity, hosts, outcomes, reached, with_target
from analysis.summary import as_estimate
from bench.core.intervals import ratio_of_medians
from bench.core.rank_test import ALPHA

_MOST_TARGETS = 4  # of the kinds of target that are told about, the largest
_TARGET = ["target.metric", "target.value", "target.rule", "host"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A heading and its sentences."""

    heading: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cost:
    """One way to be cheapest."""

    words: str
    unit: str
    metric: str
    quantity: Quantity


_COSTS = (
    _Cost(words="time", unit="s", metric="time_to_target_s", quantity="time_s"),
    _Cost(words="energy", unit="J", metric="energy_to_target_j", quantity="energy_j"),
    _Cost(words="money", unit="US$", metric="cost_to_target_usd", quantity="cost_usd"),
)


def summary_words(runs: DataFrame, unread: DataFrame, summary: DataFrame) -> list[Part]:
    """The summary at the head of the page.

    Args:
        runs: As loaded.
        unread: Folders that could not be read.
        summary: Of summarise, of these runs.
    """
    parts = [Part(heading="What was read", sentences=tuple(_read(runs, unread)))]
    trained = with_target(runs)
    if trained.empty:
        return parts
    trained = trained.assign(host=hosts(trained))
    groups = sorted(trained.groupby(_TARGET, sort=True), key=lambda pair: -len(pair[1]))
    for (metric, value, rule, host), group in groups[:_MOST_TARGETS]:
        sign = "≤" if metric in ("loss", "expected_calibration_error") else "≥"
        heading = f"{str(metric).replace('_', ' ')} {sign} {value:g} (rule {rule}) on {host}"
        parts.append(Part(heading=heading, sentences=tuple(_target_words(group, summary))))
    if len(groups) > _MOST_TARGETS:
        rest = sum(len(group) for _, group in groups[_MOST_TARGETS:])
        sentence = f"{len(groups) - _MOST_TARGETS} further kinds of target or host, {rest} runs."
        parts.append(Part(heading="Not told about here", sentences=(sentence,)))
    return parts


def _read(runs: DataFrame, unread: DataFrame) -> Iterator[str]:
    trained = with_target(runs)
    configurations = trained["configuration"].nunique()
    yield (
        f"{_count(len(trained), 'training')} of {_count(configurations, 'configuration')} and "
        f"{_count(len(runs) - len(trained), 'other run')} were read; "
        f"{_count(len(unread), 'folder')} could not be read."
    )
    if len(trained):
        ended = outcomes(trained)
        missed = len(trained) - ended.num_hits - int(ended.failed.sum())
        yield (
            f"{ended.num_hits} reached their target, {missed} missed it, {ended.failed.sum()} "
            "failed. Misses and failures are inside every number below, as the worst."
        )
    unfit = runs[~fitness(runs)]
    if len(unfit):
        texts = unfit["health.flags"].dropna()
        flags = sorted({flag for text in texts for flag in text.split(",")})
        told = _count(len(unfit), "run")
        yield f"{told} unfit to compare ({', '.join(flags)}); marked everywhere."
    else:
        yield "No run is marked as unfit to compare."
    yield from _label_words(runs)


def _label_words(runs: DataFrame) -> Iterator[str]:
    labels = column(runs, "energy_label").dropna().value_counts()
    if labels.empty:
        yield "No run has a label of its joules: nothing is said of energy."
        return
    told = ", ".join(f"{label} ({count})" for label, count in labels.items())
    yield f"Joules were obtained as: {told}."
    if len(labels) > 1:
        yield "Those of different labels are not compared with one another."
    if "modelled" in labels:
        yield (
            "Modelled joules are CPU time times watts of a table: an estimate, no ground for "
            "ranking configurations by energy, nor by the money that follows from it."
        )


def _target_words(group: DataFrame, summary: DataFrame) -> Iterator[str]:
    """Of the runs of one target on one host: a configuration belongs to one target only."""
    own = summary[
        summary["command"].isin(group["command"])
        & summary["configuration"].isin(group["configuration"])
        & (summary["host"] == group["host"].iloc[0])
    ]
    if not reached(group).any():
        yield f"None of {_count(len(group), 'run')} reached it: there is no cheapest way."
        return
    for cost in _COSTS:
        rows = own[own["metric"] == cost.metric]
        for label, part in rows.groupby(rows["label"].fillna(""), sort=True):
            yield from _cheapest(group, part, cost, str(label))


def _cheapest(group: DataFrame, rows: DataFrame, cost: _Cost, label: str) -> Iterator[str]:
    """The best in one cost, how sure that is, and what it loses in the others."""
    known = rows.dropna(subset=["value"]).sort_values("value", kind="stable")
    how = f", {label}" if label else ""
    if known.empty:
        if rows["num"].sum():
            yield f"In {cost.words}{how}: of no configuration did more than half of the runs hit."
        return
    best = known.iloc[0]
    mine = group[group["configuration"] == best["configuration"]]
    yield (
        f"Cheapest in {cost.words}: {best['configuration']}, "
        f"{estimate_text(as_estimate(best))} {cost.unit}{how} (median{_interval(best)}, n = "
        f"{best['num']}, {_hits(mine)} hit). {_against_second(known, rows, cost)}"
    )
    yield from _losses(group, str(best["configuration"]), cost)


def _interval(row: Series) -> str:
    return "" if pd.isna(row["low"]) else " with 95% bootstrap interval"


def _hits(runs: DataFrame) -> str:
    return f"{int(reached(runs).sum())} of {len(runs)}"


def _against_second(known: DataFrame, rows: DataFrame, cost: _Cost) -> str:
    if len(rows) == 1:
        return "There is no other configuration to compare with."
    if len(known) == 1:
        return "Of the others, half of the runs or more missed."
    second = known.iloc[1]
    told = (
        f"Second: {second['configuration']}, {estimate_text(as_estimate(second))} {cost.unit} "
        f"(n = {second['num']})"
    )
    p_value = rows["p_against_second"].dropna()
    if p_value.empty:
        return f"{told}; too few runs to test the difference."
    p_text = f"one-sided rank test, p = {p_value.iloc[0]:.2g}"
    verdict = "significant" if p_value.iloc[0] < ALPHA else "not significant"
    return f"{told}; the difference is {verdict} ({p_text})."


def _losses(group: DataFrame, winner: str, cost: _Cost) -> Iterator[str]:
    """What the winner in one cost pays in the others, against the best there."""
    told = [*_cost_losses(group, winner, cost), *_result_losses(group, winner)]
    if told:
        yield f"Against the best in each, it takes {'; '.join(told)}."


def _cost_losses(group: DataFrame, winner: str, cost: _Cost) -> Iterator[str]:
    labels = column(group, "energy_label").dropna().unique()
    for other in _COSTS:
        if other == cost or (other.quantity != "time_s" and len(labels) != 1):
            continue
        costs = {
            str(name): _known(outcomes(part, other.quantity).with_misses_worst())
            for name, part in group.groupby("configuration")
        }
        costs = {name: values for name, values in costs.items() if len(values)}
        if winner not in costs or len(costs) < 2:
            continue
        best = min(costs, key=lambda name: float(np.median(costs[name])))
        if not np.isfinite(np.median(costs[best])):
            continue
        if best == winner:
            yield f"the least {other.words}, too"
            continue
        ratio = ratio_of_medians(costs[winner], costs[best])
        times = "without bound" if ratio.value is None else f"{estimate_text(ratio)} times"
        yield f"{times} the {other.words} of {best} (n = {ratio.num})"


def _known(values: Floats) -> Floats:
    known: Floats = values[~np.isnan(values)]
    return known


# Column of the runs, words, unit, scale, and whether more is better.
_RESULTS: Sequence[tuple[str, str, str, float, bool]] = (
    ("quality_test.accuracy", "test accuracy", "points", 100.0, True),
    ("serving.latency_p90_ms", "latency p90", "times", 1.0, False),
    ("model.size_bytes", "model size", "times", 1.0, False),
)


def _result_losses(group: DataFrame, winner: str) -> Iterator[str]:
    for name, words, unit, scale, more in _RESULTS:
        values = column(group, name).astype("float64").groupby(group["configuration"])
        medians = values.median().dropna()
        if winner not in medians or len(medians) < 2:
            continue
        best = str(medians.idxmax() if more else medians.idxmin())
        mine, top, num = medians[winner], medians[best], int(values.count()[winner])
        if mine == top:
            continue
        if unit == "points":
            yield f"{of_digits(scale * (top - mine))} points less {words} than {best} (n = {num})"
        else:
            yield f"{of_digits(mine / top)} times the {words} of {best} (n = {num})"


def _count(num: int, word: str) -> str:
    return f"{num} {word}" if num == 1 else f"{num} {word}s"
