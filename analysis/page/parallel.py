"""The page's parallel coordinates: a line for each run across its settings and results."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Any

import altair as alt

from analysis.figures.prepare import evenly
from analysis.figures.style import COLOURS
from analysis.page.titles import title_of, value_text

PLACES = "places"
OUTCOMES = ("reached", "missed", "failed", "served")  # of runs that count
# More lines are a blot, and slow in a browser.
_MOST_LINES = 500
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


def places(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Compute where each run crosses each axis, from 0 to 1.

    A missing value has no row, so the line skips that axis. The cost of a run that missed is what
    it spent.

    Args:
        rows: Of page_rows; if there are too many, an even choice is drawn.
    """
    crossings = []
    for name in dimensions(rows):
        values = [row[name] for row in rows if row[name] is not None]
        # A run that cost nothing has no logarithm, so the axis is linear then.
        log_axis = _IS_LOGARITHMIC[name] and min(values) > 0
        low, high, title = min(values), max(values), title_of(name, rows)
        ends = value_text(name, low), value_text(name, high)
        for row in evenly(list(rows), _MOST_LINES):
            if row[name] is None:
                continue
            place = (row[name] - low) / (high - low)
            if log_axis:
                place = log(row[name] / low) / log(high / low)
            crossings.append(
                {
                    "run_id": row["run_id"],
                    "configuration": row["configuration"],
                    "outcome": row["outcome"],
                    "health": "comparable" if row["comparable"] else "not comparable",
                    "dimension": title,
                    # A tenth of a pixel; more digits only make the page larger.
                    "place": round(place, 4),
                    "value": value_text(name, row[name]),
                    "low": ends[0],
                    "high": ends[1],
                }
            )
    return crossings


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
            detail="run_id:N",
            color=alt.Color("outcome:N", scale=hue, **_legend(len(outcomes))),
            strokeDash=alt.StrokeDash(
                "health:N", title="health", scale=health, **_legend(len(healths))
            ),
            opacity=alt.when(hovered)
            .then(alt.value(1.0))
            .when(chosen)
            .then(alt.value(0.4))
            # Faint instead of hidden, so that the chosen lines keep their context.
            .otherwise(alt.value(0.03)),
            strokeWidth=alt.condition(hovered, alt.value(3), alt.value(1)),
            tooltip=["configuration:N", "dimension:N", "value:N", "run_id:N"],
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
        .encode(x=x, y=alt.datum(place), text=alt.Text(f"{column}:N"))
        .transform_aggregate(num="count()", groupby=["dimension", column])
        for column, place, dy in (("low", 0.0, 10), ("high", 1.0, -8))
    ]
