"""Serving: the distribution of latency, and latency under load."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from pandas import DataFrame, Series, concat

from analysis.figures.axes import Canvas, canvas, finished, in_paper_style, legend_name, log_axis
from analysis.figures.looks import Look, looks
from analysis.figures.marks import draw_points, range_words
from analysis.figures.prepare import HIGHLIGHTED, NothingToDraw, evenly, serving_runs
from analysis.figures.served import of_best_trainings, with_main
from analysis.figures.style import INK, Width, short_names
from analysis.load.values import numbers
from bench.config.serve import SCENARIOS
from bench.core.stats.percentiles import latency_percentile, percentile_floor

_PERCENTILES = (0.5, 0.9, 0.99, 0.999)
# Steps of a distribution: a figure of 7 inches shows no more.
_POINTS = 300
_MOST_LINES = 4  # configurations of a scenario
_PANELS = SCENARIOS


def pick_served(runs: DataFrame) -> DataFrame:
    """Select the runs whose distributions are drawn: a few configurations of each scenario.

    Args:
        runs: As loaded.

    Returns:
        For each scenario at most _MOST_LINES configurations, evenly from the fastest to the
        slowest, each with the run of the median p50. Of the trainings of one model, one is served.

    Raises:
        NothingToDraw: There is no run of bench.serve.
    """
    served, _ = _models_with_latency(runs)
    return _picked(served)


def _picked(served: DataFrame) -> DataFrame:
    picked = []
    for _, rows in served.groupby("serving.scenario", sort=True):
        groups = rows.sort_values(["p50", "run_id"]).groupby("configuration", sort=False)
        # A typical run, because a distribution over several runs would mix their levels.
        middle = [group.iloc[(len(group) - 1) // 2]["run_id"] for _, group in groups]
        picked += evenly(middle, _MOST_LINES)
    return served[served["run_id"].isin(picked)]


def _models_with_latency(runs: DataFrame) -> tuple[DataFrame, str]:
    """The runs with a median latency `p50`, of one training of each model, and words about it."""
    served = serving_runs(with_main(runs))
    served["p50"] = numbers(served, "serving.latency_p50_ms")
    left, _, words = of_best_trainings(served.dropna(subset=["p50"]))
    return left, words


def data_latency(runs: DataFrame, requests: DataFrame) -> DataFrame:
    """Prepare the empirical distribution of latency, thinned to what a reader can see.

    Args:
        runs: As loaded.
        requests: Samples of the performance passes of the runs of `pick_served`.

    Returns:
        Rows of two kinds. `kind` is `ecdf`: `latency_ms` and the `share` of samples up to it.
        `kind` is `percentile`: `share` of _PERCENTILES, if there are enough samples.
        All have `configuration`, `scenario`, `num_samples`, `num_configurations` of the scenario,
        `comparable`, `valid`, `remark`.

    Raises:
        NothingToDraw: No run kept its requests.
    """
    served, remark = _models_with_latency(runs)
    totals = served.groupby("serving.scenario")["configuration"].nunique()
    parts = []
    for row in _picked(served).to_dict("records"):
        latency_ms = requests.loc[requests["run_id"] == row["run_id"], "latency_ms"].dropna()
        if latency_ms.empty:
            continue
        part = concat([_ecdf(latency_ms.to_numpy(dtype=float)), _marks(list(latency_ms))])
        parts.append(
            part.assign(
                configuration=row["configuration"],
                scenario=row["serving.scenario"],
                num_samples=len(latency_ms),
                num_configurations=int(totals[row["serving.scenario"]]),
                comparable=row["comparable"],
                valid=row["valid"],
            )
        )
    if not parts:
        raise NothingToDraw("no run of bench.serve kept its requests")
    return concat(parts, ignore_index=True).assign(remark=remark)


def _ecdf(latency_ms: npt.NDArray[np.float64]) -> DataFrame:
    """Steps of the distribution at evenly spaced shares, with more of them in the tail."""
    ordered, num = np.sort(latency_ms), len(latency_ms)
    # Evenly spaced shares alone would have three points above p99.
    shares = np.concatenate([np.linspace(0, 1, _POINTS), 1 - np.geomspace(1e-4, 0.01, 40)])
    # The nearest rank, as the percentiles of a record.
    ranks = np.unique(np.clip(np.ceil(shares * num), 1, num).astype(int))
    return DataFrame({"kind": "ecdf", "latency_ms": ordered[ranks - 1], "share": ranks / num})


def _marks(latency_ms: list[float]) -> DataFrame:
    values = [latency_percentile(latency_ms, q) for q in _PERCENTILES]
    marks = DataFrame({"kind": "percentile", "latency_ms": values, "share": _PERCENTILES})
    return marks.astype({"latency_ms": "float64"}).dropna()


@in_paper_style
def draw_latency(data: DataFrame, *, width: Width = "one") -> Canvas:
    """Draw what `data_latency` gives."""
    scenarios = [name for name in _PANELS if (data["scenario"] == name).any()]
    columns = 1 if width == "one" else min(2, len(scenarios))
    height_in = 1.7 if width == "one" else 2.0
    figure, panels = canvas(width, height_in, num=len(scenarios), columns=columns)
    handles: dict[str, Line2D] = {}
    # The panel's title names the scenario, and a model has one colour in all panels.
    data = data.assign(model=data["configuration"].map(_without_scenario))
    shown_as = looks(data["model"])
    for axes, scenario in zip(panels, scenarios, strict=True):
        part = data[data["scenario"] == scenario]
        _draw_ecdf(axes, part, shown_as, handles)
        shown, num = part["configuration"].nunique(), int(part["num_configurations"].iloc[0])
        few = "" if shown == num else f" ({shown} of {num} configurations)"
        axes.set_title(scenario.replace("_", " ") + few)
        axes.set_ylabel("share of samples")
        axes.set_xlabel("latency (ms)")
        log_axis(axes, "x")
    short, common = short_names(handles)
    for label, handle in handles.items():
        handle.set(label=legend_name(short[label], width))
    return finished(figure, list(handles.values()), f"{_latency_words(data)} {common}", width)


def _draw_ecdf(
    axes: Axes, data: DataFrame, shown: dict[str, Look], handles: dict[str, Line2D]
) -> None:
    for name, rows in data.groupby("model", sort=False):
        look = shown[str(name)]
        style = {"color": look.colour, "linestyle": look.line}
        steps = rows[rows["kind"] == "ecdf"]
        axes.plot(steps["latency_ms"], steps["share"], drawstyle="steps-post", **style)
        marks = rows[rows["kind"] == "percentile"]
        good = bool(rows["comparable"].iloc[0] and rows["valid"].iloc[0])
        axes.plot(
            marks["latency_ms"],
            marks["share"],
            linestyle="",
            marker=look.marker,
            color=style["color"],
            markerfacecolor=style["color"] if good else "white",
        )
        handles[str(name)] = Line2D(
            [],
            [],
            marker=look.marker,
            markerfacecolor=style["color"] if good else "white",
            label=str(name),
            **style,
        )


def _without_scenario(name: str) -> str:
    """The model by itself, since panels are of one scenario; `default` if nothing else differs."""
    rest = [part for part in name.split(" ") if not part.startswith("scenario=")]
    return " ".join(rest) or "default"


def _totals(data: DataFrame) -> Series:
    """How many configurations each scenario has."""
    return data.groupby("scenario")["num_configurations"].first()


def _latency_words(data: DataFrame) -> str:
    samples = range_words(data["num_samples"])
    least = percentile_floor(0.999)
    words = (
        f"One run each (n = 1), the median run of its configuration; {samples} samples per run. "
        f"Marks: p50, p90, p99, p99.9 (from {least} samples on)."
    )
    if (data.groupby("scenario")["configuration"].nunique() < _totals(data)).any():
        words += f" At most {_MOST_LINES} of a scenario, evenly from the fastest to the slowest."
    if not (data["comparable"] & data["valid"]).all():
        words += " Hollow: not comparable, or not valid in its scenario."
    return f"{words} {data['remark'].iloc[0]}".strip()


def data_load(runs: DataFrame, rate_search: DataFrame) -> DataFrame:
    """Prepare latency at every rate that a search in the server scenario tried.

    Args:
        runs: As loaded.
        rate_search: Rates tried by these runs.

    Returns:
        Rows per run and rate: `configuration`, `run_id`, `rate_per_s`, `latency_p50_ms`,
        `latency_p99_ms`, `valid`, `bound_ms`, `max_rate_per_s`, `comparable`, `num_configurations`,
        `remark`. Of the trainings of one model, one is there.

    Raises:
        NothingToDraw: No run searched for its rate.
    """
    served = serving_runs(with_main(runs))
    served, _, remark = of_best_trainings(served[served["run_id"].isin(rate_search["run_id"])])
    # Only runs that are drawn: the merge drops rates of other runs.
    steps = rate_search.merge(
        DataFrame(
            {
                "run_id": served["run_id"],
                "configuration": served["configuration"],
                "comparable": served["comparable"],
                "bound_ms": numbers(served, "serving.latency_bound_ms"),
                "max_rate_per_s": numbers(served, "serving.max_rate_per_s"),
            }
        ),
        on="run_id",
    )
    if steps.empty:
        raise NothingToDraw("no run of bench.serve tried several rates")
    # The largest rates come first, since they are the best.
    best = steps.groupby("configuration")["max_rate_per_s"].median()
    order = [str(name) for name in best.sort_values(ascending=False).index]
    names = ["configuration", "run_id", "rate_per_s", "latency_p50_ms", "latency_p99_ms", "valid"]
    data = steps[[*names, "bound_ms", "max_rate_per_s", "comparable"]]
    data = data[data["configuration"].isin(evenly(order, HIGHLIGHTED))]
    data = data.assign(
        valid=data["valid"].astype(bool), num_configurations=len(order), remark=remark
    )
    return data.sort_values(["configuration", "run_id", "rate_per_s"], ignore_index=True)


@in_paper_style
def draw_load(data: DataFrame, *, width: Width = "one") -> Canvas:
    """Draw what `data_load` gives."""
    figure, (axes,) = canvas(width)
    names, common = short_names(data["configuration"])
    handles = []
    shown_as = looks(data["configuration"])
    for name, group in data.groupby("configuration", sort=False):
        colour, marker = shown_as[str(name)].colour, shown_as[str(name)].marker
        for _, rows in group.groupby("run_id", sort=False):
            axes.plot(rows["rate_per_s"], rows["latency_p99_ms"], color=colour, linewidth=1.1)
            axes.plot(
                rows["rate_per_s"],
                rows["latency_p50_ms"],
                color=colour,
                linewidth=0.8,
                linestyle=":",
            )
            rates, tail = rows["rate_per_s"], rows["latency_p99_ms"]
            draw_points(axes, rates, tail, rows["valid"], colour, size=16, marker=marker)
        num = group["run_id"].nunique()
        incomparable = ", incomparable" if not group["comparable"].all() else ""
        label = legend_name(f"{names[str(name)]}  n = {num}{incomparable}", width)
        handles.append(Line2D([], [], color=colour, marker=marker, markersize=4, label=label))
    handles += _bound_lines(axes, data)
    log_axis(axes, "x")
    log_axis(axes, "y")
    axes.set_xlabel("rate asked for (queries/s)")
    axes.set_ylabel("latency (ms)")
    shown, num = len(names), int(data["num_configurations"].iloc[0])
    few = "" if shown == num else f" {shown} of {num} configurations, evenly by their largest rate."
    words = f"Solid: p99; dotted: p50; a line for each run. Hollow: bound or rate not held.{few}"
    words = f"{words} {data['remark'].iloc[0]}".strip()
    return finished(figure, handles, f"{words} {common}", width)


def _bound_lines(axes: Axes, data: DataFrame) -> list[Line2D]:
    handles = []
    for bound_ms in data["bound_ms"].dropna().unique():
        line = axes.axhline(bound_ms, color=INK, linewidth=0.8, linestyle=(0, (2, 2)))
        line.set(label=f"bound of p99: {bound_ms:g} ms")
        handles.append(line)
    return handles
