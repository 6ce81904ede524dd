"""Runs of different tasks in one results folder: panels, tables and the page keep them apart."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from matplotlib.figure import Figure
from pandas import DataFrame

from analysis.figures.entries import DEPLOYMENTS, FIGURES
from analysis.figures.quantities import require_axes
from analysis.figures.registry import Frames, draw_figure, figure_data
from analysis.load.runs import Loaded, load_runs
from analysis.page.charts import chart_groups
from analysis.page.details import details
from analysis.page.findings import finding_words
from analysis.page.rows import page_rows
from analysis.page.summary_parts import read_words
from analysis.page.titles import table_columns
from analysis.stats.search_cost import search_cost
from analysis.stats.summary import summarise
from analysis.tables.tables import summary_tables
from analysis.tables.text_table import TextTable
from tests.analysis.made_tasks import OWN, TASKS, make_mixed

DataOf = Callable[[str], DataFrame]
FigureOf = Callable[[str], Figure]
TITLES = {
    "multiclass classification, accuracy ≥ 0.93, digits",
    "regression, rmse ≤ 53.15, diabetes",
    "language modelling, perplexity ≤ 10.75, text",
    "binary classification, auroc ≥ 0.9518, breast_cancer",
    f"module, {OWN} ≥ 2.3, Rows",
}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    root = tmp_path_factory.mktemp("mixed")
    make_mixed(root)
    return load_runs([root])


@pytest.fixture(scope="module")
def runs(loaded: Loaded) -> DataFrame:
    assert loaded.unread.empty
    return loaded.runs


@pytest.fixture(scope="module")
def data_of(runs: DataFrame) -> DataOf:
    """The data of a figure of all runs, prepared once."""
    frames = Frames(runs)
    return cache(lambda name: figure_data(name, frames))


@pytest.fixture(scope="module")
def figure_of(data_of: DataOf) -> FigureOf:
    """A figure of all runs, drawn once."""
    return cache(lambda name: draw_figure(name, data_of(name), "two"))


@pytest.fixture(scope="module")
def summary(runs: DataFrame) -> DataFrame:
    return summarise(runs)


@pytest.fixture(scope="module")
def tables(runs: DataFrame, summary: DataFrame) -> dict[str, TextTable]:
    return summary_tables(summary, search_cost(runs), runs)


def test_data_tell_configurations_apart_so_targets_are_not_in_their_names(
    runs: DataFrame,
) -> None:
    trained = runs[runs["command"] == "train"]
    names = ("digits", "diabetes", "text", "breast_cancer", "Rows")
    expected = {f"data={name} batch_size={size}" for name in names for size in (32, 256)}
    assert set(trained["configuration"]) == expected


@pytest.mark.parametrize("name", ["quality_time", "ladder_time", "tta_eta", "factors_time"])
def test_each_task_has_a_panel(data_of: DataOf, figure_of: FigureOf, name: str) -> None:
    assert set(data_of(name)["group"]) == TITLES
    assert len(figure_of(name).axes) >= len(TITLES)


def labels(figure: Figure, which: str) -> set[str]:
    return {getattr(axes, f"get_{which}label")().replace("\n", " ") for axes in figure.axes}


def test_axes_say_which_quality_and_which_sample(figure_of: FigureOf) -> None:
    assert labels(figure_of("quality_time"), "y") == {
        "validation accuracy (fraction)",
        "validation root mean squared error",
        "validation perplexity",
        "validation area under the ROC curve (fraction)",
        f"validation {OWN}",
    }
    each = {"time per sample (µs)", "time per row (µs)", "time per token (µs)"}
    assert labels(figure_of("factors_time"), "y") == each
    sizes = {"batch size (samples)", "batch size (rows)", "batch size (sequences)"}
    assert labels(figure_of("batch_size_time"), "x") == sizes
    rates = {"throughput (1/s)", "throughput (rows/s)", "throughput (tokens/s)"}
    assert labels(figure_of("throughput_latency"), "y") == rates


def test_servings_are_drawn_by_the_quality_of_their_training(data_of: DataOf) -> None:
    data = data_of("quality_latency")
    axes = dict(zip(data["group"], data["y_name"], strict=True))
    assert axes == {
        "multiclass classification, digits": "quality_test.accuracy",
        "regression, diabetes": "quality_test.rmse",
    }
    assert set(data["y_better"]) == {"max", "min"}


def test_compression_is_drawn_by_accuracy_or_by_the_metric_of_the_target(
    figure_of: FigureOf,
) -> None:
    assert labels(figure_of("compression"), "y") == {
        "change of accuracy (percentage points)",
        "change of test root mean squared error",
    }


def test_the_hardest_rung_is_on_the_right(data_of: DataOf) -> None:
    data = data_of("ladder_time")
    for title, part in data.groupby("group"):
        figure = draw_figure("ladder_time", part.drop(columns=["group", "omitted"]), "one")
        rungs = [float(tick.get_text()) for tick in figure.axes[0].get_xticklabels()]
        assert rungs == sorted(rungs, reverse="≤" in str(title))


def test_a_perplexity_has_a_logarithmic_axis_and_a_negative_score_a_linear_one(
    data_of: DataOf,
) -> None:
    data = data_of("quality_time").drop(columns="omitted")
    scales = {
        rows["metric"].iloc[0]: draw_figure("quality_time", rows.drop(columns="group"), "one")
        .axes[0]
        .get_yscale()
        for _, rows in data.groupby("group")
    }
    assert scales == {
        "accuracy": "linear",
        "auroc": "linear",
        "rmse": "linear",
        "perplexity": "log",  # it falls from 130 to 11
        OWN: "linear",
    }


def test_a_trade_off_needs_a_known_direction(runs: DataFrame) -> None:
    time = "target.time_to_target_s"
    options = {"x": time, "y": f"quality_test.{OWN}", "area": None}
    data = figure_data("tradeoff", Frames(runs), options=options)
    assert set(data["y_better"]) == {"max"}  # as the target of these runs has it
    assert data["front"].any()
    assert draw_figure("tradeoff", data, "one").axes[0].get_yscale() == "linear"
    with pytest.raises(ValueError, match=r"y=quality_test\.val_err_s: whether more or less of it"):
        require_axes(runs, time, "quality_test.val_err_s")


def test_tables_have_the_quality_of_every_target(tables: dict[str, TextTable]) -> None:
    main = ("test accuracy", "test rmse", "test perplexity", "test auroc", f"test {OWN}")
    assert tables["time"].columns[-5:] == main
    assert tables["quality"].columns[4:9] == main
    assert {"test r2", "test bits per byte (bits)", "test val_err_s"} < set(
        tables["quality"].columns
    )
    groups = {row[1].text for row in tables["time"].rows}
    assert groups == TITLES
    note = "A sample is a row or a token, depending on the task; throughput counts samples."
    assert note in tables["factors"].notes


def test_no_row_of_one_task_has_a_value_of_another(tables: dict[str, TextTable]) -> None:
    time = tables["time"]
    place = time.columns.index("test rmse")
    known = {row[1].text for row in time.rows if row[place].text != "-"}
    assert known == {"regression, rmse ≤ 53.15, diabetes"}


def test_the_page_has_a_group_of_charts_for_each_task(runs: DataFrame) -> None:
    rows = page_rows(runs)
    groups = {each["title"]: each["charts"] for each in chart_groups(rows)}
    assert {f"train: {title}" for title in TITLES} < set(groups)
    chart = next(
        each["spec"]
        for each in groups["train: language modelling, perplexity ≤ 10.75, text"]
        if each["title"] == "Quality against latency"
    )
    assert chart["encoding"]["y"]["title"] == "test perplexity"
    columns = {each["name"]: each["title"] for each in table_columns(rows)}
    assert (columns["quality"], columns["metric"]) == ("test quality", "quality measured")
    alone = [row for row in rows if row["metric"] == "rmse"]
    columns = {each["name"]: each["title"] for each in table_columns(alone)}
    assert columns["quality"] == "test root mean squared error"
    assert "metric" not in columns
    assert {row["sample"] for row in alone} == {"row"}


def test_a_click_shows_the_curve_of_the_target(runs: DataFrame) -> None:
    own = runs[runs["target.metric"] == OWN]
    for detail in details(own).values():
        assert f"quality.{OWN}" in detail["curve"]


def test_findings_compare_the_quality_of_the_target(runs: DataFrame, summary: DataFrame) -> None:
    words = [read_words(runs, runs.iloc[:0]), *finding_words(runs, summary)]
    parts = {part.heading: part.findings for part in words}
    assert any(heading.startswith("perplexity ≤ 10.75") for heading in parts)
    assert sum(row.objective == "time" for rows in parts.values() for row in rows) == 4


# No run here was deployed, or kept what these need.
ABSENT = {name for name, entry in FIGURES.items() if entry.groups == DEPLOYMENTS}
ABSENT |= {"timeline", "load", "stages", "history", "programs"}


@pytest.mark.parametrize("name", sorted(set(FIGURES) - ABSENT))
def test_every_figure_has_data(data_of: DataOf, name: str) -> None:
    assert len(data_of(name))


def test_every_task_is_made() -> None:
    assert len(TASKS) + 1 == len(TITLES)
