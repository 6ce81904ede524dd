"""The figure of the gate's history."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from pandas import DataFrame

from analysis.figures.caption import caption_of
from analysis.figures.history import data_history, draw_history
from analysis.figures.prepare import NothingToDraw
from analysis.load.history import COLUMNS, load_history
from tests.analysis.made_history import STEP, series, written

NO_RUNS = DataFrame()


def test_each_stretch_has_its_median_and_the_latest_change_comes_first(tmp_path: Path) -> None:
    history = load_history(
        written(
            tmp_path,
            series("init_s", STEP, []),
            series("steps_to_target", [7.0] * 6, []),
            series("time_to_target_s", STEP, [3]),
            series("latency_p50_ms", STEP, [3, 5]),
        )
    )
    data = data_history(NO_RUNS, history)
    names = data.groupby("panel")["metric"].first().tolist()
    assert names == ["latency_p50_ms", "time_to_target_s", "init_s"]
    time = data[data["metric"] == "time_to_target_s"]
    assert time["segment"].tolist() == [0, 0, 0, 1, 1, 1]
    assert time["median"].tolist() == [1.0] * 3 + [1.05] * 3
    assert set(data["num_constant"]) == {1}


@pytest.mark.parametrize("width", ["one", "two"])
def test_the_figure_names_each_change_and_says_what_it_leaves_out(
    tmp_path: Path, width: Any
) -> None:
    names = ("time_to_target_s", "init_s", "latency_p50_ms", "latency_p90_ms", "memory_peak_bytes")
    parts = [series(name, STEP, [3] if name == "init_s" else []) for name in names]
    parts += [series("throughput_per_s", STEP, []), series("steps_to_target", STEP, [])]
    data = data_history(NO_RUNS, load_history(written(tmp_path, *parts)))
    figure = draw_history(data, width=width)
    assert isinstance(figure, Figure)
    assert len(figure.axes) == 6
    changed = figure.axes[0]
    assert changed.get_ylabel().endswith("(s)")
    assert changed.get_title(loc="left") == "c0ffee0: worse by 5.0%"
    words = caption_of(figure)
    assert words.startswith("train mlp digits. Each point is")
    assert words.endswith("1 in all. 6 of 7 series that vary, those with the latest changes first.")


def test_without_a_history_or_without_variation_there_is_nothing_to_draw(tmp_path: Path) -> None:
    with pytest.raises(NothingToDraw, match="history=DIR"):
        data_history(NO_RUNS, load_history(None))
    constant = load_history(written(tmp_path, series("steps_to_target", [7.0] * 3, [])))
    assert tuple(constant.columns) == COLUMNS
    with pytest.raises(NothingToDraw, match="no metric varies"):
        data_history(NO_RUNS, constant)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ("{", "is not a history of this version"),
        ('{"kind": "perf history", "format": 2}', r"kind perf history, format 2"),
        ('{"kind": "perf history", "format": 1, "series": [{}]}', "is not a history"),
    ],
)
def test_a_folder_without_a_history_is_refused_with_the_key(
    tmp_path: Path, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "series.json").write_text(content)
    with pytest.raises(ValueError, match=rf"^history={tmp_path}: .*{message}"):
        load_history(tmp_path)
