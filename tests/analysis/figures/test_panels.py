"""Only comparable runs share a panel: each group gets its own, and nothing spans two."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from pandas import DataFrame

from analysis.figures.caption import caption_of
from analysis.figures.entries import FIGURES
from analysis.figures.panels import MOST_PANELS, panel_data
from analysis.figures.prepare import NothingToDraw
from analysis.figures.registry import Frames, draw_figure, figure_data
from analysis.load.runs import load_runs
from analysis.stats.peers import Group
from bench.config.report import WIDTH_IN
from tests.analysis.figures.literal import frame, reached, served
from tests.analysis.made import Made, make_sweep
from tests.analysis.made_records import SWEEP_START

LATER = SWEEP_START + timedelta(hours=1)
TRAININGS = (
    "quality_time",
    "batch_size_time",
    "factors_time",
    "heatmap_time",
    "hits",
    "ladder_time",
    "phases",
    "restarts",
    "tta_eta",
)


def words_of(figure: Figure, *, laid_out: bool = False) -> str:
    if not laid_out:
        figure.set_layout_engine("none")  # half of the work
    figure.draw_without_rendering()
    texts = [text.get_text() for text in figure.findobj(Text)]
    return " ".join(" ".join([*texts, caption_of(figure)]).split())


@pytest.fixture(scope="module")
def two_targets(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    """A1: two targets in one folder, as after a week of ordinary use."""
    results = tmp_path_factory.mktemp("mixed")
    make_sweep(results, batch_sizes=(32, 64), seeds=range(3))
    make_sweep(results, batch_sizes=(32,), seeds=range(2), base=Made(target=0.8, start=LATER))
    return Frames(load_runs([results]).runs)


@pytest.mark.parametrize("name", TRAININGS)
def test_two_targets_are_two_panels_of_every_figure_of_trainings(
    two_targets: Frames, name: str
) -> None:
    data = figure_data(name, two_targets)
    assert list(dict.fromkeys(data["group"])) == ["accuracy ≥ 0.93", "accuracy ≥ 0.8"]
    if "configuration" in data:
        for title, rows in data.dropna(subset=["configuration"]).groupby("group"):
            value = str(title).rpartition(" ")[2]
            assert rows["configuration"].str.contains(f"target.value={value}", regex=False).all()


@pytest.mark.parametrize("name", ["tta_eta", "heatmap_time", "restarts"])
def test_panels_have_a_title_a_note_and_a_legend_of_their_own(
    two_targets: Frames, name: str
) -> None:
    data = figure_data(name, two_targets)
    single = draw_figure(name, data[data["group"] == "accuracy ≥ 0.8"].drop(columns="group"), "one")
    for width, columns in (("one", 1), ("two", 2)):
        figure = draw_figure(name, data, width)
        assert figure.get_figwidth() == WIDTH_IN[width]
        # Units and letters follow when the panels have their heights, which the layout keeps.
        own, alone = (
            [(axes.get_xlabel(), axes.get_ylabel(), [text.get_text() for text in axes.texts])]
            for axes in (figure.subfigs[1].axes[0], single.axes[0])
        )
        assert own == alone
        drawn_px = [panel.bbox.height for panel in figure.subfigs]
        words = words_of(figure, laid_out=True)
        assert [panel.bbox.height for panel in figure.subfigs] == pytest.approx(drawn_px, rel=0.015)
        assert "accuracy ≥ 0.93" in words
        assert "accuracy ≥ 0.8" in words
        panels = figure.subfigs
        assert len(panels) == 2
        across = len({round(panel.bbox.x0) for panel in panels})
        assert across == columns
        # Each is at least as high as alone: the axes keep their size.
        own_in = min(panel.bbox.height for panel in panels) / figure.dpi
        assert own_in >= 0.95 * single.get_figheight()


def test_panels_drawn_from_their_stored_data_are_the_same(two_targets: Frames) -> None:
    data = figure_data("tta_eta", two_targets)
    stored = pd.read_csv(StringIO(data.to_csv(index=False)))
    first, second = (words_of(draw_figure("tta_eta", each, "two")) for each in (data, stored))
    assert first == second


def test_a_front_a_test_and_a_ranking_never_span_two_groups() -> None:
    """Each target has its best; against one another one of them would be beaten."""
    runs = frame(
        *(reached("easy", 1.0, 1.0, target__value=0.8) for _ in range(3)),
        *(reached("hard", 9.0, 9.0, target__value=0.95) for _ in range(2)),
    )
    data = figure_data("tta_eta", Frames(runs))
    assert dict(zip(data["configuration"], data["front"], strict=True)) == {
        "easy": True,
        "hard": True,
    }
    hits = figure_data("hits", Frames(runs))
    assert np.isnan(hits["log_rank_p"]).all()  # one configuration in each group
    assert set(hits["num_configurations"]) == {1}


@pytest.mark.parametrize(
    "other",
    [
        {"target__metric": "macro_f1"},
        {"target__rule": "final"},
        {"config__data__split_seed": 1},
        {"host__cpu_name": "other"},
        {"host__num_cpus": 64},
    ],
)
def test_no_front_spans_metrics_rules_data_or_hosts(other: dict[str, Any]) -> None:
    common: dict[str, Any] = {"config__data__split_seed": 0, "host__num_cpus": 2}
    runs = frame(reached("a", 1.0, 1.0, **common), reached("b", 9.0, 9.0, **{**common, **other}))
    data = figure_data("tta_eta", Frames(runs))
    assert data["front"].all()
    assert data["group"].nunique() == 2


def test_servings_of_other_data_are_not_compared() -> None:
    facts: dict[str, Any] = {"serving__latency_p90_ms": 1.0, "quality_test__accuracy": 0.9}
    runs = frame(
        served("a", trained__data="digits", trained__config_hash="x", **facts),
        served(
            "b",
            trained__data="mnist",
            trained__config_hash="y",
            **(facts | {"serving__latency_p90_ms": 9.0}),
        ),
    )
    data = figure_data("quality_latency", Frames(runs))
    assert data["front"].all()
    assert set(data["group"]) == {"digits", "mnist"}


def test_one_group_has_no_panel() -> None:
    data = figure_data("restarts", Frames(frame(reached("a", 1.0), reached("b", 2.0))))
    assert "group" not in data
    assert not draw_figure("restarts", data, "one").subfigs


def groups_of(num: int) -> list[Group]:
    return [Group(title=f"t{n}", runs=DataFrame({"n": [n]})) for n in range(num)]


def test_more_groups_than_panels_are_named_in_a_line() -> None:
    data = panel_data(DataFrame(), groups_of(MOST_PANELS + 2), lambda runs: runs)
    assert list(data["group"]) == [f"t{n}" for n in range(MOST_PANELS)]
    assert set(data["omitted"]) == {"Not shown: t6 (1 runs): no room; t7 (1 runs): no room."}


def test_a_group_without_what_is_shown_is_named_with_the_reason() -> None:
    def data_of(runs: DataFrame) -> DataFrame:
        if runs["n"].iloc[0] == 0:
            raise NothingToDraw("no joules")
        return runs

    data = panel_data(DataFrame(), groups_of(3), data_of)
    assert list(data["group"]) == ["t1", "t2"]
    assert set(data["omitted"]) == {"Not shown: t0 (1 runs): no joules."}
    with pytest.raises(NothingToDraw, match="no joules"):
        panel_data(DataFrame(), groups_of(2), lambda _: data_of(DataFrame({"n": [0]})))


def test_the_figure_names_what_it_does_not_show(two_targets: Frames) -> None:
    data = figure_data("restarts", two_targets).assign(omitted="Not shown: mnist (3 runs): why.")
    assert "Not shown: mnist (3 runs): why." in words_of(draw_figure("restarts", data, "one"))


def test_every_figure_says_which_runs_it_compares() -> None:
    """A new figure is of trainings that may be compared unless its entry says otherwise."""
    together = {name for name, entry in FIGURES.items() if entry.groups is None}
    # Of one run, and of the checks of the gate.
    assert together == {"timeline", "history"}


def test_a_sweep_that_was_interrupted_and_resumed_is_drawn_and_counts_once(tmp_path: Path) -> None:
    """A2: Ctrl-C in the first run, then the same again with resume=true, ended the report."""
    make_sweep(tmp_path, batch_sizes=(32, 64), seeds=(0, 1), interrupted=(0,))
    again = Made(outcome="hit", start=LATER)
    make_sweep(tmp_path, batch_sizes=(32,), seeds=(0,), base=again)
    frames = Frames(load_runs([tmp_path]).runs)
    assert len(frames.runs) == 5
    for name in ("tta_eta", "quality_latency", "quality_prediction_energy", "phase_energy"):
        words_of(draw_figure(name, figure_data(name, frames), "one"))
    data = figure_data("restarts", frames).set_index("configuration")
    assert dict(data["num_runs"]) == {"batch_size=32": 2, "batch_size=64": 2}
    assert dict(data["num_reached"]) == {"batch_size=32": 2, "batch_size=64": 2}
