"""The page's parallel coordinates: a line for each run across its settings and results.

The page holds each number once, and its script computes where the lines cross the axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from analysis.figures.style import COLOURS
from analysis.page.titles import UNITS, title_of

PLACES = "places"
_MANY_LINES = 60  # more lines are drawn fainter
_TIPS = ("configuration", "dimension", "value", "run_id")
OUTCOMES = ("reached", "missed", "failed", "served")  # of runs that count
# The axes: the column of a row, and whether it is drawn on a logarithmic axis.
_IS_LOGARITHMIC = {
    "batch_size": True,
    "lr": True,
    "samples": True,
    "time_s": True,
    "energy_j": True,
    "cost_usd": True,
    "cpu_frac": False,
    "quality": False,
    "latency_p90_ms": True,
    "throughput_per_s": True,
    "size_bytes": True,
    "on_target_frac": False,
    "num_retrains": False,
    "upkeep_per_1000_j": True,
    "regret_usd": False,
}


def dimensions(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The axes: columns in which runs differ, and money only if it pays for the same in all."""
    # Rent and electricity are not on one scale.
    several = len({row["basis"] for row in rows} - {None}) > 1
    return [
        name
        for name in _IS_LOGARITHMIC
        if len({row[name] for row in rows} - {None}) > 1 and not (name == "cost_usd" and several)
    ]


def axes(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Describe each axis, so that the page can compute where each run crosses it.

    Args:
        rows: Of page_rows, of one group of peers.

    Returns:
        `name` (of a column), `title`, `unit` (of PAGE_SCALES), `low` and `high` (the ends) and
        `log`.
    """
    found = []
    for name in dimensions(rows):
        values = [row[name] for row in rows if row[name] is not None]
        low, high = min(values), max(values)
        # A run that cost nothing has no logarithm, so the axis is linear then.
        log = _IS_LOGARITHMIC[name] and low > 0
        shown = {"title": title_of(name, rows), "unit": UNITS.get(name, "")}
        found.append({"name": name, **shown, "low": low, "high": high, "log": log})
    return found


def parallel(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Make the specification: a line for each run, dotted if incomparable.

    Args:
        rows: Of page_rows, of one group of peers.
    """
    order = [title_of(name, rows) for name in dimensions(rows)]
    axis = alt.Axis(labelAngle=0, grid=True, labelExpr="split(datum.label, ' ')", labelPadding=18)
    x = alt.X("dimension:N", sort=order, title=None, axis=axis)
    base = alt.Chart(alt.NamedData(PLACES))
    chart = alt.layer(_lines(base, x, rows), *_ends(base, x))
    chart = chart.properties(width="container", height=260)
    specification: dict[str, Any] = chart.to_dict(validate=False)  # a test checks it
    return specification


def _lines(base: Any, x: Any, rows: Sequence[dict[str, Any]]) -> Any:
    """The lines of the runs; the one under the pointer, or an outcome in the legend, stands out."""
    hovered = alt.selection_point(on="pointerover", fields=["run_id"], empty=False)
    chosen = alt.selection_point(fields=["outcome"], bind="legend")
    outcomes = {row["outcome"] for row in rows}
    healths = {row["comparable"] for row in rows}
    hues = dict(zip(OUTCOMES, COLOURS, strict=False))  # an outcome has one colour in every group
    hue = alt.Scale(
        domain=[name for name in OUTCOMES if name in outcomes],
        range=[hues[name] for name in OUTCOMES if name in outcomes],
    )
    health = alt.Scale(domain=["comparable", "not comparable"], range=[[1, 0], [3, 3]])
    return (
        base.mark_line(cursor="pointer")
        .encode(
            x=x,
            y=alt.Y("place:Q", title=None, axis=None),
            # Channels and not texts, for which Altair would search all of its classes.
            detail=alt.Detail("run_id:N"),
            color=alt.Color("outcome:N", scale=hue, **_legend(len(outcomes))),
            strokeDash=alt.StrokeDash(
                "health:N", title="health", scale=health, **_legend(len(healths))
            ),
            opacity=alt.when(hovered)
            .then(alt.value(1.0))
            .when(chosen)
            .then(alt.value(0.4 if len(rows) > _MANY_LINES else 0.9))
            # Faint instead of hidden, so that the chosen lines keep their context.
            .otherwise(alt.value(0.03)),
            strokeWidth=alt.condition(hovered, alt.value(3), alt.value(1.3)),
            tooltip=[alt.Tooltip(f"{name}:N") for name in _TIPS],
        )
        .add_params(hovered, chosen)
    )


def _legend(num: int) -> dict[str, Any]:
    """No legend of a single kind."""
    return {"legend": None} if num < 2 else {}


def _ends(base: Any, x: Any) -> list[Any]:
    """Write the smallest value of each axis below it, and the largest above."""
    return [
        base.mark_text(dy=dy, fontSize=10)
        .encode(x=x, y=alt.YDatum(place), text=alt.Text(f"{column}:N"))
        .transform_aggregate(num="count()", groupby=["dimension", column])
        for column, place, dy in (("low", 0.0, 10), ("high", 1.0, -8))
    ]
