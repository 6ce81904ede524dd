"""The page's interactive charts, as Vega-Lite: hover for the configuration, click for the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from analysis.figures.style import COLOURS
from analysis.page.parallel import dimensions, parallel, places
from analysis.page.titles import TITLES, labels_of, title_of

RUNS = "runs"
MOST_GROUPS = 30  # with charts of their own; the table of the page has all runs
# Outcomes of runs that do not count: they are in the table alone.
NOT_COUNTED = ("interrupted", "refused", "superseded")
_SIZE = {"width": 400, "height": 270}
_TIPS = (
    "configuration:N",
    "seed:N",
    "outcome:N",
    "time_s:Q",
    "energy_j:Q",
    "label:N",
    "scenario:N",
    "accuracy:Q",
    "flags:N",
    "run_id:N",
)


def chart_groups(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The charts of each group of runs that may be compared, the largest first.

    Args:
        rows: Of page_rows.

    Returns:
        `title` and `num` (runs) of each group, its `charts` (title and specification) and `places`
        (see places); at most MOST_GROUPS of them.
    """
    own: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["outcome"] not in NOT_COUNTED:
            own.setdefault(row["group"], []).append(row)
    largest = sorted(own.items(), key=lambda pair: -len(pair[1]))[:MOST_GROUPS]
    return [
        {
            "title": title,
            "num": len(alike),
            "charts": [{"title": name, "spec": spec} for name, spec in charts(alike).items()],
            "places": places(alike),
        }
        for title, alike in largest
    ]


def charts(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Specifications by title, of those charts that have something to show.

    They name their data (`runs`, `places`) and do not hold it: the page has it once.

    Args:
        rows: Of page_rows, of runs that may be compared.
    """
    found = {}
    for title, x, y, options in _SCATTERS:
        if any(row[x] is not None and row[y] is not None for row in rows):
            joules = any(name.endswith(("_j", "_usd")) for name in (x, y))
            # Joules of several labels are told apart before anything else is.
            by_label = {"colour": "label"} if joules and len(labels_of(rows)) > 1 else {}
            found[title] = _scatter(x, y, rows, **{**options, **by_label})
    if len(dimensions(rows)) > 1:
        found["All settings and results of these runs"] = parallel(rows)
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
    """Points of runs: colour for a setting, shape for the outcome, hollow for incomparable.

    Every point has a stroke: a mark that is only filled is nothing where it is hollow.
    """
    chosen = alt.selection_point(fields=[colour], bind="legend")
    hue = _hue(colour, rows)
    encoding: dict[str, Any] = {
        "x": _axis(x, "x", rows),
        "y": _axis(y, "y", rows),
        "stroke": alt.Stroke(**hue),
        "fill": alt.Fill(**hue),  # with equal legends, which become one
        "shape": alt.Shape(
            "outcome:N",
            title="outcome",
            scale=alt.Scale(
                domain=["reached", "missed", "failed", "served"],
                range=["circle", "triangle-up", "cross", "square"],
            ),
        ),
        "fillOpacity": alt.condition("datum.comparable", alt.value(0.75), alt.value(0.0)),
        "opacity": alt.condition(chosen, alt.value(1.0), alt.value(0.12)),
        "tooltip": [_tip(shorthand) for shorthand in _TIPS],
    }
    if size is not None:
        encoding["size"] = alt.Size(
            f"{size}:Q", title=TITLES[size], scale=alt.Scale(range=[25, 260])
        )
    mark: dict[str, Any] = {"filled": False, "strokeWidth": 1.4, "cursor": "pointer"}
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


def _tip(shorthand: str) -> Any:
    name = shorthand.partition(":")[0]
    return alt.Tooltip(shorthand, title=TITLES.get(name, name))


def _hue(colour: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What colour stands for, in strokes and fills alike; with a legend where that differs."""
    kinds = {row[colour] for row in rows if row[colour] is not None}
    ordinal = colour not in ("architecture", "label")
    return {
        "shorthand": f"{colour}:{'O' if ordinal else 'N'}",
        "title": TITLES.get(colour, colour),
        "scale": alt.Scale(scheme="viridis") if ordinal else alt.Scale(range=list(COLOURS)),
        "legend": alt.Legend(symbolLimit=12) if len(kinds) > 1 else None,
    }


def _specification(chart: Any) -> dict[str, Any]:
    specification: dict[str, Any] = chart.to_dict()
    return specification


def _axis(name: str, which: str, rows: Sequence[dict[str, Any]]) -> Any:
    kind = alt.X if which == "x" else alt.Y
    values = [row[name] for row in rows if row[name] is not None]
    spread = min(values) > 0 and max(values) / min(values) > 4
    if name == "batch_size" and spread:
        scale = alt.Scale(type="log", base=2, nice=False, padding=15)
        return kind(f"{name}:Q", title=title_of(name, rows), scale=scale, axis=alt.Axis(format="d"))
    scale = (
        alt.Scale(type="log", nice=False, padding=15)
        if spread
        else alt.Scale(zero=False, padding=15)
    )
    return kind(f"{name}:Q", title=title_of(name, rows), scale=scale)
