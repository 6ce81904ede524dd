"""One metric against another, per configuration, with the Pareto front."""

from __future__ import annotations

from typing import Any

import numpy as np
from pandas import DataFrame, Series, concat

from analysis.figures.deployments import deployment_runs
from analysis.figures.marks import paired_medians
from analysis.figures.prepare import (
    COSTS,
    NothingToDraw,
    filled_labels,
    joule_kinds,
    serving_runs,
    spent,
    training_runs,
    with_label_names,
)
from analysis.figures.programs import program_runs
from analysis.figures.quantities import (
    cost_bases,
    counted_costs,
    direction,
    is_charge,
    rate_words,
    require_axes,
    sample_of,
)
from analysis.load.joules import grids, joules_in_doubt
from analysis.load.values import column, numbers
from analysis.stats.accuracy import is_share, least_num, sampling_bounds
from analysis.stats.deployments import stream_words
from analysis.stats.pareto import Noise, front_probability, noise_of
from analysis.stats.peers import Group, peer_groups
from bench.core.metric import Better

_NO_FRONT: dict[str, Any] = {"front": False, "beaten_by": None, "front_share": np.nan}


def tradeoff_peers(runs: DataFrame, *, x: str, y: str, area: str | None = None) -> list[Group]:
    """Group the runs that have both metrics.

    Money for electricity and money for a rented machine are never in one group.

    Raises:
        ValueError: One of the columns cannot be an axis.
    """
    require_axes(runs, x, y, area)
    trained = column(runs, "target.metric").notna()
    # A training that missed has no cost to the target, but belongs to the group as a miss.
    only = trained if x in COSTS or y in COSTS else _holds(runs, x) & _holds(runs, y)
    more = {"rate": rate_words(runs), "stream": stream_words(runs)}
    if _is_money(x) or _is_money(y):
        more["price"] = cost_bases(runs)
    if any(is_charge(name, ("_gco2e",)) for name in (x, y)):
        more["grid"] = grids(runs)
    return peer_groups(runs, only=only, more=more)


def data_tradeoff(runs: DataFrame, *, x: str, y: str, area: str | None = None) -> DataFrame:
    """Prepare medians of two metrics per configuration, their intervals, and the front.

    A run that missed its target counts as infinite in the cost of reaching it. For a setting there
    is no front.

    Args:
        runs: As loaded, or a group of them.
        x: Column of the runs from left to right.
        y: Column of the runs from bottom to top.
        area: Column that the area of a point stands for.

    Returns:
        A row for each configuration: `configuration`, `x`, `x_low`, `x_high`, `y`, `y_low`,
        `y_high`, `area`, `missed` (whether the median run missed: x and y are then what was spent),
        `off_target` (whether half of the runs or more missed their target), `front` (judged by the
        comparable runs among configurations of the same `label`: none is better by more than noise
        and sampling error), `beaten_by` (one that is), `front_share` (of resamples; missing with
        too few runs), `num_runs`,
        `num_reached`, `num_incomparable`, `x_name`, `y_name`, `area_name`, `x_better`, `y_better`
        (`min` or `max`; missing for a setting), `sample` (of the task), `labels` (how joules and
        money were obtained), `num_without` (runs that lack one of the two), `remark`.

    Raises:
        NothingToDraw: No run has both.
        ValueError: One of the columns cannot be an axis.
    """
    require_axes(runs, x, y, area)
    table = _run_values(runs, x, y, area)
    known = table[(table["x"].notna() | table["x_bound"]) & (table["y"].notna() | table["y_bound"])]
    if known.empty:
        raise NothingToDraw(f"no run holds both {x} and {y}")
    better = direction(runs, x), direction(runs, y)
    data = _with_fronts(_cells(known), known, (x, y), better)
    if data[["x", "y"]].dropna().empty:
        raise NothingToDraw(f"all runs missed their target at an unknown cost: {x}")
    return data.assign(
        x_name=x,
        y_name=y,
        area_name=area,
        x_better=better[0],
        y_better=better[1],
        sample=sample_of(runs),
        labels=", ".join(sorted(set(known["label"]) - {""})),
        num_without=len(table) - len(known),
        remark="",
    )


def _holds(runs: DataFrame, name: str) -> Series:
    return column(runs, name).notna()


def _is_money(name: str) -> bool:
    return is_charge(name, ("_usd",))


def _with_fronts(
    data: DataFrame,
    known: DataFrame,
    names: tuple[str, str],
    better: tuple[Better | None, Better | None],
) -> DataFrame:
    """Add the front of the comparable runs, one for each label of joules and money.

    A configuration without comparable runs is not on a front and beats no other one.
    """
    # Each configuration has one label, so it takes part in one front only.
    labels = known.groupby("configuration")["label"].first()
    data["label"] = data["configuration"].map(labels)
    # Against a setting, no point is better than another.
    if better[0] is None or better[1] is None:
        return data.assign(**_NO_FRONT)
    missed = known["x_bound"] | known["y_bound"]
    fronts = [
        front_probability(
            rows,
            "x",
            "y",
            (better[0], better[1]),
            missed=missed[rows.index],
            noise=(_noise(rows, "x", names[0]), _noise(rows, "y", names[1])),
        )
        for _, rows in known[known["comparable"]].groupby(known["configuration"].map(labels))
    ]
    if not fronts:
        return data.assign(**_NO_FRONT)
    front = concat(fronts).set_index("configuration")
    data["front"] = data["configuration"].map(front["on_front"]).eq(True)
    data["beaten_by"] = data["configuration"].map(front["beaten_by"]).astype(object)
    data["front_share"] = data["configuration"].map(front["front_probability"]).astype("float64")
    return data


