"""A deployment window by window: accuracy, drift, alarms, and the joules of retrainings."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from pandas import DataFrame, concat

from analysis.figures.axes import Canvas, canvas, finished, in_paper_style, plain_axis, wrapped
from analysis.figures.deployments import deployment_runs, label_words, ranked_policies
from analysis.figures.marks import dot
from analysis.figures.prepare import HIGHLIGHTED, NothingToDraw, evenly
from analysis.figures.style import (
    COLOURS,
    INK,
    SMALL_PT,
    Width,
    short_names,
    short_number,
    width_in,
)
from analysis.load.once import once
from analysis.load.values import column
from bench.core.scales import ENERGY, Unit, unit_of

_ACCURACY, _BELOW, _BARS, _ALARM = COLOURS[0], COLOURS[3], COLOURS[2], COLOURS[1]
_DRIFT = "0.88"
# Bars stand on the lowest part of the panel, so that they hide no accuracy.
_BARS_FRAC = 0.4
_BAR_WIDTH_FRAC = 0.012  # of the stream
_ALARM_KINDS = {
    "real": ("alarm after a change", _ALARM),
    "wrong": ("false alarm", "white"),
    "unknown": ("alarm, truth unknown", "0.6"),
}


@once
def pick_shown(runs: DataFrame) -> DataFrame:
    """Select the runs that are drawn: of an even choice of configurations the first seed each.

    Raises:
        NothingToDraw: No run served its whole stream.
    """
    kept = deployment_runs(runs)
    order = _chosen(kept, ranked_policies(kept))
    first = kept.sort_values(["seed", "repeat"], kind="stable").drop_duplicates("configuration")
    first = first.set_index(first["configuration"].astype(str))
    return first.loc[order].reset_index(drop=True)


def _chosen(runs: DataFrame, order: list[str]) -> list[str]:
    """The best configuration of each policy, and an even choice of the others if there is room."""
    policies = dict(zip(runs["configuration"].astype(str), runs["maintenance.policy"], strict=True))
    best = list({policies[name]: name for name in reversed(order)}.values())
    chosen = evenly(sorted(best, key=order.index), HIGHLIGHTED)
    others = evenly([name for name in order if name not in best], HIGHLIGHTED - len(chosen))
    return sorted([*chosen, *others], key=order.index)


def data_stream(runs: DataFrame, windows: DataFrame, events: DataFrame) -> DataFrame:
    """Prepare the windows, alarms and retrainings of one run per configuration.

    Args:
        runs: As loaded, or a group of them.
        windows: Of the runs of pick_shown.
        events: Likewise.

    Returns:
        Rows of three kinds. `kind` is `window`: `start` and `end` (predictions), `value` (accuracy)
        and `strength` of the drift. `kind` is `retraining`: `start`, `value` (joules; missing if
        unknown). `kind` is `alarm`: `start`, and `truth` (real, wrong or unknown). All have
        `configuration`, `seed`, `target`, `on_target_frac`, `num_retrains`, `comparable`, `label`
        (how joules were obtained) and `num_configurations`.

    Raises:
        NothingToDraw: No run served its whole stream, or none kept its windows.
    """
    shown = pick_shown(runs)
    num = deployment_runs(runs)["configuration"].nunique()
    parts = [
        _run_rows(row, windows, events).assign(
            configuration=row["configuration"],
            seed=row["seed"],
            target=row["maintenance.target_value"],
            on_target_frac=row["maintenance.on_target_frac"],
            num_retrains=row["maintenance.num_retrains"],
            comparable=row["comparable"],
            label=row["label"],
        )
        for row in shown.to_dict("records")
    ]
    data = concat(parts, ignore_index=True)
    if data.empty:
        raise NothingToDraw("no run of bench.maintain kept its windows")
    return data.assign(num_configurations=num, axis_label=label_words(shown))


def _run_rows(row: dict[object, object], windows: DataFrame, events: DataFrame) -> DataFrame:
    """The rows of one run."""
    served = windows[windows["run_id"] == row["run_id"]].sort_values("first")
    happened = events[events["run_id"] == row["run_id"]]
    alarms = happened[happened["kind"] == "alarm"]
    trained = happened[happened["kind"] == "retraining"]
    truth = alarms["is_false"].map({True: "wrong", False: "real"}).fillna("unknown")
    frames = [
        DataFrame(
            {
                "kind": "window",
                "start": served["first"],
                "end": served["first"] + served["num_predictions"],
                "value": served["accuracy"].astype(float),
                "strength": served["strength"].astype(float),
            }
        ),
        DataFrame(
            {
                "kind": "retraining",
                "start": trained["prediction"],
                "value": trained["energy_j"].astype(float),
            }
        ),
        DataFrame({"kind": "alarm", "start": alarms["prediction"], "truth": truth}),
    ]
    return concat([frame for frame in frames if len(frame)] or frames[:1], ignore_index=True)


@in_paper_style
def draw_stream(data: DataFrame, *, width: Width = "one") -> Canvas:
    """Draw what `data_stream` gives: a panel for each configuration, on one axis of time."""
    data = data.assign(truth=column(data, "truth"))
    runs = list(data.groupby("configuration", sort=False))
    height_in = (0.85 if width == "one" else 0.95) + 0.75 / len(runs)  # all share one axis of time
    figure, panels = canvas(width, height_in, num=len(runs), sharex=True, sharey=True)
    names, common = short_names([str(name) for name, _ in runs])
    most_j = data.loc[data["kind"] == "retraining", "value"].max()
    unit = unit_of(np.nan_to_num(most_j), ENERGY)
    span = float(data["end"].max())
    for axes, (name, rows) in zip(panels, runs, strict=True):
        _draw_windows(axes, rows)
        _draw_events(axes, rows, span)
        if not np.isnan(most_j) and most_j > 0:
            _draw_joules(axes, rows, most_j, span, unit)
        axes.set_title(
            wrapped(_title(names[str(name)], rows), _characters(width)), fontsize=SMALL_PT
        )
        axes.set_ylabel("accuracy")
        axes.set_xlim(0, span)
    _limit_accuracy(panels[0], data)
    panels[-1].set_xlabel("predictions served")
    plain_axis(panels[-1], "x")
    return finished(figure, _handles(data), f"{_words(data, unit.name)} {common}", width)


def _characters(width: Width) -> int:
    return int(17 * width_in(width))


def _title(name: str, rows: DataFrame) -> str:
    first = rows.iloc[0]
    share = first["on_target_frac"]
    held = "on target: unknown"
    if not np.isnan(share):
        held = f"on target {100 * share:.3g}%" if share else "NEVER ON TARGET"
    num = int(first["num_retrains"])
    words = f"{name}: {held}, {num} retraining{'s' * (num != 1)}"
    return words if first["comparable"] else f"{words} (not comparable)"


def _limit_accuracy(axes: Axes, data: DataFrame) -> None:
    """Leave the lowest part of the panels to the bars."""
    values = [*data.loc[data["kind"] == "window", "value"].dropna(), *data["target"].unique()]
    low, high = min(values), max(values)
    reach = max(high - low, 0.05)
    axes.set_ylim(max(-0.35, low - reach * _BARS_FRAC / (1 - _BARS_FRAC)), high + 0.12 * reach)


def _draw_windows(axes: Axes, rows: DataFrame) -> None:
    """The accuracy as steps, what it lacks to the target, and the strength of the drift."""
    served = rows[rows["kind"] == "window"]
    edges = np.append(served["start"].to_numpy(float), served["end"].iloc[-1])
    target = float(served["target"].iloc[0])
    accuracy = served["value"].to_numpy(float)
    strength = served["strength"].to_numpy(float)
    # In shares of the panel's height: a strength has no unit.
    axes.stairs(
        np.nan_to_num(strength),
        edges,
        fill=True,
        color=_DRIFT,
        transform=axes.get_xaxis_transform(),
        zorder=0,
    )
    axes.stairs(
        np.fmin(accuracy, target), edges, baseline=target, fill=True, color=_BELOW, alpha=0.3
    )
    axes.axhline(target, color=INK, linewidth=0.7, linestyle=(0, (3, 2)))
    axes.stairs(accuracy, edges, baseline=None, color=_ACCURACY, linewidth=1.0, zorder=3)


def _draw_events(axes: Axes, rows: DataFrame, span: float) -> None:
    """Alarms at the upper edge, and a line where a retraining began."""
    for place in rows.loc[rows["kind"] == "retraining", "start"]:
        axes.axvline(min(place, span), color=_BARS, linewidth=0.6, linestyle=":", zorder=1)
    alarms = rows[rows["kind"] == "alarm"]
    for truth, (_, face) in _ALARM_KINDS.items():
        part = alarms[alarms["truth"] == truth]
        axes.scatter(
            part["start"],
            np.full(len(part), 0.95),
            transform=axes.get_xaxis_transform(),
            marker="v",
            s=12,
            facecolors=face,
            edgecolors=_ALARM if face == "white" else face,
            linewidths=0.8,
            zorder=4,
            clip_on=False,
        )


def _draw_joules(axes: Axes, rows: DataFrame, most: float, span: float, unit: Unit) -> None:
    """Bars on an axis of their own, which ends above them."""
    right = axes.twinx()
    trained = rows[rows["kind"] == "retraining"]
    modelled = str(rows["label"].iloc[0]).startswith("modelled")
    right.bar(
        np.minimum(trained["start"], span),
        trained["value"].fillna(0.0),
        width=_BAR_WIDTH_FRAC * span,
        color="white" if modelled else _BARS,
        edgecolor=_BARS,
        hatch="//////" if modelled else None,
        linewidth=0.7,
        zorder=2,
    )
    right.set_ylim(0, most / (0.8 * _BARS_FRAC))
    right.set_yticks([0, most], ["0", short_number(most / unit.size)])
    right.set_ylabel(unit.name, color=_BARS, rotation=0, y=0.5 * _BARS_FRAC, labelpad=2)
    right.tick_params(axis="y", colors=_BARS)
    right.grid(visible=False)
    right.spines["right"].set_visible(True)


def _handles(data: DataFrame) -> list[Line2D | Patch]:
    served = data[data["kind"] == "window"]
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=_ACCURACY, linewidth=1.0, label="accuracy of a window"),
        Line2D([], [], color=INK, linewidth=0.7, linestyle=(0, (3, 2)), label="target"),
    ]
    if (served["value"] < served["target"]).any():
        handles.append(Patch(facecolor=_BELOW, alpha=0.3, label="below the target"))
    if served["strength"].fillna(0).any():
        handles.append(Patch(facecolor=_DRIFT, label="strength of the drift"))
    trained = data[data["kind"] == "retraining"]
    if len(trained) and trained["value"].isna().all():
        style: dict[str, Any] = {"color": _BARS, "linewidth": 0.6, "linestyle": ":"}
        handles.append(Line2D([], [], label="retraining", **style))
    elif len(trained):
        modelled = bool(data["label"].astype(str).str.startswith("modelled").any())
        label = f"joules of a retraining{' (modelled)' if modelled else ''}"
        bar = Patch(edgecolor=_BARS, linewidth=0.7, label=label)
        bar.set_facecolor("white" if modelled else _BARS)
        bar.set_hatch("//////" if modelled else "")
        handles.append(bar)
    present = set(data.loc[data["kind"] == "alarm", "truth"])
    handles += [
        dot(label, _ALARM if face == "white" else face, marker="v", face=face)
        for truth, (label, face) in _ALARM_KINDS.items()
        if truth in present
    ]
    return handles


def _words(data: DataFrame, unit: str) -> str:
    seeds = sorted({int(seed) for seed in data["seed"]})
    num = data["configuration"].nunique()
    words = f"One run per configuration (n = 1, seed {', '.join(map(str, seeds))})."
    if data["strength"].fillna(0).any():
        words += " Grey: strength of the drift, from 0 to 1 over the height of a panel."
    joules = data.loc[data["kind"] == "retraining", "value"]
    unknown = int(joules.isna().sum())
    if unknown < len(joules):
        label = data["axis_label"].iloc[0]
        words += f" Right axis: joules of each retraining ({unit}, {label})."
    if unknown:
        words += f" {unknown} retrainings of unknown joules: dotted line only."
    total = int(data["num_configurations"].iloc[0])
    if total > num:
        words += f" {num} of {total} configurations: the best of each policy, and some others."
    return words
