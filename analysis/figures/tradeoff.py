"""One metric against another, per configuration, and the front that no configuration beats."""

from __future__ import annotations

import numpy as np
from pandas import DataFrame, Series, concat

from analysis.figures.axes import NothingToDraw
from analysis.figures.prepare import (
    COSTS,
    column,
    fitness,
    numbers,
    spent,
    training_runs,
    with_label_names,
)
from analysis.figures.spread import medians
from analysis.pareto import Better, front_probability

# Metrics of which more is better; of all others less is.
_MORE_IS_BETTER = (
    "accuracy",
    "macro_f1",
    "worst_class_recall",
    "throughput_per_s",
    "goodput_per_s",
    "max_rate_per_s",
    "completed_per_s",
)


def direction(name: str) -> Better:
    """In which direction a metric of a record is better."""
    return "max" if name.rpartition(".")[2] in _MORE_IS_BETTER else "min"


def data_tradeoff(runs: DataFrame, *, x: str, y: str, area: str | None = None) -> DataFrame:
    """Medians of two metrics per configuration, their intervals, and the front.

    A run that missed its target counts as infinite in what reaching it costs.

    Args:
        runs: As loaded.
        x: Column of the runs from left to right.
        y: Column of the runs from bottom to top.
        area: Column that the area of a point stands for.

    Returns:
        A row for each configuration: `configuration`, `x`, `x_low`, `x_high`, `y`, `y_low`,
        `y_high`, `area`, `missed` (the median run did: x and y are then what was spent in vain),
        `front` (among those of the same
        `label`), `front_share` (of resamples), `num_runs`, `num_reached`, `num_unfit`, `x_name`,
        `y_name`, `area_name`, `labels` (how joules were obtained), `num_without` (runs that lack
        one of the two), `remark`.

    Raises:
        NothingToDraw: No run has both.
    """
    for name in (x, y, *([area] if area else [])):
        if name not in runs and name not in COSTS:
            raise NothingToDraw(f"no run holds {name}")
    table = _both(runs, x, y, area)
    known = table[(table["x"].notna() | table["x_bound"]) & (table["y"].notna() | table["y_bound"])]
    if known.empty:
        raise NothingToDraw(f"no run holds both {x} and {y}")
    data = _with_fronts(_cells(known), known, (direction(x), direction(y)))
    if data[["x", "y"]].dropna().empty:
        raise NothingToDraw(f"all runs missed their target, and what they spent is not known: {x}")
    return data.assign(
        x_name=x,
        y_name=y,
        area_name=area,
        labels=", ".join(sorted(set(known["label"]) - {""})),
        num_without=len(table) - len(known),
        remark="",
    )


def _with_fronts(data: DataFrame, known: DataFrame, better: tuple[Better, Better]) -> DataFrame:
    """The front among configurations whose joules were obtained alike."""
    missed = known["x_bound"] | known["y_bound"]
    fronts = [
        front_probability(rows, "x", "y", better, missed=missed[rows.index])
        for _, rows in known.groupby("label")
    ]
    front = concat(fronts).set_index("configuration")
    data["label"] = data["configuration"].map(known.groupby("configuration")["label"].first())
    data["front"] = data["configuration"].map(front["on_front"]).astype(bool)
    data["front_share"] = data["configuration"].map(front["front_probability"])
    return data


def _both(runs: DataFrame, x: str, y: str, area: str | None) -> DataFrame:
    """What each run has of the two, and whether what it cost is a bound."""
    if x in COSTS or y in COSTS:
        rows = training_runs(runs)
    else:
        rows = runs.assign(outcome="reached", fit=fitness(runs))
    labels = _labels(rows, x, y)
    rows = with_label_names(rows, labels)
    table = DataFrame({"configuration": rows["configuration"], "fit": rows["fit"]})
    for axis, name in (("x", x), ("y", y)):
        if name in COSTS:
            cost = spent(rows, name)
            table[axis], table[f"{axis}_bound"] = cost["value"], cost["bound"]
        else:
            table[axis], table[f"{axis}_bound"] = numbers(rows, name), False
    table["area"] = numbers(rows, area) if area else np.nan
    table["label"] = labels.astype(object).fillna("") if labels is not None else ""
    return table


def _labels(rows: DataFrame, x: str, y: str) -> Series | None:
    """How the joules on one of the axes were obtained; nothing where there are none."""
    if any("per_prediction" in name or "per_million" in name for name in (x, y)):
        return column(rows, "serving.energy_per_prediction_label")
    if any(name.endswith(("_j", "_usd", "_gco2e")) for name in (x, y)):
        return column(rows, "energy_label")
    return None


def _cells(known: DataFrame) -> DataFrame:
    """Medians of a configuration; what was spent in vain where its median run missed."""
    parts = []
    for axis in ("x", "y"):
        bounded = known.assign(bound=known[f"{axis}_bound"])
        part = medians(bounded, ["configuration"], axis).set_index("configuration")
        parts.append(part.rename(columns={"low": f"{axis}_low", "high": f"{axis}_high"}))
    reached = (~(known["x_bound"] | known["y_bound"])).groupby(known["configuration"]).sum()
    data = parts[0].join(parts[1][["y", "y_low", "y_high"]])
    data["num_reached"] = reached
    data["missed"] = data["x"].isna() | data["y"].isna()
    groups = known.groupby("configuration")
    for axis in ("x", "y"):
        data[axis] = data[axis].fillna(groups[axis].median())
    data["area"] = groups["area"].median()
    return data.reset_index()
