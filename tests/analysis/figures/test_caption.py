"""Captions: what is not in the picture is in a file beside it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from analysis.figures.caption import (
    caption_of,
    latex_caption,
    panel_captions,
    runs_words,
    set_caption,
    whole_caption,
)
from analysis.figures.entries import FIGURES, TRADEOFF
from analysis.figures.methods import METHODS
from analysis.figures.registry import Frames
from analysis.figures.write import write_figure
from analysis.load.runs import load_runs
from bench.config.report import PlotConfig
from tests.analysis.made import make_sweep


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    """Runs 0 to 7, of which one is not comparable, one missed, and one was interrupted."""
    folder = tmp_path_factory.mktemp("results")
    make_sweep(folder, batch_sizes=(32, 256), seeds=range(4), missed=(3,), unhealthy=(1,))
    return Frames(load_runs([folder]).runs)


def test_a_figure_has_its_words_beside_it_and_not_inside(frames: Frames, tmp_path: Path) -> None:
    files = PlotConfig(figure="tta_eta", formats=["svg"], widths=["one"])
    write_figure("tta_eta", frames, tmp_path, files)
    caption = (tmp_path / "tta_eta.txt").read_text()
    for words in (
        "Energy to target against time to target, with the Pareto front.",
        "Point: median of n = 4 runs; bars: range of the runs.",
        "From 8 runs that count: 1 missed the target, 1 not comparable",
        "Energy modelled: estimated from utilization, not measured.",
        "Front: no other configuration is better beyond the uncertainty",
    ):
        assert words in caption
    picture = (tmp_path / "tta_eta_one.svg").read_text()
    assert "Point: median" not in picture
    assert "energy to target (J, modelled)" in picture  # would mislead without it


def test_sentences_that_panels_share_are_said_once() -> None:
    captions = [("digits", "Line: median. n = 3 runs."), ("text", "Line: median. n = 5 runs.")]
    assert panel_captions(captions, "Not shown: rows.") == (
        "Line: median. Panel “digits”: n = 3 runs. Panel “text”: n = 5 runs. Not shown: rows."
    )
    assert panel_captions([("a", "Same."), ("b", "Same.")], "") == "Same."


def test_a_caption_without_runs_or_joules_counts_and_explains_none() -> None:
    figure = Figure()
    set_caption(figure, "Each point\n is a check.")
    assert caption_of(figure) == "Each point is a check."
    assert runs_words(pd.DataFrame()) == ""
    caption = whole_caption("medians of checks", figure, pd.DataFrame(), "")
    assert caption == (
        "Medians of checks. Each point is a check. "
        "Definitions: docs/metrics.md of operational-metrics-bench."
    )


def test_nothing_in_a_caption_is_a_command_of_latex() -> None:
    text = latex_caption("hits", r"100% of $x_1 & {\input} #2 ~ ^ < > | µ")
    assert text.splitlines()[1:] == [
        r"\caption{100\% of \$x\_1 \& \{\textbackslash{}input\} \#2 \textasciitilde{} "
        r"\textasciicircum{} \textless{} \textgreater{} \textbar{} $\mu$}",
        r"\label{fig:hits}",
    ]


def test_every_method_is_that_of_a_figure() -> None:
    assert set(METHODS) <= {*FIGURES, TRADEOFF}
