"""Utilization and power over the time of one run, with its phases shaded."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from pandas import DataFrame, concat

from analysis.figures.axes import Canvas, canvas, finished, in_paper_style, wrapped
from analysis.figures.panels import trainings
from analysis.figures.prepare import NothingToDraw, evenly, training_runs
from analysis.figures.style import COLOURS, INK, LINES, Width
from analysis.load.values import column

_POINTS = 400  # samples of a series that a reader can see
_MOST_FRACTION = 1.02  # upper end of an axis of fractions, so that a line at 1 is visible
_FRACTIONS, _GPU_PARTS = "busy (fraction)", "GPU (fraction)"
# Panels from top to bottom: label, and factor by metric.
_PANELS: tuple[tuple[str, dict[str, float]], ...] = (
    (_FRACTIONS, {"cpu_busy_frac": 1.0, "gpu_busy_frac": 1.0}),
    (
        _GPU_PARTS,
        dict.fromkeys(
            ("gpu_sm_active_frac", "gpu_tensor_active_frac", "gpu_dram_active_frac"), 1.0
        ),
    ),
    ("power (W)", {"gpu_power_w": 1.0, "cpu_power_w": 1.0, "power_w": 1.0}),
    ("memory (MB)", {"rss_bytes": 1e-6, "gpu_memory_used_bytes": 1e-6}),
)
# Set-up has ended before the sampler starts, so its samples before the clock are not of set-up.
_BEFORE = "before the clock: idle measurement, meters starting"
_PHASES = {
    _BEFORE: ("0.75", "////"),
    "evaluation": ("#56b4e9", ""),
    "checkpoint": ("#de8f05", "xx"),
}


def pick_run(runs: DataFrame, run: str | None = None) -> DataFrame:
    """Select the run that a timeline shows: the given one, else a typical one.

    In the largest group of peers, that is the comparable run that reached its target in the median
    time; if there is none, the first run of the group.

    Args:
        runs: As loaded.
        run: A run ID.

    Returns:
        One row of the runs.

    Raises:
        NothingToDraw: There is no such run, or none at all.
    """
    if run is not None:
        if not runs["run_id"].eq(run).any():
            raise NothingToDraw(f"run={run}: not among the runs read")
        return runs.loc[runs["run_id"].eq(run)]
    groups = trainings(runs)
    trained = training_runs(groups[0].runs if groups else runs)
    # A run that was disturbed would show the disturbance instead of the training.
    good = trained[(trained["outcome"] == "reached") & trained["comparable"]]
    if good.empty:
        picked = trained["run_id"].iloc[0]
    else:
        ordered = good.sort_values(["target.time_to_target_s", "run_id"])
        picked = ordered["run_id"].iloc[len(ordered) // 2]
    return runs.loc[runs["run_id"].eq(picked)]


def data_timeline(runs: DataFrame, curves: DataFrame, telemetry: DataFrame) -> DataFrame:
    """Prepare samples and phases of one run.

    Args:
        runs: The one run.
        curves: Its evaluations.
        telemetry: Its samples.

    Returns:
        Rows of two kinds. `kind` is `sample`: `panel`, `series` (device and metric), `t_s`,
        `value`, thinned evenly. `kind` is `phase`: `series` (before the clock, evaluation,
        checkpoint), `t_s` and `end_s`. All have `run_id`, `configuration`, `seed`, `incomparable`
        (the flags, or empty), `time_to_target_s`.

    Raises:
        NothingToDraw: The run kept no samples.
    """
    run = runs.iloc[0]
    telemetry = telemetry[telemetry["run_id"] == run["run_id"]]
    samples = [
        _series(telemetry, panel, metric, factor)
        for panel, metrics in _PANELS
        for metric, factor in metrics.items()
    ]
    samples = [part for part in samples if len(part)]
    if not samples:
        raise NothingToDraw(f"run {run['run_id']} has no telemetry of utilization or power")
    drawn = concat(samples, ignore_index=True)
    spans = phase_spans(curves[curves["run_id"] == run["run_id"]], float(drawn["t_s"].min()))
    flags = column(runs, "health.flags").iloc[0]
    return concat([drawn.assign(kind="sample"), spans.assign(kind="phase")]).assign(
        run_id=run["run_id"],
        configuration=run["configuration"],
        seed=run["seed"],
        incomparable=flags if isinstance(flags, str) else "",
        time_to_target_s=column(runs, "target.time_to_target_s").astype(float).iloc[0],
    )


def _series(samples: DataFrame, panel: str, metric: str, factor: float) -> DataFrame:
    rows = samples[samples["metric"] == metric].sort_values("t_s")
    parts = []
    for device, part in rows.groupby("device", sort=True):
        places = evenly(list(range(len(part))), _POINTS)
        thin = part.iloc[places]
        name = f"{device}: {metric}".replace("_frac", "").replace("_", " ")
        parts.append(
            DataFrame(
                {
                    "panel": panel,
                    "series": name.replace(" bytes", "").removesuffix(" w"),
                    "t_s": thin["t_s"].to_numpy(),
                    "value": factor * thin["value"].to_numpy(dtype=float),
                }
            )
        )
    return concat(parts, ignore_index=True) if parts else DataFrame()


def phase_spans(curve: DataFrame, first_s: float) -> DataFrame:
    """Find when a run evaluated, when it wrote, and when its clock had not started.

    At all other times it trained. A row of the curve is recorded at the end of its evaluation, and
    writing (checkpoint) follows, so

        evaluation n is [time_n - (eval_n - eval_(n-1)), time_n]
        checkpoint n is [time_n, time_n + checkpoint_(n+1) - checkpoint_n]

    Args:
        curve: Evaluations of one run, times cumulative.
        first_s: Time of the first sample, negative if it was taken before the clock started.

    Returns:
        `series` (before the clock, evaluation, checkpoint), `t_s`, `end_s`.
    """
    parts = []
    if first_s < 0:
        parts.append(DataFrame({"series": [_BEFORE], "t_s": [first_s], "end_s": [0.0]}))
    if len(curve):
        rows = curve.sort_values("time_s")
        end = rows["time_s"].to_numpy(dtype=float)
        # The columns are cumulative; their differences are the lengths.
        evaluating = np.diff(rows["eval_time_s"].to_numpy(dtype=float), prepend=0.0)
        # One fewer: what follows the last row has no row to end in.
        writing = np.diff(rows["checkpoint_time_s"].to_numpy(dtype=float))
        parts.append(DataFrame({"series": "evaluation", "t_s": end - evaluating, "end_s": end}))
        parts.append(
            DataFrame({"series": "checkpoint", "t_s": end[:-1], "end_s": end[:-1] + writing})
        )
    return concat(parts, ignore_index=True) if parts else DataFrame()


@in_paper_style
def draw_timeline(data: DataFrame, *, width: Width = "one") -> Canvas:
    """Draw what `data_timeline` gives."""
    samples, spans = data[data["kind"] == "sample"], data[data["kind"] == "phase"]
    panels = [panel for panel, _ in _PANELS if (samples["panel"] == panel).any()]
    height_in = (1.15 if width == "one" else 1.4) + 0.3 / len(panels)
    figure, axes = canvas(width, height_in, num=len(panels), sharex=True)
    handles: list[Line2D] = []
    for each, panel in zip(axes, panels, strict=True):
        _shade(each, spans)
        rows = samples[samples["panel"] == panel]
        for name, part in rows.groupby("series", sort=False):
            place = len(handles) % len(COLOURS)
            (line,) = each.plot(
                part["t_s"],
                part["value"],
                color=COLOURS[place],
                linestyle=LINES[place % len(LINES)],
                linewidth=1.0,
                label=str(name),
            )
            handles.append(line)
        each.set_ylabel(panel)
        is_share = panel in (_FRACTIONS, _GPU_PARTS)
        each.set_ylim(0, _MOST_FRACTION if is_share else 1.1 * rows["value"].max())
        _mark_target(each, float(data["time_to_target_s"].iloc[0]))
    axes[-1].set_xlabel("time since the clock's start (s)")
    shades = [
        Patch(facecolor=colour, hatch=hatch, edgecolor=INK, linewidth=0.3, alpha=0.5, label=name)
        for name, (colour, hatch) in _PHASES.items()
        if (spans["series"] == name).any()
    ]
    return finished(figure, [*handles, *shades], _words(data), width)


def _shade(axes: Axes, spans: DataFrame) -> None:
    for row in spans.to_dict("records"):
        colour, hatch = _PHASES[row["series"]]
        axes.axvspan(
            row["t_s"],
            row["end_s"],
            facecolor=colour,
            hatch=hatch,
            edgecolor="0.6",
            linewidth=0,
            alpha=0.4,
            zorder=0,
        )


def _mark_target(axes: Axes, time_s: float) -> None:
    if not np.isnan(time_s):
        axes.axvline(time_s, color=INK, linewidth=0.8, linestyle=(0, (2, 2)))


def _words(data: DataFrame) -> str:
    first = data.iloc[0]
    words = f"One run (n = 1): {first['configuration']}, seed {first['seed']:g}, {first['run_id']}."
    words += " White: training."
    if not np.isnan(first["time_to_target_s"]):
        words += " Dashed: target reached."
    above = int(((data["panel"] == _FRACTIONS) & (data["value"] > _MOST_FRACTION)).sum())
    if above:
        words += f" {above} samples above 1 are cut off, since a fraction cannot exceed 1."
    if isinstance(first["incomparable"], str) and first["incomparable"]:
        words += f" Not comparable: {first['incomparable']}."
    return wrapped(words, 10_000)
