"""Energy by our meters against CodeCarbon's estimate for the same run."""

from __future__ import annotations

import numpy as np
from pandas import DataFrame

from analysis.figures.axes import Canvas, canvas, finished, in_paper_style, log_axis, many
from analysis.figures.marks import dot, draw_points
from analysis.figures.prepare import NothingToDraw, are_comparable
from analysis.figures.style import COLOURS, INK, MARKERS, Width, short_number
from analysis.load.values import column, numbers

_LABELS = ("counter", "integrated", "modelled", "constant", "no label")


def data_codecarbon(runs: DataFrame) -> DataFrame:
    """Prepare the energy of each run by our meters and by CodeCarbon.

    Args:
        runs: As loaded.

    Returns:
        A row for each run that has both: `run_id`, `configuration`, `ours_j`, `codecarbon_j`,
        `ratio` (CodeCarbon's / ours), `label` (how ours was obtained), `error_frac`, `comparable`,
        `num_without`.

    Raises:
        NothingToDraw: No run has both.
    """
    ours, theirs = numbers(runs, "energy_total_j"), numbers(runs, "codecarbon_energy_j")
    # A log axis has no 0, and CodeCarbon reports 0 when it could read nothing.
    both = (ours > 0) & (theirs > 0)
    if not both.any():
        raise NothingToDraw("no run has both energy_total_j and codecarbon_energy_j")
    data = DataFrame(
        {
            "run_id": runs["run_id"],
            "configuration": runs["configuration"],
            "ours_j": ours,
            "codecarbon_j": theirs,
            "ratio": theirs / ours,
            "label": column(runs, "energy_label").astype(object).fillna("no label"),
            "error_frac": numbers(runs, "energy_error_frac"),
            "comparable": are_comparable(runs),
        }
    )[both]
    return data.assign(num_without=len(runs) - len(data)).reset_index(drop=True)


@in_paper_style
def draw_codecarbon(data: DataFrame, *, width: Width = "one") -> Canvas:
    """Draw what `data_codecarbon` gives."""
    figure, (axes,) = canvas(width, 2.7 if width == "one" else 3.4)
    handles = []
    for place, label in enumerate(_LABELS):
        rows = data[data["label"] == label]
        if rows.empty:
            continue
        draw_points(
            axes,
            rows["ours_j"],
            rows["codecarbon_j"],
            rows["comparable"],
            COLOURS[place],
            size=14,
            marker=MARKERS[place],
            rasterized=many(len(data)),
        )
        text = f"{label}: n = {len(rows)}, median ratio {short_number(rows['ratio'].median())}"
        handles.append(dot(text, COLOURS[place], marker=MARKERS[place]))
    both = data[["ours_j", "codecarbon_j"]]
    # One range for both axes, so that equality is the diagonal.
    span = np.array([both.min().min() / 1.3, both.max().max() * 1.3])
    for factor, style in ((1.0, "-"), (2.0, ":"), (0.5, ":")):
        axes.plot(span, span * factor, color=INK, linewidth=0.7, linestyle=style, zorder=0)
    axes.set_xlim(*span)
    axes.set_ylim(*span)
    log_axis(axes, "x")
    log_axis(axes, "y")
    axes.set_xlabel("energy by our meters (J)")
    axes.set_ylabel("energy by CodeCarbon (J)")
    return finished(figure, handles, _words(data), width)


def _words(data: DataFrame) -> str:
    words = "Point: a run, by how our joules were obtained. Line: equal; dotted: twice and half."
    if not data["comparable"].all():
        words += f" Hollow: not comparable ({int((~data['comparable']).sum())})."
    num = int(data["num_without"].iloc[0])
    return words + (f" {num} runs have only one of the two." if num else "")
