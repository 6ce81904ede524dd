"""The probability of having hit the target by a time, and the share of all rungs reached by it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from pandas import DataFrame, concat

from analysis.figures.axes import Canvas, canvas, finished, in_paper_style, legend_name, log_axis
from analysis.figures.by_configuration import outcomes_by_configuration
from analysis.figures.marks import draw_band, grey_handles, range_words
from analysis.figures.prepare import (
    NothingToDraw,
    counted_name,
    counts,
    drawn,
    ranked,
    training_runs,
)
from analysis.figures.style import COLOURS, GREY, LINES, Width, short_names
from analysis.stats.attainment import target_ecdf
from analysis.stats.outcomes import Outcomes, outcomes
from analysis.stats.survival import kaplan_meier, log_rank
from bench.core.stats.intervals import MIN_RUNS


def data_hits(runs: DataFrame) -> DataFrame:
    """Kaplan-Meier's probability of having hit over time, per configuration.

    A run that missed is censored at its budget; one that failed never hits.

    Args:
        runs: As loaded.

    Returns:
        Rows of two kinds. `kind` is `step`: `time_s`, `probability` from that time on, `low`,
        `high` (pointwise 95%, missing where they have no value). `kind` is `missed`: `time_s` at
        which a run was given up, and the probability there. All have `configuration`, `shown`
        (`line` or `grey`), `num_runs`, `num_reached`, `num_incomparable`, `num_configurations`,
        `num_unknown` (runs left out since their time is not known), `log_rank_p` (of the first
        two).

    Raises:
        NothingToDraw: There is no training whose time is known.
    """
    trained = training_runs(runs)
    ended = outcomes(trained)
    timed = ~np.isnan(ended.cost)
    if not timed.any():
        raise NothingToDraw("no training with a known time")
    # A run that failed never hits, whenever that was.
    known = trained[timed | ended.failed]
    order = ranked(known)
    last_s = float(ended.cost[timed].max())
    groups = outcomes_by_configuration(known)
    parts = [
        _steps(groups[name], last_s, with_band=how == "line").assign(configuration=name, shown=how)
        for name, how in drawn(order).items()
    ]
    data = concat(parts, ignore_index=True).merge(counts(known), on="configuration")
    return data.assign(
        num_configurations=len(order),
        num_unknown=len(trained) - len(known),
        log_rank_p=_p_value([_timed(groups[name], last_s) for name in order[:2]]),
    )


def _timed(group: Outcomes, last_s: float) -> Outcomes:
    """The same, with failures at an unknown time put where the last run ended."""
    return replace(group, cost=np.where(np.isnan(group.cost), last_s, group.cost))


def _steps(group: Outcomes, last_s: float, *, with_band: bool) -> DataFrame:
    found = kaplan_meier(_timed(group, last_s))
    probability = found.hit_probability
    rows = DataFrame(
        {
            "kind": "step",
            "time_s": np.concatenate([[0.0], found.time]),
            "probability": np.concatenate([[0.0], probability]),
            "low": np.concatenate([[0.0], 1 - found.high]),
            "high": np.concatenate([[0.0], 1 - found.low]),
        }
    )
    if not with_band:
        return rows
    given_up = group.cost[~group.hit & ~np.isnan(group.cost)]
    missed = DataFrame({"kind": "missed", "time_s": given_up, "low": np.nan, "high": np.nan})
    missed["probability"] = [1 - found.at(float(time_s)) for time_s in given_up]
    return concat([rows, missed]) if len(missed) else rows


def _p_value(best: list[Outcomes]) -> float:
    """Of the log-rank test of the best two; NaN where there are no two, or none of them hit."""
    if len(best) < 2 or best[0].num_hits + best[1].num_hits == 0:
        return float("nan")
    return log_rank(*best).p_value


@in_paper_style
def draw_hits(data: DataFrame, *, width: Width = "one") -> Canvas:
    """Draw what `data_hits` gives."""
    figure, (axes,) = canvas(width)
    _grey_lines(axes, data, "probability")
    best = data[data["shown"] == "line"]
    names, common = short_names(data["configuration"])
    handles = []
    for place, (name, rows) in enumerate(best.groupby("configuration", sort=False)):
        steps = _from_first(rows[rows["kind"] == "step"], data)
        colour = COLOURS[place]
        x, low, high = steps["time_s"], steps["low"], steps["high"]
        draw_band(axes, x, low, high, colour, alpha=0.15, step="post")
        missed = rows[rows["kind"] == "missed"]
        axes.plot(
            missed["time_s"], missed["probability"], linestyle="", marker="|", color=colour, ms=7
        )
        handles.append(_line(axes, steps, "probability", place, rows, names[str(name)], width))
    axes.set_ylabel("probability of having hit")
    return _finished(figure, axes, data, handles, _hit_words(data, best, common), width)


def _from_first(steps: DataFrame, data: DataFrame) -> DataFrame:
    """The steps on a log axis, where 0 has no place: begun below the earliest time of all."""
    first = float(data.loc[data["time_s"] > 0, "time_s"].min()) / 1.3
    last = float(data["time_s"].max())
    steps = steps.assign(time_s=steps["time_s"].clip(lower=first))
    ends = steps.iloc[[-1]].assign(time_s=last)
    return concat([steps, ends], ignore_index=True)


def _grey_lines(axes: Axes, data: DataFrame, y: str) -> None:
    for _, rows in data[data["shown"] == "grey"].groupby("configuration", sort=False):
        steps = _from_first(rows, data)
        axes.plot(steps["time_s"], steps[y], drawstyle="steps-post", color=GREY, linewidth=0.6)


def _line(
    axes: Axes, steps: DataFrame, y: str, place: int, rows: DataFrame, name: str, width: Width
) -> Line2D:
    first = rows.iloc[0]
    label = counted_name(name, first["num_runs"], first["num_reached"], first["num_incomparable"])
    (line,) = axes.plot(
        steps["time_s"],
        steps[y],
        drawstyle="steps-post",
        color=COLOURS[place],
        linestyle=LINES[place],
        label=legend_name(label, width),
    )
    return line


def _finished(
    figure: Canvas, axes: Axes, data: DataFrame, handles: list[Line2D], words: str, width: Width
) -> Canvas:
    log_axis(axes, "x")
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("time (s)")
    return finished(figure, handles + grey_handles(data, len(handles)), words, width)


def _hit_words(data: DataFrame, best: DataFrame, common: str) -> str:
    words = "Kaplan-Meier; k/n: runs that hit."
    if best.loc[best["time_s"] > 0, "low"].notna().any():
        words += f" Band, from {MIN_RUNS} runs on: 95%, each time on its own."
    if (best["kind"] == "missed").any():
        words += " |: a run that missed or failed."
    num_unknown = int(data["num_unknown"].iloc[0])
    if num_unknown:
        words += f" {num_unknown} runs whose time is not known are left out."
    p_value = float(data["log_rank_p"].iloc[0])
    if not np.isnan(p_value):
        words += f" Log-rank of the first two: p = {p_value:.2g}."
    return f"{words} {common}".strip()


def data_ecdf_targets(runs: DataFrame, ladder: DataFrame) -> DataFrame:
    """Share of all pairs of run and rung that were reached by a time, per configuration.

    Args:
        runs: As loaded.
        ladder: Rungs of these runs.

    Returns:
        `configuration`, `time_s`, `share` from that time on, `shown`, `num_pairs`, `num_runs`,
        `num_reached`, `num_incomparable`, `num_configurations`.

    Raises:
        NothingToDraw: No run reached a rung.
    """
    trained = training_runs(runs)
    own = ladder[ladder["run_id"].isin(trained["run_id"])] if len(ladder) else ladder
    if own.empty or not own["reached"].astype(bool).any():
        raise NothingToDraw("no run reached a rung of its ladder")
    found = target_ecdf(own, trained, "time_s").rename(columns={"solved_frac": "share"})
    found = found.assign(time_s=found["time_s"].fillna(0.0))
    present = set(found["configuration"])
    order = [name for name in ranked(trained) if name in present]
    parts = []
    for name, shown in drawn(order).items():
        rows = found[found["configuration"] == name]
        start = rows.iloc[[0]].assign(time_s=0.0, share=0.0)
        parts.append(concat([start, rows]).assign(shown=shown))
    data = concat(parts, ignore_index=True).drop(columns="num_runs")
    data = data.merge(counts(trained), on="configuration")
    return data.assign(num_configurations=len(order))


@in_paper_style
def draw_ecdf_targets(data: DataFrame, *, width: Width = "one") -> Canvas:
    """Draw what `data_ecdf_targets` gives."""
    figure, (axes,) = canvas(width)
    _grey_lines(axes, data, "share")
    best = data[data["shown"] == "line"]
    names, common = short_names(data["configuration"])
    handles = [
        _line(axes, _from_first(rows, data), "share", place, rows, names[str(name)], width)
        for place, (name, rows) in enumerate(best.groupby("configuration", sort=False))
    ]
    axes.set_ylabel("share of rungs x runs reached")
    pairs = range_words(best["num_pairs"])
    words = f"{pairs} pairs of rung and run each, those never reached inside. k/n: runs that hit."
    return _finished(figure, axes, data, handles, f"{words} {common}", width)
