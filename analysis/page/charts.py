"""The page's interactive charts, as Vega-Lite: hover for the configuration, click for the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from analysis.figures.prepare import evenly
from analysis.style import COLOURS

RUNS, PLACES = "runs", "places"
_SIZE = {"width": 400, "height": 270}
_MOST_LINES = 500  # of the parallel coordinates
# Dimensions of the parallel coordinates: the column of a row, and whether its axis is logarithmic.
_DIMENSIONS = {
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
_TITLES = {
    "batch_size": "batch size",
    "lr": "learning rate",
    "samples": "samples to target",
    "time_s": "time to target (s)",
    "energy_j": "energy to target (J)",
    "cost_usd": "cost to target (US$)",
    "cpu_frac": "CPU of the run (fraction)",
    "accuracy": "test accuracy",
    "latency_p90_ms": "latency p90 (ms)",
    "throughput_per_s": "throughput (1/s)",
    "size_bytes": "model size (bytes)",
    "time_per_sample_s": "time per sample (s)",
    "energy_per_prediction_j": "energy per prediction (J)",
}
_TIPS = (
    ("configuration", "N", "configuration"),
    ("seed", "N", "seed"),
    ("outcome", "N", "outcome"),
    ("time_s", "Q", _TITLES["time_s"]),
    ("energy_j", "Q", _TITLES["energy_j"]),
    ("label", "N", "joules"),
    ("scenario", "N", "scenario"),
    ("accuracy", "Q", _TITLES["accuracy"]),
    ("flags", "N", "unfit because"),
    ("run_id", "N", "run"),
)


def charts(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Specifications by title, of those charts that have something to show.

    They name their data (`runs`, `places`) and do not hold it: the page has it once.

    Args:
        rows: Of page_rows.
    """
    found = {}
    for title, x, y, options in _SCATTERS:
        if any(row[x] is not None and row[y] is not None for row in rows):
            joules = any(name.endswith(("_j", "_usd")) for name in (x, y))
            # Joules of several labels are told apart before anything else is.
            by_label = {"colour": "label"} if joules and len(_labels(rows)) > 1 else {}
            found[title] = _scatter(x, y, rows, **{**options, **by_label})
    if len(_dimensions(rows)) > 1:
        found["All settings and results of every run"] = _parallel(rows)
    return found


_SCATTERS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("Energy against time to target", "time_s", "energy_j", {}),
    ("Time to target against batch size", "batch_size", "time_s", {"colour": "lr"}),
    ("The two factors", "samples", "time_per_sample_s", {"colour": "batch_size"}),
    ("Accuracy against latency", "latency_p90_ms", "accuracy", {"size": "size_bytes"}),
    (
        "Accuracy against energy per prediction",
        "energy_per_prediction_j",
        "accuracy",
        {"size": "size_bytes"},
    ),
    ("Throughput against latency", "latency_p90_ms", "throughput_per_s", {"size": "size_bytes"}),
)


