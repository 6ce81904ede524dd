"""The total cost of each policy against the price of an error, and which policy is the cheapest.

    total = cost of upkeep + wrong predictions x price of an error

A line holds for what a policy did: one that weighs errors would decide otherwise at another price.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from pandas import DataFrame, Series, concat

from analysis.figures.axes import (
    Canvas,
    canvas,
    finished,
    in_paper_style,
    log_axis,
    name_axis,
)
from analysis.figures.cost_lines import Terms, draw_cost_lines, lowest, worth_of
from analysis.figures.deployments import deployment_runs
from analysis.figures.prepare import NothingToDraw
from analysis.figures.quantities import cost_bases
from analysis.figures.style import INK, Width
from analysis.load.joules import ELECTRICITY
from analysis.load.values import numbers
from analysis.stats.lifecycle import break_even_predictions, cheapest_in_turn
from bench.core.arrays import Floats
from bench.core.scales import MONEY

_TERMS = Terms(
    fixed="cost", each="errors", crossing="price", crossing_text="{}", crossing_scale=MONEY
)
_MOST_TIMES = 10.0  # times the cheapest policy, up to which others are drawn
_BEYOND = 10.0  # times the prices that matter, to both sides


def data_policy_price(runs: DataFrame) -> DataFrame:
    """Prepare cost and errors of each configuration, and the prices where another one is cheapest.

    Args:
        runs: As loaded, or a group of them.

    Returns:
        Rows of two kinds. `kind` is `policy`: `configuration`, `cost` (USD) and `errors` (medians
        over runs, with `_low` and `_high`, their range), `is_oracle`, `cheapest` (at some price,
        without oracles), `num_runs`, `num_incomparable`. `kind` is `crossing`: `configuration` (the
        cheapest above), `price` (USD) and `cost` (total there). All have `basis` (what the money
        pays for), `num_without` (runs of unknown cost) and `asked_usd` (the price in the
        configurations; missing if they differ).

    Raises:
        NothingToDraw: No run has a known cost and known errors.
    """
    kept = deployment_runs(runs)
    table = DataFrame(
        {
            "configuration": kept["configuration"].astype(str),
            "cost": numbers(kept, "maintenance.cost_usd"),
            "errors": numbers(kept, "maintenance.num_errors"),
            "is_oracle": kept["is_oracle"],
            "comparable": kept["comparable"],
        }
    )
    known = table.dropna(subset=["cost", "errors"])
    if known.empty:
        raise NothingToDraw("no run of bench.maintain has a known cost and known errors")
    policies = _policies(known)
    asked = numbers(kept, "config.error_price_usd")
    return concat([policies, _crossings(policies)], ignore_index=True).assign(
        basis=basis_words(kept),
        num_without=len(table) - len(known),
        asked_usd=asked.iloc[0] if asked.nunique() == 1 else np.nan,
    )


def _policies(known: DataFrame) -> DataFrame:
    groups = known.groupby("configuration", sort=True)
    policies = groups[["cost", "errors"]].median()
    for name in ("cost", "errors"):
        policies[f"{name}_low"], policies[f"{name}_high"] = groups[name].min(), groups[name].max()
    policies["is_oracle"] = groups["is_oracle"].first()
    policies["num_runs"] = groups.size()
    policies["num_incomparable"] = groups["comparable"].apply(lambda part: int((~part).sum()))
    return _with_cheapest(policies.reset_index().assign(kind="policy"))


def _with_cheapest(policies: DataFrame) -> DataFrame:
    """Mark the policies that are the cheapest at some price; nobody can follow an oracle."""
    usable = policies[~policies["is_oracle"].astype(bool)]
    order = []
    if len(usable):
        order = [usable.index[place] for place in cheapest_in_turn(_as_lines(usable))]
    turn = Series(range(len(order)), index=order, dtype=float)
    return policies.assign(cheapest=policies.index.isin(order), turn=turn.reindex(policies.index))


def _as_lines(policies: DataFrame) -> DataFrame:
    """The policies as lines of cost, in the columns that the statistics of a life-cycle take."""
    lines = policies.rename(columns={"cost": "training", "errors": "per_prediction"})
    return lines.assign(training_label="", serving_label="", rate_per_s=np.nan)


def _crossings(policies: DataFrame) -> DataFrame:
    lines = _as_lines(policies[policies["cheapest"]].sort_values("turn")).to_dict("records")
    rows = []
    for before, after in pairwise(lines):
        price = break_even_predictions(before, after)
        assert price is not None, "neighbours of an envelope cross"
        cost = after["training"] + price * after["per_prediction"]
        name = after["configuration"]
        rows.append({"kind": "crossing", "configuration": name, "price": price, "cost": cost})
    return DataFrame(rows, columns=["kind", "configuration", "price", "cost"])


def basis_words(runs: DataFrame) -> str:
    """What the money of the machine pays for, and how its joules were obtained."""
    bases = cost_bases(runs)
    labels = runs["label"] if bases.str.contains(ELECTRICITY).any() else Series(dtype=object)
    return ", ".join(dict.fromkeys([*sorted(set(bases)), *sorted(set(labels))]))


@in_paper_style
def draw_policy_price(data: DataFrame, *, width: Width = "one") -> Canvas:
    """Draw what `data_policy_price` gives."""
    policies, crossings = data[data["kind"] == "policy"], data[data["kind"] == "crossing"]
    is_oracle = policies["is_oracle"].astype(bool)
    chosen = ~is_oracle if not is_oracle.all() else is_oracle
    height_in = 1.9 if width == "one" else 2.4
    # A policy alone is the cheapest one everywhere.
    figure, panels = canvas(width, height_in, num=min(2, int(chosen.sum())), sharex=True)
    asked = float(data["asked_usd"].iloc[0])
    low, high = _span(policies, crossings, asked)
    usable, span = policies[chosen], (low, high)
    handles, common = draw_cost_lines(panels[0], usable, crossings, _TERMS, span=span, width=width)
    num = np.geomspace(low, high, 200)
    handles += _draw_envelope(panels[0], usable, num)
    if not is_oracle.all():
        handles += _draw_oracles(panels[0], policies[is_oracle], num)
    for axes in panels[1:]:
        draw_cost_lines(axes, usable, crossings, _TERMS, span=span, width=width, is_relative=True)
        _limit(axes)
        axes.set_ylabel("times the cheapest\npolicy")
    handles += _draw_asked(panels, asked)
    panels[-1].set_xlabel("price of an error (USD)")
    name_axis(panels[0], "y", f"upkeep and errors (USD: {data['basis'].iloc[0]})", 18)
    return finished(figure, handles, f"{_words(data, crossings)} {common}", width)


def _draw_asked(panels: Sequence[Axes], price: float) -> list[Line2D]:
    """Mark the price that the configurations have; a price of 0 is on no logarithmic axis."""
    if not price > 0:
        return []
    style: dict[str, Any] = {"color": INK, "linewidth": 0.8, "linestyle": (0, (1, 1.5))}
    for axes in panels:
        axes.axvline(price, **style)
    return [Line2D([], [], label="price in the configurations", **style)]


def _limit(axes: Axes) -> None:
    """Cut off what is many times as expensive, where the differences that matter would vanish."""
    axes.set_ylim(0.95, min(_MOST_TIMES, max(1.5, axes.get_ylim()[1])))
    log_axis(axes, "y")


def _span(policies: DataFrame, crossings: DataFrame, asked: float) -> tuple[float, float]:
    """The smallest and the largest price: beyond all crossings and the price that was asked for."""
    prices = [price for price in (*crossings["price"], asked) if price > 0]
    prices = prices or [worth_of(policies, _TERMS) or 1.0]
    return min(prices) / _BEYOND, max(prices) * _BEYOND


def _draw_envelope(axes: Axes, lines: DataFrame, num: Floats) -> list[Line2D]:
    """A broad line below that of the cheapest policy at each price."""
    least = lowest(lines, _TERMS, num)
    look: dict[str, Any] = {"color": "0.85", "linewidth": 5, "zorder": 0.5}
    (line,) = axes.plot(num, least, label="the cheapest policy", **look)
    return [line]


def _draw_oracles(axes: Axes, oracles: DataFrame, num: Floats) -> list[Line2D]:
    style: dict[str, Any] = {"color": INK, "linewidth": 0.9, "linestyle": (0, (4, 3))}
    for row in oracles.to_dict("records"):
        axes.plot(num, row["cost"] + num * row["errors"], **style)
    text = "oracle: knows the future"
    return [Line2D([], [], label=text, **style)] if len(oracles) else []


def _words(data: DataFrame, crossings: DataFrame) -> str:
    words = "Line: medians of upkeep and errors; band: their range over n runs."
    if len(crossings):
        words += " Circle: the price from which on the next policy is cheaper."
    words += " A policy that weighs errors would decide otherwise at another price."
    num = int(data["num_without"].iloc[0])
    return words + (f" {num} runs of unknown cost or errors are left out." if num else "")
