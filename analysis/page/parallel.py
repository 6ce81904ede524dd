"""The page's parallel coordinates: a line for each run over all of its settings and results."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Any

import altair as alt

from analysis.figures.prepare import evenly
from analysis.figures.quantities import label_with
from analysis.figures.style import COLOURS
from analysis.page.titles import TITLES, title_of

PLACES = "places"
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
    "accuracy": False,
    "latency_p90_ms": True,
    "throughput_per_s": True,
    "size_bytes": True,
}


def _title(name: str, rows: Sequence[dict[str, Any]]) -> str:
    """The title of an axis; money says what it pays for."""
    bases = {row["basis"] for row in rows} - {None}
    if name != "cost_usd" or not bases:
        return title_of(name, rows)
    return label_with(TITLES[name], bases.pop())


def dimensions(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Those that at least two runs differ in; money only where it pays for the same in all."""
    several = len({row["basis"] for row in rows} - {None}) > 1
    return [
        name
        for name in _IS_LOGARITHMIC
        if len({row[name] for row in rows} - {None}) > 1 and not (name == "cost_usd" and several)
    ]


def places(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Where each run crosses each axis of the parallel coordinates, 0 to 1, with its value.

    A value that is missing has no row: the line goes past that axis. Of a run that missed, what it
    cost is what it spent in vain.

    Args:
        rows: Of page_rows; where there are too many, an even choice.
    """
    found = []
    for name in dimensions(rows):
        values = [row[name] for row in rows if row[name] is not None]
        log_axis = _IS_LOGARITHMIC[name] and min(values) > 0
        low, high = min(values), max(values)
        for row in evenly(list(rows), _MOST_LINES):
            if row[name] is None:
                continue
            part = (
                log(row[name] / low) / log(high / low)
                if log_axis
                else (row[name] - low) / (high - low)
            )
            found.append(
                {
                    "run_id": row["run_id"],
                    "configuration": row["configuration"],
                    "outcome": row["outcome"],
                    "health": "comparable" if row["comparable"] else "not comparable",
                    "dimension": _title(name, rows),
                    "place": round(part, 4),
                    "value": row[name],
                    "low": low,
                    "high": high,
                }
            )
    return found


def parallel(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The specification: a line per run, dotted where incomparable, over the axes of `dimensions`.

    Args:
        rows: Of page_rows, of runs that may be compared.
    """
    order = [_title(name, rows) for name in dimensions(rows)]
    over = alt.selection_point(on="pointerover", fields=["run_id"], empty=False)
    shared = alt.selection_point(fields=["outcome"], bind="legend")
    x = alt.X(
        "dimension:N",
        sort=order,
        title=None,
        axis=alt.Axis(
            labelAngle=0, grid=True, labelExpr="split(datum.label, ' ')", labelPadding=18
        ),
    )
    base = alt.Chart(alt.NamedData(PLACES)).properties(width=900, height=260)
    lines = (
        base.mark_line(cursor="pointer")
        .encode(
            x=x,
            y=alt.Y("place:Q", title=None, axis=None),
            detail="run_id:N",
            color=alt.Color("outcome:N", scale=alt.Scale(range=list(COLOURS))),
            strokeDash=alt.StrokeDash(
                "health:N",
                title="health",
                scale=alt.Scale(domain=["comparable", "not comparable"], range=[[1, 0], [3, 3]]),
            ),
            opacity=alt.when(over)
            .then(alt.value(1.0))
            .when(shared)
            .then(alt.value(0.4))
            .otherwise(alt.value(0.03)),
            strokeWidth=alt.condition(over, alt.value(3), alt.value(1)),
            tooltip=[
                alt.Tooltip("configuration:N"),
                alt.Tooltip("value:Q"),
                alt.Tooltip("run_id:N"),
            ],
        )
        .add_params(over, shared)
    )
    specification: dict[str, Any] = alt.layer(lines, *_ends(base, x)).to_dict()
    return specification


def _ends(base: Any, x: Any) -> list[Any]:
    """The smallest value of each axis below it, the largest above."""
    return [
        base.mark_text(dy=dy, fontSize=10, color="#555")
        .encode(x=x, y=alt.datum(place), text=alt.Text(f"{column}:Q", format=".3~g"))
        .transform_aggregate(**{column: f"max({column})"}, groupby=["dimension"])
        for column, place, dy in (("low", 0.0, 10), ("high", 1.0, -8))
    ]
