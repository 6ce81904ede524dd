"""The probability of hitting the target by a time, and the share of rungs reached by then."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from pandas import DataFrame, concat

from analysis.figures.axes import Canvas, canvas, finished, in_paper_style, log_axis
from analysis.figures.by_configuration import outcomes_by_configuration
from analysis.figures.lines import draw_lines
from analysis.figures.marks import draw_band, range_words
from analysis.figures.prepare import NothingToDraw, drawn, ranked, training_runs, with_counts
from analysis.figures.style import Width
from analysis.stats.attainment import target_ecdf
from analysis.stats.outcomes import Outcomes, outcomes
from analysis.stats.survival import kaplan_meier, log_rank
from bench.core.stats.intervals import MIN_RUNS


def data_hits(runs: DataFrame) -> DataFrame:
    """Prepare Kaplan-Meier's probability of having hit over time, per configuration.

    A run that missed is censored at its budget; one that failed never hits.

    Args:
        runs: As loaded.

    Returns:
        Rows of two kinds. `kind` is `step`: `time_s`, `probability` from that time on, `low`,
        `high` (pointwise 95%, missing if they have no value). `kind` is `missed`: `time_s` at which
        a run ended without a hit, and the probability there. All have `configuration`, `shown`
        (`line` or `grey`), `num_runs`, `num_reached`, `num_incomparable`, `num_configurations`,
        `num_unknown` (runs left out because their time is unknown), `log_rank_p` (of the first
        two).

    Raises:
        NothingToDraw: There is no training with a known time.
    """
    trained = training_runs(runs)
    ended = outcomes(trained)
    timed = ~np.isnan(ended.cost)
    if not timed.any():
        raise NothingToDraw("no training with a known time")
    # A failed run never hits, so it counts even if the time of the failure is unknown.
    known = trained[timed | ended.failed]
    order = ranked(known)
    # A failure at an unknown time counts until the end: it never hits, whenever it ended.
    last_s = float(ended.cost[timed].max())
    groups = outcomes_by_configuration(known)
    parts = [
        _steps(groups[name], last_s, with_band=how == "line").assign(configuration=name, shown=how)
        for name, how in drawn(order).items()
    ]
    return with_counts(parts, known, len(order)).assign(
        num_unknown=len(trained) - len(known),
        log_rank_p=_p_value([_timed(groups[name], last_s) for name in order[:2]]),
    )


def _timed(group: Outcomes, last_s: float) -> Outcomes:
    """Put failures at an unknown time where the last run ended."""
    return replace(group, cost=np.where(np.isnan(group.cost), last_s, group.cost))


def _steps(group: Outcomes, last_s: float, *, with_band: bool) -> DataFrame:
    curve = kaplan_meier(_timed(group, last_s))
    probability = curve.hit_probability
    rows = DataFrame(
        {
            "kind": "step",
            "time_s": np.concatenate([[0.0], curve.time]),
            "probability": np.concatenate([[0.0], probability]),
            # The estimate is of not having hit yet, so its upper bound is our lower one.
            "low": np.concatenate([[0.0], 1 - curve.high]),
            "high": np.concatenate([[0.0], 1 - curve.low]),
        }
    )
    if not with_band:
        return rows
    end_s = group.cost[~group.hit & ~np.isnan(group.cost)]
    missed = DataFrame({"kind": "missed", "time_s": end_s, "low": np.nan, "high": np.nan})
    missed["probability"] = [1 - curve.at(float(time_s)) for time_s in end_s]
    return concat([rows, missed]) if len(missed) else rows


def _p_value(best: list[Outcomes]) -> float:
    """The p-value of the log-rank test of the best two; NaN with fewer, or without any hit."""
    # The test compares when hits happen; without any, it divides by zero.
    if len(best) < 2 or best[0].num_hits + best[1].num_hits == 0:
        return float("nan")
    return log_rank(*best).p_value


@in_paper_style
def draw_hits(data: DataFrame, *, width: Width = "one") -> Canvas:
    """Draw what `data_hits` gives."""
    figure, (axes,) = canvas(width)

    def draw_more(rows: DataFrame, colour: str) -> None:
        x, low, high = rows["time_s"], rows["low"], rows["high"]
        draw_band(axes, x, low, high, colour, alpha=0.15, step="post")
        is_same = data["configuration"] == rows["configuration"].iloc[0]
        missed = data[is_same & (data["kind"] == "missed")]
        axes.plot(missed["time_s"], missed["probability"], ls="", marker="|", color=colour, ms=7)

    steps = _on_log_axis(data[data["kind"] == "step"], data)
    columns = ("time_s", "probability")
    handles, common = draw_lines(axes, steps, *columns, width, draw_more=draw_more)
    _set_axes(axes, "probability of having hit")
    best = data[data["shown"] == "line"]
    return finished(figure, handles, _hit_words(data, best, common), width)


def _on_log_axis(steps: DataFrame, data: DataFrame) -> DataFrame:
    """Start the steps just below the earliest time, as a log axis has no 0, and extend them."""
    first = float(data.loc[data["time_s"] > 0, "time_s"].min()) / 1.3
    steps = steps.assign(time_s=steps["time_s"].clip(lower=first))
    # A step function holds its last value, and lines that end early would look cut off.
    ends = steps.drop_duplicates("configuration", keep="last")
    return concat([steps, ends.assign(time_s=float(data["time_s"].max()))], ignore_index=True)


def _set_axes(axes: Axes, label: str) -> None:
    log_axis(axes, "x")
    # So that lines at 0 and 1 are not hidden by the frame.
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("time (s)")
    axes.set_ylabel(label)


def _hit_words(data: DataFrame, best: DataFrame, common: str) -> str:
    words = "Kaplan-Meier; k/n: runs that hit."
    if best.loc[best["time_s"] > 0, "low"].notna().any():
        words += f" Band, from {MIN_RUNS} runs on: pointwise 95%."
    if (best["kind"] == "missed").any():
        words += " |: a run that missed or failed."
    num_unknown = int(data["num_unknown"].iloc[0])
    if num_unknown:
        words += f" {num_unknown} runs whose time is unknown are left out."
    p_value = float(data["log_rank_p"].iloc[0])
    if not np.isnan(p_value):
        words += f" Log-rank of the first two: p = {p_value:.2g}."
    return f"{words} {common}".strip()


def data_ecdf_targets(runs: DataFrame, ladder: DataFrame) -> DataFrame:
    """Prepare the share of pairs of run and rung that were reached by a time.

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
    rungs = ladder[ladder["run_id"].isin(trained["run_id"])] if len(ladder) else ladder
    if rungs.empty or not rungs["reached"].astype(bool).any():
        raise NothingToDraw("no run reached a rung of its ladder")
    shares = target_ecdf(rungs, trained, "time_s").rename(columns={"solved_frac": "share"})
    # Without a solved pair there is no time, and the share is 0 from the start.
    shares = shares.assign(time_s=shares["time_s"].fillna(0.0))
    present = set(shares["configuration"])
    order = [name for name in ranked(trained) if name in present]
    parts = []
    for name, shown in drawn(order).items():
        rows = shares[shares["configuration"] == name]
        start = rows.iloc[[0]].assign(time_s=0.0, share=0.0)
        parts.append(concat([start, rows]).drop(columns="num_runs").assign(shown=shown))
    return with_counts(parts, trained, len(order))


@in_paper_style
def draw_ecdf_targets(data: DataFrame, *, width: Width = "one") -> Canvas:
    """Draw what `data_ecdf_targets` gives."""
    figure, (axes,) = canvas(width)
    steps = _on_log_axis(data, data)
    handles, common = draw_lines(axes, steps, "time_s", "share", width)
    _set_axes(axes, "share of rungs x runs reached")
    pairs = range_words(data.loc[data["shown"] == "line", "num_pairs"])
    words = f"Share of {pairs} pairs of rung and run each, reached or not. k/n: runs that hit."
    return finished(figure, handles, f"{words} {common}", width)