def _noise(rows: DataFrame, axis: str, name: str) -> Noise:
    if is_share(name):
        return Noise(num_samples=rows[f"{axis}_samples"])
    # For other metrics, the scatter of the runs or the least effect of the gate.
    return noise_of(rows, name)


def _run_values(runs: DataFrame, x: str, y: str, area: str | None) -> DataFrame:
    """Both metrics of each run, and whether a cost is only a bound."""
    rows = training_runs(runs) if x in COSTS or y in COSTS else _ended(runs)
    labels = _labels(rows, x, y)
    rows = with_label_names(rows, labels)
    table = DataFrame(
        {
            "configuration": rows["configuration"],
            "comparable": rows["comparable"],
            "reached": rows["outcome"] == "reached",
        }
    )
    for axis, name in (("x", x), ("y", y)):
        if name in COSTS:
            cost = spent(rows, name)
            table[axis] = cost["value"]
            table[f"{axis}_bound"] = cost["bound"] & counted_costs(rows, cost, name)
        else:
            table[axis], table[f"{axis}_bound"] = numbers(rows, name), False
        split = name.rpartition(".")[0]
        nums = numbers(rows, f"{split}.num_samples") if is_share(name) else np.nan
        table[f"{axis}_samples"] = nums
    table["area"] = numbers(rows, area) if area else np.nan
    table["label"] = "" if labels is None else labels
    if labels is not None:
        table["comparable"] &= ~joules_in_doubt(rows)
    return table


def _ended(runs: DataFrame) -> DataFrame:
    """All runs with `outcome`: of a serving that of its training, of a deployment on target."""
    parts = []
    if _holds(runs, "target.metric").any():
        parts.append(training_runs(runs))
    if _holds(runs, "serving.scenario").any():
        served = serving_runs(runs)
        missed = column(served, "trained.reached").eq(False)
        comparable = served["comparable"] & ~column(served, "serving.valid").eq(False)
        parts.append(
            served.assign(outcome=np.where(missed, "missed", "reached"), comparable=comparable)
        )
    if _holds(runs, "maintenance.policy").any():
        deployed = deployment_runs(runs)
        ended = np.where(deployed["never_on_target"], "missed", "reached")
        parts.append(deployed.assign(outcome=ended))
    if _holds(runs, "program.exit_code").any():
        parts.append(program_runs(runs).assign(outcome="reached"))
    if not parts:
        raise NothingToDraw("no run of a training, a serving, a deployment or a program")
    return concat(parts)


def _labels(rows: DataFrame, x: str, y: str) -> Series | None:
    """How the joules and the money on the axes were obtained; None without either."""
    names = (x, y)
    labels = None
    if any("per_prediction" in name or "per_million" in name for name in names):
        labels = filled_labels(rows, joule_kinds(rows, "serving"))
    elif any(is_charge(name) for name in names):
        labels = filled_labels(rows, joule_kinds(rows))
    if labels is None or not any(_is_money(name) for name in names):
        return labels
    basis = cost_bases(rows)
    # The price of a rented machine includes its electricity, however the joules were obtained.
    matters = basis.str.contains("electricity") | any(is_charge(name, ("_j",)) for name in names)
    return basis.where(~matters, basis + ", " + labels)


def _cells(known: DataFrame) -> DataFrame:
    """Medians of each configuration; what its runs spent, if the median run missed."""
    data = paired_medians(known, "x", "y")
    configurations = known.groupby("configuration")
    for axis in ("x", "y"):
        _widen(data, axis, configurations[f"{axis}_samples"].agg(least_num))
    data["num_reached"] = configurations["reached"].sum()
    data["missed"] = data["x"].isna() | data["y"].isna()
    # Also for quantities that a miss has, such as accuracy: the reader must see that most missed.
    data["off_target"] = configurations["reached"].mean() <= 0.5
    for axis in ("x", "y"):
        data[axis] = data[axis].fillna(configurations[axis].median())
    data["area"] = configurations["area"].median()
    return data.reset_index()


def _widen(part: DataFrame, axis: str, nums: Series) -> None:
    """Widen the interval of an accuracy to at least its sampling error on the split."""
    sampling = [sampling_bounds(*pair) for pair in zip(part[axis], nums, strict=True)]
    known = nums.notna() & part[axis].notna()
    low, high = (Series(ends, index=part.index) for ends in zip(*sampling, strict=True))
    run_low, run_high = part[f"{axis}_low"], part[f"{axis}_high"]
    part[f"{axis}_low"] = run_low.fillna(low).clip(upper=low).where(known, run_low)
    part[f"{axis}_high"] = run_high.fillna(high).clip(lower=high).where(known, run_high)
