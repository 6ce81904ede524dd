"""The page's interactive charts in Vega-Lite: hover for the configuration, click for the run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import altair as alt

from analysis.figures.style import COLOURS
from analysis.page.parallel import OUTCOMES, axes, dimensions, parallel
from analysis.page.ticks import axis_of, number_format
from analysis.page.titles import COSTS, NUMBERS, TITLES, UNITS, labels_of, title_of

RUNS = "runs"
MOST_GROUPS = 30  # groups of peers with charts; the table of the page has all runs
# Outcomes of runs that do not count; they are only in the table.
NOT_COUNTED = ("interrupted", "refused", "superseded")
_HEIGHT = 270
_MOST_NAMES = 6  # of configurations in a legend
_MOST_SIZES = 5  # sizes of models with an entry each in a legend
_SHAPES = dict(zip(OUTCOMES, ("circle", "triangle-up", "cross", "square"), strict=True))
# In the order of a tooltip.
_TIPS = (
    "configuration",
    "seed",
    "outcome",
    "time_s",
    "energy_j",
    "label",
    "cost_usd",
    "batch_size",
    "lr",
    "samples",
    "time_per_sample_s",
    "scenario",
    "policy",
    "quality",
    "metric",
    "latency_p90_ms",
    "throughput_per_s",
    "energy_per_prediction_j",
    "size_bytes",
    "off_target_frac",
    "upkeep_per_1000_j",
    "num_retrains",
    "regret_usd",
    "flags",
    "run_id",
)
# Those that the tooltip of every chart has; of the others only what the chart shows.
_ALWAYS = (
    *("configuration", "seed", "outcome", "time_s", "energy_j", "label", "scenario", "policy"),
    *("quality", "metric", "flags", "run_id"),
)


def chart_groups(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Make the charts of each group of peers, the largest first.

    Args:
        rows: Of page_rows.

    Returns:
        `title` and `num` (runs) of each group, its `charts` (title and specification) and `axes`
        (of the last chart); at most MOST_GROUPS of them.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["outcome"] not in NOT_COUNTED:
            groups.setdefault(row["group"], []).append(row)
    largest = sorted(groups.items(), key=lambda pair: -len(pair[1]))[:MOST_GROUPS]
    return [
        {
            "title": title,
            "num": len(peers),
            "charts": [{"title": name, "spec": spec} for name, spec in charts(peers).items()],
            "axes": axes(peers),
        }
        for title, peers in largest
    ]


def charts(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Make the charts that have something to show: specifications by title.

    They refer to their data by name (`runs`, `places`), since the page holds it only once.

    Args:
        rows: Of page_rows, of one group of peers.
    """
    by_title = {}
    tips = {name: _tip(name, rows) for name in _TIPS if _is_known(name, rows)}
    for title, x, y, options in _SCATTERS:
        if any(row[x] is not None and row[y] is not None for row in rows):
            joules = any(name.endswith(("_j", "_usd")) for name in (x, y))
            # If joules have several labels, colour shows the label before anything else.
            by_label = {"colour": "label"} if joules and len(labels_of(rows)) > 1 else {}
            spec = _scatter(x, y, rows, **{**options, **by_label})
            told = {*_ALWAYS, x, y, *options.values()}
            spec["encoding"]["tooltip"] = [tip for name, tip in tips.items() if name in told]
            by_title[title] = spec
    if len(dimensions(rows)) > 1:
        by_title["All settings and results of these runs"] = parallel(rows)
    return by_title


_SCATTERS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("Energy against time to target", "time_s", "energy_j", {}),
    ("Time to target against batch size", "batch_size", "time_s", {"colour": "lr"}),
    ("The two factors", "samples", "time_per_sample_s", {"colour": "batch_size"}),
    ("Quality against latency", "latency_p90_ms", "quality", {"size": "size_bytes"}),
    (
        "Quality against energy per prediction",
        "energy_per_prediction_j",
        "quality",
        {"size": "size_bytes"},
    ),
    ("Throughput against latency", "latency_p90_ms", "throughput_per_s", {"size": "size_bytes"}),
    (
        "Upkeep against predictions below the target",
        "off_target_frac",
        "upkeep_per_1000_j",
        {"colour": "policy"},
    ),
    ("Regret against retrainings", "num_retrains", "regret_usd", {"colour": "policy"}),
)


