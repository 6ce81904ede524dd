"""What the page's form chooses from: configurations with what each costs and what it gives.

The form itself is analysis/page/decide.js. Numbers are medians of the runs of a configuration, with
the bounds of bench.core.stats.intervals.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pandas import DataFrame, Series, isna

from analysis.figures.prepare import are_comparable
from analysis.figures.quantities import direction
from analysis.load.values import column, numbers
from analysis.page.rows import ALL, plain
from analysis.stats.accuracy import is_share, least_num, num_samples, with_sampling_error
from analysis.stats.lifecycle import cost_labels, lives
from analysis.stats.outcomes import TO_TARGET, reached, refused
from analysis.stats.qualities import main_qualities, main_values
from analysis.stats.repeats import KEYS, counted_with_keys, with_keys
from bench.core.metric import Quantity
from bench.core.quality_rows import TEST
from bench.core.scales import TIME, quantity
from bench.core.stats.intervals import median

COSTS: tuple[Quantity, ...] = ("cost_usd", "energy_j", "time_s")
# What a limit may be set on, besides the quality: name on the page, and column of the runs.
LIMITS = {
    "latency_p50_ms": "serving.latency_p50_ms",
    "latency_p90_ms": "serving.latency_p90_ms",
    "latency_p99_ms": "serving.latency_p99_ms",
    "size_bytes": "model.size_bytes",
}
# What describes a serving: name here, and column of the runs.
_SERVED = {
    "backend": "serving.backend",
    "device": "serving.device",
    "compression": "compression.method",
    "placement": "placement.name",
    "round_trip_ms": "placement.round_trip_ms",
}
_GROUP = ["command", "host", "peer_group"]
_MOST_GROUPS = 30


def decisions(runs: DataFrame) -> list[dict[str, Any]]:
    """Collect the configurations that may be chosen, by groups that may be compared.

    Args:
        runs: As loaded.

    Returns:
        For each group of peers of `bench.train` or `bench.serve`, the one with the most
        configurations first: `title`; `metric` and `better` of its quality; `choices`; `left_out`
        (name and reason of configurations that cannot be chosen). A choice has `name`, `num`
        (runs), `how` (it was served) and `unfit` (how many of them are not comparable), both in
        words or empty, and estimates, each `[median, low, high]` with None for what is infinite or
        not known: `quality`, those of LIMITS, and by cost `training` (to the target) and `each`
        (for one prediction). `labels`
        says how joules were obtained, and what money pays for.
    """
    counted = counted_with_keys(runs)
    counted = counted[counted["command"].isin(["train", "serve"])]
    if counted.empty:
        return []
    numbers_of_runs, left_out = _numbers(counted), _refused(runs)
    groups = []
    for key, rows in counted.groupby(_GROUP, sort=True):
        group = _group(rows, numbers_of_runs.loc[rows.index], left_out.get(key, []))
        groups.append({"title": _title(counted, key), **group})
    groups.sort(key=lambda group: -len(group["choices"]))
    return [group for group in groups if group["choices"]][:_MOST_GROUPS]


def _title(counted: DataFrame, key: tuple[Any, ...]) -> str:
    command, host, peers = map(str, key)
    several = counted[["command", "host"]].nunique()
    parts = [
        command if several["command"] > 1 else "",
        peers,
        host if several["host"] > 1 else "",
    ]
    return ", ".join(filter(None, parts)) or ALL


def _numbers(runs: DataFrame) -> DataFrame:
    """What each run costs and gives; a training that missed its target costs infinitely much."""
    table = DataFrame({name: numbers(runs, path) for name, path in LIMITS.items()})
    table["quality"] = main_values(runs)
    served = runs["command"].eq("serve")
    missed = runs["target.metric"].notna() & ~reached(runs)
    joules = column(runs, "energy_label").astype(object)
    for cost in COSTS:
        life = lives(runs, cost)
        training = numbers(runs, TO_TARGET[cost]).mask(missed, np.inf)
        table[f"training_{cost}"] = life["training"].where(served, training)
        each = life["per_prediction"]
        if cost == "time_s":  # the probe of a training answers in batches
            each = each.where(served, 1 / numbers(runs, "serving.throughput_per_s"))
        table[f"each_{cost}"] = each
        labels = life["training_label"].where(served, cost_labels(runs, joules, cost))
        table[f"label_{cost}"] = _joined(labels, life["serving_label"])
    return table


def _joined(first: Series, second: Series) -> Series:
    """Both labels where they differ, else the one."""
    return first.where((first == second) | (second == ""), first + " / " + second)


def _group(rows: DataFrame, table: DataFrame, left_out: list[dict[str, str]]) -> dict[str, Any]:
    names = main_qualities(rows).dropna().unique()
    metric = str(names[0]) if len(names) == 1 else None
    path = f"{TEST}.{metric}"
    choices = []
    for name, part in rows.groupby("configuration", sort=False):
        reason = _reason(part)
        if reason:
            left_out.append({"name": str(name), "reason": reason})
        else:
            choices.append(_choice(str(name), part, table.loc[part.index], path))
    return {
        "metric": metric,
        "better": None if metric is None else direction(rows, path),
        "choices": choices,
        "left_out": left_out,
    }


def _reason(runs: DataFrame) -> str:
    """Why a configuration cannot be chosen; empty if it can."""
    if runs["status"].ne("ok").all():
        return _because("failed", column(runs, "error.message"))
    invalid = runs[column(runs, "serving.valid").eq(False).fillna(False).astype(bool)]
    if len(invalid):
        words = f"{len(invalid)} of {len(runs)} passes not valid"
        return _because(words, column(invalid, "serving.invalid_reasons"))
    return ""


def _because(words: str, reasons: Series) -> str:
    """Add the reason of most runs, if they have any."""
    known = reasons.astype(object).dropna()
    counts = known[known != ""].value_counts()
    return f"{words}: {counts.index[0]}" if len(counts) else words


def _how(runs: DataFrame) -> str:
    """How a model was served, in words; empty for a training."""
    first = runs.iloc[0]
    known = {name: column(runs, path).iloc[0] for name, path in _SERVED.items()}
    known = {name: value for name, value in known.items() if not isna(value)}
    if first["command"] != "serve":
        return ""
    parts = [f"backend {known['backend']}"] if "backend" in known else []
    if "device" in known:
        parts.append(f"on {known['device']}")
    method = known.get("compression", "none")
    parts.append("not compressed" if method == "none" else f"compressed by {method}")
    if "placement" in known:
        trip = quantity(known.get("round_trip_ms", 0.0) * 1e-3, TIME)
        delay = f" (round trip {trip})" if known.get("round_trip_ms") else ""
        parts.append(f"placement {known['placement']}{delay}")
    return ", ".join(parts).replace(", on ", " on ")


def _unfit(runs: DataFrame) -> str:
    num = int((~are_comparable(runs)).sum())
    return f"{num} of {len(runs)} runs not comparable" if num else ""


def _choice(name: str, runs: DataFrame, table: DataFrame, path: str) -> dict[str, Any]:
    quality = _estimate(table["quality"], runs, path)
    return {
        "name": name,
        "num": len(runs),
        "how": _how(runs),
        "unfit": _unfit(runs),
        "quality": quality,
        **{limit: _estimate(table[limit]) for limit in LIMITS},
        "training": {cost: _estimate(table[f"training_{cost}"]) for cost in COSTS},
        "each": {cost: _estimate(table[f"each_{cost}"]) for cost in COSTS},
        "labels": {cost: ", ".join(sorted(set(table[f"label_{cost}"]) - {""})) for cost in COSTS},
    }


def _estimate(
    values: Series, runs: DataFrame | None = None, path: str = ""
) -> list[float | int | None]:
    """`[median, low, high]` of the runs that have a value; an accuracy with its sampling error."""
    known = np.asarray(values.dropna(), dtype=np.float64)
    if not len(known):
        return [None, None, None]
    estimate = median(known)
    if runs is not None and is_share(path):
        estimate = with_sampling_error(estimate, least_num(num_samples(runs, path)))
    return [plain(each) for each in (estimate.value, estimate.low, estimate.high)]


def _refused(runs: DataFrame) -> dict[tuple[Any, ...], list[dict[str, str]]]:
    """Combinations that do not exist, with the reason, by command, host and group of peers."""
    rows = with_keys(runs)[refused(runs)].drop_duplicates(list(KEYS))
    found: dict[tuple[Any, ...], list[dict[str, str]]] = {}
    for row in rows[[*KEYS, "error.message"]].to_dict("records"):
        reason = f"refused: {row['error.message']}"
        key = tuple(row[name] for name in _GROUP)
        found.setdefault(key, []).append({"name": str(row["configuration"]), "reason": reason})
    return found
