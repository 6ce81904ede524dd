"""The page's section on the history of the gate: what changed when, and charts of the checks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import altair as alt
from pandas import DataFrame

from analysis.figures.history import data_history
from analysis.figures.style import COLOURS
from bench.core.metric import with_unit
from bench.core.scales import SCALES, common_unit

_DIGITS = 7  # of a commit
_HEIGHT = 180


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What the section shows.

    Attributes:
        words: How much was checked, and what is drawn.
        changes: A row for each change point, the latest first: `commit`, `day`, `metric`,
            `configuration`, `before` and `after` (medians with their unit), `verdict` and `p`.
        charts: `title` and `spec` (Vega-Lite) of each series that is drawn.
    """

    words: str
    changes: tuple[dict[str, str], ...]
    charts: tuple[dict[str, Any], ...]


def history_section(runs: DataFrame, history: DataFrame) -> Section | None:
    """Describe the history of the gate; None if there is none.

    Args:
        runs: As loaded; the history has its own values.
        history: Of load_history.

    Raises:
        NothingToDraw: No metric varies.
    """
    if history.empty:
        return None
    drawn = data_history(runs, history)
    series = [rows for _, rows in history.groupby(["configuration", "metric"], sort=False)]
    changes = [change for rows in series for change in _changes(rows)]
    changes.sort(key=lambda each: each["utc"], reverse=True)
    return Section(
        words=_words(history, drawn, len(changes)),
        changes=tuple(changes),
        charts=tuple(_chart(rows) for _, rows in drawn.groupby("panel", sort=True)),
    )


def _words(history: DataFrame, drawn: DataFrame, num_changes: int) -> str:
    num = len(history.drop_duplicates(["configuration", "metric"]))
    most = int(history["place"].max()) + 1
    found = f"{num_changes} change point{'s' * (num_changes != 1)}" if num_changes else "no change"
    shown, varying = drawn["panel"].nunique(), int(drawn["num_series"].iloc[0])
    return (
        f"At most {most} checks of {num} metrics and configurations: {found} (E-divisive with a "
        f"permutation test). Drawn are {shown} of {varying} series that vary, those with the latest"
        " changes first."
    )


def _changes(rows: DataFrame) -> Iterator[dict[str, str]]:
    """The change points of a series: the medians on both sides of each, until the next one."""
    times, unit = _display(rows)
    medians = (rows["value"] * times).groupby(rows["is_change"].cumsum()).median()
    for number, row in enumerate(rows[rows["is_change"]].to_dict("records"), 1):
        yield {
            "commit": str(row["commit"] or "")[:_DIGITS],
            "utc": str(row["utc"]),
            "day": str(row["utc"])[:10],
            "metric": str(row["title"]),
            "configuration": str(row["configuration"]),
            "before": f"{medians.iloc[number - 1]:.4g} {unit}".strip(),
            "after": f"{medians.iloc[number]:.4g} {unit}".strip(),
            "verdict": f"{'worse' if row['loss_frac'] > 0 else 'better'} by "
            f"{abs(row['loss_frac']):.1%}",
            "p": f"{row['p']:.2g}",
        }


def _display(rows: DataFrame) -> tuple[float, str]:
    """What the values of a series are multiplied by, and the unit that they then have."""
    unit = str(rows["unit"].iloc[0])
    if unit in SCALES:
        factor, scale = SCALES[unit]
        common = common_unit(rows["value"] * factor, scale)
        if common is not None:
            return factor / common.size, common.name
    return float(rows["factor"].iloc[0]), str(rows["shown"].iloc[0])


def _chart(rows: DataFrame) -> dict[str, Any]:
    """A point for each check, filled if it was accepted, and a line for each median."""
    times, unit = _display(rows)
    title = str(rows["title"].iloc[0])
    names = ["place", "value", "median", "segment", "accepted", "is_change"]
    data = rows[names].assign(
        value=rows["value"] * times,
        median=rows["median"] * times,
        before=rows["place"] - 0.5,
        after=rows["place"] + 0.5,
        commit=rows["commit"].fillna("").astype(str).str[:_DIGITS],
        checked=rows["utc"].astype(str),
    )
    across: dict[str, Any] = {
        "title": "checks, in order of commits",
        "axis": alt.Axis(tickMinStep=1, format="d"),
        "scale": alt.Scale(nice=False, zero=False),
    }
    scale = alt.Scale(zero=False, padding=10)
    up: dict[str, Any] = {
        "title": with_unit(title, unit),
        "scale": scale,
        "axis": alt.Axis(tickCount=5),
    }
    checks: list[Any] = data.to_dict("records")
    base = alt.Chart(alt.InlineData(values=checks))
    line = base.mark_rule(strokeWidth=1.5).encode(
        x=alt.X("before:Q", **across), x2="after:Q", y=alt.Y("median:Q", **up)
    )
    change = base.transform_filter("datum.is_change").mark_rule(strokeDash=[2, 3])
    point = base.mark_point(filled=False, size=45, opacity=1, stroke=COLOURS[0], fill=COLOURS[0])
    points = point.encode(
        x=alt.X("place:Q", **across),
        y=alt.Y("value:Q", **up),
        fillOpacity=alt.condition("datum.accepted", alt.value(1.0), alt.value(0.0)),
        tooltip=["commit:N", "checked:N", alt.Tooltip("value:Q", format=".4~g"), "accepted:N"],
    )
    chart = alt.layer(line, change.encode(x=alt.X("before:Q", **across)), points)
    spec = chart.properties(width="container", height=_HEIGHT).to_dict(validate=False)
    return {"title": f"{title}: {rows['configuration'].iloc[0]}", "spec": spec}