def _scatter(
    x: str,
    y: str,
    rows: Sequence[dict[str, Any]],
    *,
    colour: str = "architecture",
    size: str | None = None,
) -> dict[str, Any]:
    """Points of runs: colour for a setting, shape for the outcome, hollow for unfit."""
    chosen = alt.selection_point(fields=[colour], bind="legend")
    kinds = {row[colour] for row in rows if row[colour] is not None}
    ordinal = colour not in ("architecture", "label")
    scale = alt.Scale(scheme="viridis") if ordinal else alt.Scale(range=list(COLOURS))
    hue = alt.Color(
        f"{colour}:{'O' if ordinal else 'N'}",
        title=_TITLES.get(colour, "joules" if colour == "label" else colour),
        scale=scale,
        legend=alt.Legend(symbolLimit=12) if len(kinds) > 1 else None,
    )
    encoding: dict[str, Any] = {
        "x": _axis(x, "x", rows),
        "y": _axis(y, "y", rows),
        "color": hue,
        "shape": alt.Shape(
            "outcome:N",
            title="outcome",
            scale=alt.Scale(
                domain=["reached", "missed", "failed", "served"],
                range=["circle", "triangle-up", "cross", "square"],
            ),
        ),
        "fillOpacity": alt.condition("datum.fit", alt.value(0.75), alt.value(0.0)),
        "opacity": alt.condition(chosen, alt.value(1.0), alt.value(0.12)),
        "tooltip": [alt.Tooltip(f"{name}:{kind}", title=title) for name, kind, title in _TIPS],
    }
    if size is not None:
        encoding["size"] = alt.Size(
            f"{size}:Q", title=_TITLES[size], scale=alt.Scale(range=[25, 260])
        )
    mark: dict[str, Any] = {"filled": True, "strokeWidth": 1.4, "cursor": "pointer"}
    if size is None:
        mark["size"] = 60
    chart = (
        alt.Chart(alt.NamedData(RUNS))
        .mark_point(**mark)
        .encode(**encoding)
        .add_params(chosen)
        .transform_filter(f"isValid(datum.{x}) && isValid(datum.{y})")
        .properties(**_SIZE)
    )
    return _specification(chart.interactive())


def _specification(chart: Any) -> dict[str, Any]:
    specification: dict[str, Any] = chart.to_dict()
    return specification


def _labels(rows: Sequence[dict[str, Any]]) -> list[str]:
    """How the joules of these runs were obtained."""
    return sorted({row["label"] for row in rows} - {None})


def _title(name: str, rows: Sequence[dict[str, Any]]) -> str:
    title, labels = _TITLES[name], _labels(rows)
    if not name.endswith(("_j", "_usd")) or not labels:
        return title
    how = labels[0] if len(labels) == 1 else "by label"
    return f"{title.removesuffix(')')}, {how})"


def _axis(name: str, which: str, rows: Sequence[dict[str, Any]]) -> Any:
    kind = alt.X if which == "x" else alt.Y
    values = [row[name] for row in rows if row[name] is not None]
    spread = min(values) > 0 and max(values) / min(values) > 4
    if name == "batch_size" and spread:
        scale = alt.Scale(type="log", base=2, nice=False, padding=15)
        return kind(f"{name}:Q", title=_title(name, rows), scale=scale, axis=alt.Axis(format="d"))
    scale = (
        alt.Scale(type="log", nice=False, padding=15)
        if spread
        else alt.Scale(zero=False, padding=15)
    )
    return kind(f"{name}:Q", title=_title(name, rows), scale=scale)


def _dimensions(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Those that at least two runs differ in."""
    return [name for name in _DIMENSIONS if len({row[name] for row in rows} - {None}) > 1]


def places(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Where each run crosses each axis of the parallel coordinates, 0 to 1, with its value.

    A value that is missing has no row: the line goes past that axis. Of a run that missed, what it
    cost is what it spent in vain.

    Args:
        rows: Of page_rows; where there are too many, an even choice.
    """
    from math import log

    found = []
    for name in _dimensions(rows):
        values = [row[name] for row in rows if row[name] is not None]
        log_axis = _DIMENSIONS[name] and min(values) > 0
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
                    "dimension": _TITLES[name],
                    "place": round(part, 4),
                    "value": row[name],
                    "low": low,
                    "high": high,
                }
            )
    return found


def _parallel(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    order = [_TITLES[name] for name in _dimensions(rows)]
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
            strokeDash=alt.StrokeDash("outcome:N"),
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
    ends = [
        base.mark_text(dy=dy, fontSize=10, color="#555")
        .encode(x=x, y=alt.datum(place), text=alt.Text(f"{column}:Q", format=".3~g"))
        .transform_aggregate(**{column: f"max({column})"}, groupby=["dimension"])
        for column, place, dy in (("low", 0.0, 10), ("high", 1.0, -8))
    ]
    return _specification(alt.layer(lines, *ends))
