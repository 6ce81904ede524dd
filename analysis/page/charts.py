"""The page's interactive charts in Vega-Lite: hover for the configuration, click for the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from analysis.figures.style import COLOURS
from analysis.page.parallel import dimensions, parallel, places
from analysis.page.titles import TITLES, labels_of, title_of

RUNS = "runs"
MOST_GROUPS = 30  # groups of peers with charts; the table of the page has all runs
# Outcomes of runs that do not count; they are only in the table.
NOT_COUNTED = ("interrupted", "refused", "superseded")
_SIZE = {"width": 400, "height": 270}
_MOST_SIZES = 10  # batch sizes with a tick each
# Small numbers with a power of ten, because rows of zeros would run into one another.
_SHORT_LABEL = "datum.value && abs(datum.value) < 1e-3 ? format(datum.value, '~e') : datum.label"
_TIPS = (
    "configuration:N",
    "seed:N",
    "outcome:N",
    "time_s:Q",
    "energy_j:Q",
    "label:N",
    "scenario:N",
    "quality:Q",
    "metric:N",
    "flags:N",
    "run_id:N",
)


def chart_groups(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Make the charts of each group of peers, the largest first.

    Args:
        rows: Of page_rows.

    Returns:
        `title` and `num` (runs) of each group, its `charts` (title and specification) and `places`
        (see places); at most MOST_GROUPS of them.
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
            "places": places(peers),
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
    for title, x, y, options in _SCATTERS:
        if any(row[x] is not None and row[y] is not None for row in rows):
            joules = any(name.endswith(("_j", "_usd")) for name in (x, y))
            # If joules have several labels, colour shows the label before anything else.
            by_label = {"colour": "label"} if joules and len(labels_of(rows)) > 1 else {}
            by_title[title] = _scatter(x, y, rows, **{**options, **by_label})
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
    colour: str = "architecture",
    size: str | None = None,
) -> dict[str, Any]:
    """Draw points of runs: colour for a setting, shape for the outcome, hollow if incomparable."""
    chosen = alt.selection_point(fields=[colour], bind="legend")
    hue = _hue(colour, rows)
    area: Any = alt.value(60)
    if size is not None:
        area = alt.Size(f"{size}:Q", title=TITLES[size], scale=alt.Scale(range=[25, 260]))
    chart = (
        alt.Chart(alt.NamedData(RUNS))
        # Not filled but with a stroke and a fill of their own: a hollow point keeps its outline.
        .mark_point(filled=False, strokeWidth=1.4, cursor="pointer")
        .encode(
            x=_axis(x, "x", rows),
            y=_axis(y, "y", rows),
            stroke=alt.Stroke(**hue),
            fill=alt.Fill(**hue),  # Vega merges the two equal legends
            shape=_SHAPE,
            size=area,
            fillOpacity=alt.condition("datum.comparable", alt.value(0.75), alt.value(0.0)),
            opacity=alt.condition(chosen, alt.value(1.0), alt.value(0.12)),
            tooltip=[_tip(shorthand) for shorthand in _TIPS],
        )
        .add_params(chosen)
        .transform_filter(f"isValid(datum.{x}) && isValid(datum.{y})")
        .properties(**_SIZE)
    )
    # To check it takes most of the time; a test does.
    specification: dict[str, Any] = chart.interactive().to_dict(validate=False)
    return specification


_SHAPE = alt.Shape(
    "outcome:N",
    title="outcome",
    scale=alt.Scale(
        domain=["reached", "missed", "failed", "served"],
        range=["circle", "triangle-up", "cross", "square"],
    ),
)


def _tip(shorthand: str) -> Any:
    name = shorthand.partition(":")[0]
    return alt.Tooltip(shorthand, title=TITLES.get(name, name))


def _hue(colour: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The encoding of colour, for strokes and fills; with a legend if runs differ in it."""
    kinds = {row[colour] for row in rows if row[colour] is not None}
    ordinal = colour not in ("architecture", "label", "policy")
    return {
        "shorthand": f"{colour}:{'O' if ordinal else 'N'}",
        "title": TITLES.get(colour, colour),
        "scale": alt.Scale(scheme="viridis") if ordinal else alt.Scale(range=list(COLOURS)),
        "legend": alt.Legend(symbolLimit=12) if len(kinds) > 1 else None,
    }


def _axis(name: str, which: str, rows: Sequence[dict[str, Any]]) -> Any:
    kind = alt.X if which == "x" else alt.Y
    values = [row[name] for row in rows if row[name] is not None]
    spread = min(values) > 0 and max(values) / min(values) > 4
    scale = alt.Scale(padding=15, **({"type": "log", "nice": False} if spread else {"zero": False}))
    axis = alt.Axis(labelExpr=_SHORT_LABEL, labelSeparation=4)
    sizes = sorted(set(values))
    if (
        name == "batch_size" and len(sizes) <= _MOST_SIZES
    ):  # they double: a tick at each is clearest
        axis = alt.Axis(values=sizes, format="d")
    return kind(f"{name}:Q", title=title_of(name, rows), scale=scale, axis=axis)