def _scatter(
    x: str,
    y: str,
    rows: Sequence[dict[str, Any]],
    *,
    colour: str | None = None,
    size: str | None = None,
) -> dict[str, Any]:
    """Draw points of runs: colour for a setting, shape for the outcome, hollow if incomparable."""
    drawn = [row for row in rows if row[x] is not None and row[y] is not None]
    colour = colour or _distinction(drawn)
    chosen = alt.selection_point(fields=[colour], bind="legend")
    hue = _hue(colour, drawn)
    area = alt.SizeValue(60) if size is None else _area(size, drawn)
    chart = (
        alt.Chart(alt.NamedData(RUNS))
        # Not filled but with a stroke and a fill of their own: a hollow point keeps its outline.
        .mark_point(filled=False, strokeWidth=1.7, cursor="pointer")
        .encode(
            x=axis_of(alt.X, x, drawn),
            y=axis_of(alt.Y, y, drawn),
            stroke=alt.Stroke(**hue),
            fill=alt.Fill(**hue),  # Vega merges the two equal legends
            shape=_shape(drawn),
            size=area,
            # Channels and not dicts, for which Altair would search all of its classes.
            fillOpacity=alt.FillOpacityValue(
                **alt.condition("datum.comparable", alt.value(0.75), alt.value(0.0))
            ),
            opacity=alt.OpacityValue(**alt.condition(chosen, alt.value(1.0), alt.value(0.12))),
        )
        .add_params(chosen)
        .transform_filter(f"isValid(datum.{x}) && isValid(datum.{y})")
        .properties(width="container", height=_HEIGHT)
    )
    # To check it takes most of the time; a test does.
    specification: dict[str, Any] = chart.interactive().to_dict(validate=False)
    return specification


def _distinction(rows: Sequence[dict[str, Any]]) -> str:
    """What colours show: architectures, or configurations if they are few and of one of them."""
    names, models = ({row[name] for row in rows} for name in ("configuration", "architecture"))
    return "configuration" if len(models) == 1 < len(names) <= _MOST_NAMES else "architecture"


def _shape(rows: Sequence[dict[str, Any]]) -> Any:
    """The encoding of the outcome; with a legend of those that there are, if there are several."""
    found = {row["outcome"] for row in rows}
    legend: dict[str, Any] = {"legend": None} if len(found) < 2 else {}
    names = [name for name in _SHAPES if name in found]
    scale = alt.Scale(domain=names, range=[_SHAPES[name] for name in names])
    return alt.Shape("outcome:N", title="outcome", scale=scale, **legend)


def _area(name: str, rows: Sequence[dict[str, Any]]) -> Any:
    """The encoding of a size as an area; with a legend if runs differ in it."""
    values = sorted({row[name] for row in rows} - {None})
    if len(values) < 2:
        return alt.SizeValue(60)
    few: dict[str, Any] = {"values": values} if len(values) <= _MOST_SIZES else {}
    return alt.Size(
        f"{name}:Q",
        title=title_of(name, rows),
        scale=alt.Scale(range=[25, 260], zero=False),
        legend=alt.Legend(**number_format(name, values), **few),
    )


def _is_known(name: str, rows: Sequence[dict[str, Any]]) -> bool:
    return any(row[name] is not None for row in rows)


def _tip(name: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    title = title_of(name, rows) if name in TITLES else name
    if name not in (*COSTS, *NUMBERS, "quality"):
        return {"field": name, "type": "nominal", "title": title}
    # The page's function also writes numbers without a unit shorter than Vega does.
    form = {"format": UNITS.get(name, ""), "formatType": "quantity"}
    return {"field": name, "type": "quantitative", "title": title, **form}


def _hue(colour: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The encoding of colour, for strokes and fills; with a legend if runs differ in it."""
    kinds = list(dict.fromkeys(row[colour] for row in rows if row[colour] is not None))
    ordinal = colour not in ("architecture", "configuration", "label", "policy")
    return {
        "shorthand": f"{colour}:{'O' if ordinal else 'N'}",
        "title": title_of(colour, rows) if colour in TITLES else colour,
        "scale": alt.Scale(scheme="viridis")
        if ordinal
        else alt.Scale(domain=kinds, range=list(COLOURS)),
        "legend": _legend(colour, kinds) if len(kinds) > 1 else None,
    }


def _legend(colour: str, names: Sequence[Any]) -> Any:
    """The legend of a setting; of configurations, a line for each key in which they differ."""
    labels: dict[str, Any] = {}
    if colour == "configuration":
        shared = set.intersection(*(set(name.split()) for name in names))
        short = {name: [part for part in name.split() if part not in shared] for name in names}
        # As JSON, every name is a text of the expression and never a part of it.
        labels = {"labelExpr": f"({json.dumps(short)})[datum.label]", "columns": 1}
    return alt.Legend(symbolLimit=12, labelLimit=150, **labels)
