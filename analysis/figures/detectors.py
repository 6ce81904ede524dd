"""How late drift detectors are against how often they are wrong, beside one that always alarms."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, SymmetricalLogLocator
from pandas import DataFrame

from analysis.figures.axes import Canvas, canvas, finished, in_paper_style, log_axis, plain_axis
from analysis.figures.deployments import deployment_runs
from analysis.figures.letters import draw_letters
from analysis.figures.marks import bars_words, dot, draw_points, n_words, paired_medians
from analysis.figures.prepare import NothingToDraw
from analysis.figures.style import COLOURS, INK, Width, short_names, short_number
from analysis.load.once import once
from analysis.load.values import column, numbers

_PER_10K = 1e4
_ROOM = 1.6  # how far beyond the longest delay a detector stands that found nothing
_SPAN = 4.0


@once
def pick_watched(runs: DataFrame) -> DataFrame:
    """Select the deployments with a detector whose alarms can be judged.

    Raises:
        NothingToDraw: There are none.
    """
    kept = deployment_runs(runs)
    watched = kept[column(kept, "maintenance.detector").notna()]
    if watched.empty:
        raise NothingToDraw("no run of bench.maintain has a detector")
    judged = watched[numbers(watched, "maintenance.num_false_alarms").notna()]
    if judged.empty:
        raise NothingToDraw("nobody knows when these streams changed, so no alarm can be judged")
    return judged


def data_detectors(runs: DataFrame, events: DataFrame, windows: DataFrame) -> DataFrame:
    """Prepare delay and false alarms of each configuration with a detector.

    Args:
        runs: As loaded, or a group of them.
        events: Of the runs of pick_watched.
        windows: Likewise.

    Returns:
        A row for each configuration, and one with `is_baseline`, a detector that raises an alarm at
        the end of every window: `configuration`, `x` (false alarms per 10,000 predictions of all
        runs: most runs have none, so their median would hide them), `y` (median delay in
        predictions, with `y_low` and `y_high`; missing if no change was found), `num_changes` and
        `num_missed` (sums over runs), `num_runs`, `num_incomparable`.

    Raises:
        NothingToDraw: No run has a detector whose alarms can be judged.
    """
    watched = pick_watched(runs)
    changes = events[events["kind"] == "change"].groupby("run_id").size()
    table = DataFrame(
        {
            "configuration": watched["configuration"].astype(str),
            "comparable": watched["comparable"],
            "x": numbers(watched, "maintenance.false_alarms_per_10k"),
            "y": numbers(watched, "maintenance.detection_delay_mean"),
            "num_missed": numbers(watched, "maintenance.num_missed").fillna(0),
            "num_changes": watched["run_id"].map(changes).fillna(0),
            "x_bound": False,
            "y_bound": False,
        }
    )
    groups = table.groupby("configuration")
    data = paired_medians(table, "x", "y") if table["y"].notna().any() else _without_delays(table)
    data["x"] = groups["x"].mean()  # streams of one group are equally long
    data = data.drop(columns=["x_low", "x_high"])
    data = data.join(groups[["num_changes", "num_missed"]].sum()).reset_index()
    baseline = _always_alarming(watched["run_id"].iloc[0], events, windows)
    return DataFrame([*data.assign(is_baseline=False).to_dict("records"), *baseline])


def _without_delays(table: DataFrame) -> DataFrame:
    """The medians if no detector found a change, so that there is no delay."""
    data = paired_medians(table.assign(y=0.0), "x", "y")
    return data.assign(y=np.nan, y_low=np.nan, y_high=np.nan)


def _always_alarming(run_id: str, events: DataFrame, windows: DataFrame) -> list[dict[str, object]]:
    """What a detector would achieve that raises an alarm at the end of every window."""
    served = windows[windows["run_id"] == run_id]
    happened = events[(events["run_id"] == run_id) & (events["kind"] == "change")]
    if served.empty:
        return []
    ends = (served["first"] + served["num_predictions"]).to_numpy(float)
    begun = happened["prediction"].to_numpy(float)
    begun = begun[begun < ends[-1]]
    found = np.searchsorted(ends, begun, side="right")
    # The last prediction of the window in which a change begins.
    delays = ends[found] - 1 - begun
    num_false = len(ends) - len(set(found))
    return [
        {
            "configuration": "an alarm after every window",
            "x": _PER_10K * num_false / ends[-1],
            "y": float(delays.mean()) if len(delays) else np.nan,
            "num_changes": len(begun),
            "num_missed": 0,
            "num_runs": 1,
            "num_incomparable": 0,
            "is_baseline": True,
        }
    ]


@in_paper_style
def draw_detectors(data: DataFrame, *, width: Width = "one") -> Canvas:
    """Draw what `data_detectors` gives."""
    figure, (axes,) = canvas(width, 2.3 if width == "one" else 3.0)
    is_baseline = data["is_baseline"].astype(bool)
    names, common = short_names(data.loc[~is_baseline, "configuration"])
    beyond = _ROOM * (0.0 if data["y"].isna().all() else data["y"].max())
    drawn = data.assign(
        configuration=[
            names.get(name, name) + _found_words(missed, changes)
            for name, missed, changes in zip(
                data["configuration"], data["num_missed"], data["num_changes"], strict=True
            )
        ],
        # Where there is nothing to find, finding nothing is right.
        found=data["y"].notna() | data["num_changes"].eq(0),
        y=data["y"].fillna(beyond),
        front=False,
        beaten_by=None,
        front_share=np.nan,
    )
    detectors, baseline = drawn[~is_baseline].sort_values("x"), drawn[is_baseline]
    bars = detectors[detectors["found"]]
    axes.vlines(bars["x"], bars["y_low"], bars["y_high"], color=COLOURS[0], linewidth=0.6)
    for found, marker in ((True, "o"), (False, "^")):
        part = detectors[detectors["found"] == found]
        filled = part["num_incomparable"] == 0
        draw_points(axes, part["x"], part["y"], filled, COLOURS[0], size=22, marker=marker)
    axes.scatter(baseline["x"], baseline["y"], s=34, marker="X", color=INK, zorder=3)
    _scale(axes, drawn)
    axes.set_xlabel("false alarms per 10,000 predictions")
    if data["y"].isna().all():
        axes.set_yticks([])
        axes.set_ylabel("no change found,\nso no delay")
    else:
        axes.set_ylabel("delay of an alarm\n(predictions)")
    letters = draw_letters(axes, detectors.iloc[:0], detectors, 50 if width == "one" else 100)
    return finished(figure, [*letters, *_handles(detectors, baseline)], _words(data, common), width)


def _found_words(num_missed: float, num_changes: float) -> str:
    if not num_changes:
        return ": no change to find"
    changes = "change" if num_changes == 1 else "changes"
    return f": found {num_changes - num_missed:.0f} of {num_changes:.0f} {changes}"


def _scale(axes: Axes, rows: DataFrame) -> None:
    """An axis of false alarms has a place for 0, which is where a detector should be."""
    positive = rows.loc[rows["x"] > 0, "x"]
    if len(positive) and positive.max() > _SPAN * positive.min():
        least = 10 ** np.floor(np.log10(positive.min()))
        axes.set_xscale("symlog", linthresh=least)
        axes.xaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=least))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))
        axes.set_xlim(-0.3 * least, 2 * positive.max())
    else:
        plain_axis(axes, "x")
        axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
    if rows["y"].min() > 0 and rows["y"].max() > _SPAN * rows["y"].min():
        log_axis(axes, "y")
    else:
        highest = rows["y"].max() or 1.0
        axes.set_ylim(-0.05 * highest, 1.1 * highest)
        plain_axis(axes, "y")


def _handles(detectors: DataFrame, baseline: DataFrame) -> list[Line2D]:
    handles = [
        dot(str(row["configuration"]), INK, marker="X") for row in baseline.to_dict("records")
    ]
    num_nothing = int((~detectors["found"]).sum())
    if num_nothing:
        handles.append(dot(f"found nothing, so without a delay ({num_nothing})", marker="^"))
    num_incomparable = int((detectors["num_incomparable"] > 0).sum())
    if num_incomparable:
        handles.append(dot(f"with incomparable runs ({num_incomparable})", face="white"))
    return handles


def _words(data: DataFrame, common: str) -> str:
    numbers_of_runs = data.loc[~data["is_baseline"].astype(bool), "num_runs"]
    return (
        f"Point: median delay of {n_words(numbers_of_runs)} deployments"
        f"{bars_words(numbers_of_runs)}; false alarms of all of them. Delay: from a change to the"
        " alarm that found it. An alarm is false if nothing changed since the oldest sample that"
        f" the deployed model was trained on. {common}"
    ).strip()
