from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from analysis.figures.caption import latex_caption, whole_caption
from analysis.load.once import settled
from analysis.load.runs import load_runs
from analysis.stats.best import runs_needed
from analysis.stats.outcomes import reached
from analysis.stats.search_cost import search_cost
from analysis.stats.summary import summarise
from analysis.stats.table_columns import TOPICS
from analysis.tables.tables import summary_tables, tables, write_tables
from analysis.tables.text_table import Cell, TextTable, escape, to_csv, to_latex, to_markdown
from bench.core.printable import markdown_safe
from bench.core.stats.intervals import share
from tests.analysis.made import (
    SWEEP_START,
    Made,
    Served,
    make_run,
    make_served,
    make_sweep,
    make_unreadable,
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Two batch sizes with 5 seeds: a miss, a failure, an incomparable run, an interrupted one."""
    results = tmp_path_factory.mktemp("results")
    folders = make_sweep(
        results,
        batch_sizes=(16, 256),
        seeds=range(5),
        missed=[1],
        failed=[5],
        interrupted=[6],
        unhealthy=[7],
    )
    make_served(results, folders[2], Served(compression="int8_static"))
    make_served(results, folders[2], Served())
    return load_runs([results]).runs


@pytest.fixture(scope="module")
def made_summary(runs: pd.DataFrame) -> pd.DataFrame:
    return summarise(runs)


@pytest.fixture(scope="module")
def made_tables(runs: pd.DataFrame, made_summary: pd.DataFrame) -> dict[str, TextTable]:
    return summary_tables(made_summary, search_cost(runs), runs)


def table_of(runs: pd.DataFrame, topic: str, summary: pd.DataFrame | None = None) -> TextTable:
    """One of the tables, without making the others; the summary is given if it is known."""

    def make(name: str, function: Callable[[], Any], instead: Any) -> Any:
        return function() if name == f"table {topic}" else instead

    runs = settled(runs)
    known = summarise(runs) if summary is None else summary
    costs = search_cost(runs) if topic == "search" else pd.DataFrame()
    return summary_tables(known, costs, runs, make)[topic]


def one(summary: pd.DataFrame, metric: str, configuration: str) -> pd.Series:
    wanted = (summary["metric"] == metric) & (summary["configuration"] == configuration)
    assert wanted.sum() == 1
    return summary[wanted].iloc[0]


def column(table: TextTable, name: str) -> list[str]:
    place = table.columns.index(name)
    return [row[place].text for row in table.rows]


def test_every_run_that_counts_is_behind_the_numbers(
    runs: pd.DataFrame, made_summary: pd.DataFrame
) -> None:
    """Of five runs of batch size 256 one failed, one was interrupted, and three hit."""
    rate = one(made_summary, "hit_rate", "batch_size=256")
    assert (rate["num"], rate["value"]) == (4, 0.75)
    tta = one(made_summary, "time_to_target_s", "batch_size=256")
    group = runs[(runs["configuration"] == "batch_size=256") & (runs["status"] != "interrupted")]
    hits = group["target.time_to_target_s"].dropna().sort_values()
    # Of 3 hits and a failure, the median lies between the two slowest hits.
    assert (tta["num"], tta["kind"]) == (4, "range")
    assert tta["value"] == pytest.approx(hits.iloc[1:].mean())
    assert tta["low"] == hits.iloc[0]
    assert np.isnan(tta["high"])
    ert = one(made_summary, "expected_time_s", "batch_size=256")
    lost = group["phases.wall_time_s"][~reached(group)].sum()
    assert ert["value"] == pytest.approx((hits.sum() + lost) / 3, rel=1e-3)
    assert np.isnan(ert["low"])


def test_a_killed_run_without_a_host_belongs_to_its_configuration(runs: pd.DataFrame) -> None:
    killed = runs.assign(status=runs["status"].replace("interrupted", "killed"))
    assert killed["host.cpu_name"].isna().sum() == 1
    summary = summarise(killed)
    assert summary["host"].unique().tolist() == ["Made CPU"]
    assert one(summary, "hit_rate", "batch_size=256")["num"] == 5


def test_the_same_configuration_on_two_processors_is_two_rows(runs: pd.DataFrame) -> None:
    other = runs[runs["command"] == "train"].assign(**{"host.cpu_name": "Other CPU"})
    both = pd.concat([runs, other.assign(run_id=other["run_id"] + "x")], ignore_index=True)
    table = table_of(both, "time")
    rows = list(zip(column(table, "configuration"), column(table, "compared within"), strict=True))
    assert rows == [
        ("batch_size=16", "Made CPU"),
        ("batch_size=256 †", "Made CPU"),
        ("batch_size=16", "Other CPU"),
        ("batch_size=256 †", "Other CPU"),
    ]


def on_nodes(runs: pd.DataFrame, *names: str | None) -> pd.DataFrame:
    """The runs as if they had been measured on these machines of one kind in turn."""
    hosts = [names[num % len(names)] for num in range(len(runs))]
    return runs.assign(**{"host.name": pd.Series(hosts, index=runs.index, dtype=object)})


def test_runs_of_several_nodes_of_one_kind_name_them(
    eight: pd.DataFrame, summary_of_eight: pd.DataFrame
) -> None:
    """They are repeats of one another; three configurations of eight runs, in their order."""
    table = table_of(on_nodes(eight, "node1", "node2"), "time")
    assert column(table, "node") == ["node1, node2"] * 3
    assert any("force=[host.name]" in note for note in table.notes)
    # The names of nodes are not in the summary.
    three = on_nodes(eight, "node1", "node2", "node3", None)
    many = table_of(three, "time", summary_of_eight)
    assert column(many, "node") == ["3 nodes"] * 3
    assert column(many, "runs") == ["8"] * 3


@pytest.mark.parametrize("names", [("node1",), ("node1", None), (None,)])
def test_runs_of_one_node_do_not(
    eight: pd.DataFrame, summary_of_eight: pd.DataFrame, names: tuple[str | None, ...]
) -> None:
    table = table_of(on_nodes(eight, *names), "time", summary_of_eight)
    assert "node" not in table.columns
    assert not any("host.name" in note for note in table.notes)


def test_joules_of_different_labels_are_never_in_one_column(tmp_path: Path) -> None:
    make_sweep(tmp_path, batch_sizes=[32, 64], seeds=range(4), base=Made(outcome="hit"))
    counter = Made(outcome="hit", label="counter")
    make_sweep(tmp_path, batch_sizes=[32, 128], seeds=range(4, 8), base=counter)
    loaded = load_runs([tmp_path]).runs
    summary = summarise(loaded)
    eta = summary[summary["metric"] == "energy_to_target_j"]
    assert eta.groupby(["configuration", "label"]).size().max() == 1
    assert set(eta["label"]) == {"counter", "modelled"}
    table = table_of(loaded, "energy", summary)
    modelled, counters = column(table, "ETA (J), modelled"), column(table, "ETA (J), counter")
    assert [text == "-" for text in modelled] == [False, False, True]
    assert [text == "-" for text in counters] == [False, True, False]
    assert modelled[0].endswith("(n=4)")  # of 8 runs
    assert column(table, "systematic bound")[0] == "±6.0%"
    assert any("Only values of one kind" in note for note in table.notes)
    # Each label has a best of its own, and joules that nothing measured have none.
    best = eta[eta["p_best"].notna()]
    assert best.groupby("label").size().to_dict() == {"counter": 1}


def test_runs_that_failed_before_they_had_a_label_stay_with_the_others(runs: pd.DataFrame) -> None:
    unlabelled = runs.copy()
    missed = ~reached(unlabelled)
    unlabelled.loc[missed, "energy_label"] = None
    eta = one(summarise(unlabelled), "energy_to_target_j", "batch_size=256")
    assert (eta["label"], eta["components"], eta["num"]) == ("modelled", "cpu", 4)


def with_values(runs: pd.DataFrame, name: str, values: dict[str, list[float]]) -> pd.DataFrame:
    """The runs with the values of one column, by configuration."""
    changed = runs.copy()
    for configuration, own in values.items():
        changed.loc[changed["configuration"] == configuration, name] = own
    return changed


TIME = "target.time_to_target_s"


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Three batch sizes with eight seeds that all hit."""
    results = tmp_path_factory.mktemp("eight")
    make_sweep(results, batch_sizes=(16, 32, 64), seeds=range(8), base=Made(outcome="hit"))
    return load_runs([results]).runs


@pytest.fixture(scope="module")
def summary_of_eight(eight: pd.DataFrame) -> pd.DataFrame:
    return summarise(eight)


def times(first: float, second: float, third: float, step: float = 0.001) -> dict[str, list[float]]:
    names = ("batch_size=16", "batch_size=32", "batch_size=64")
    return {
        name: [start + step * n for n in range(8)]
        for name, start in zip(names, (first, second, third), strict=True)
    }


def test_the_best_beats_every_other_one_and_not_only_the_second(eight: pd.DataFrame) -> None:
    """All of eight are better than all of eight: 1 / 12870 one-sided, twice that for the choice."""
    clear = summarise(with_values(eight, TIME, times(1, 2, 3)))
    best = one(clear, "time_to_target_s", "batch_size=16")
    assert best["p_best"] == pytest.approx(2 / 12870)
    num_columns = clear["p_best"].notna().sum()
    assert best["p_best"] < best["p_best_holm"] <= num_columns * best["p_best"]
    assert best["best"]
    # The last one has the worst median, and half of its runs are as good as the leader's.
    mixed = times(1, 2, 3)
    mixed["batch_size=64"][:3] = [0.9, 0.95, 1.001]
    summary = summarise(with_values(eight, TIME, mixed))
    column = summary[summary["metric"] == "time_to_target_s"]
    assert column["p_best"].max() > 0.05
    assert not column["best"].any()


def test_a_best_value_takes_enough_runs_for_all_columns(tmp_path: Path) -> None:
    """5 against 5 reach 2 / 252 = 0.008, which is below 0.05, and above 0.05 over seven columns."""
    base = Made(outcome="hit", label="counter")
    make_sweep(tmp_path, batch_sizes=[16, 256], seeds=range(5), base=base)
    runs = load_runs([tmp_path]).runs
    values = {"batch_size=16": [1.0, 2, 3, 4, 5], "batch_size=256": [6.0, 7, 8, 9, 10]}
    runs = with_values(runs, TIME, values)
    summary = summarise(runs)
    row = one(summary, "time_to_target_s", "batch_size=16")
    assert row["p_best"] == pytest.approx(2 / 252)
    assert summary["p_best"].notna().sum() >= 7
    assert row["p_best_holm"] > 0.05
    assert not row["best"]
    num_columns = int(summary["p_best"].notna().sum())
    told = f"over the {num_columns} columns of all tables that can be tested. That takes at least"
    notes = " ".join(table_of(runs, "time", summary).notes)
    assert f"{told} {runs_needed(num_columns)} runs per configuration" in notes


def test_three_runs_each_are_not_tested_and_do_not_count_as_a_column(tmp_path: Path) -> None:
    """2 / 20 is above 0.05 whatever the values are."""
    make_sweep(tmp_path, batch_sizes=[16, 256], seeds=range(3), base=Made(outcome="hit"))
    runs = load_runs([tmp_path]).runs
    summary = summarise(runs)
    assert summary["p_best"].isna().all()
    assert any("No value is bold" in note for note in table_of(runs, "time", summary).notes)


def test_incomparable_runs_decide_no_best_value(eight: pd.DataFrame) -> None:
    clear = with_values(eight, TIME, times(1, 2, 3))
    incomparable_leader, incomparable_rival = clear.copy(), clear.copy()
    incomparable_leader.loc[
        clear["configuration"].eq("batch_size=16") & clear["seed"].eq(0), COMPARABLE
    ] = False
    incomparable_rival.loc[
        clear["configuration"].eq("batch_size=64") & clear["seed"].eq(0), COMPARABLE
    ] = False
    metric = "time_to_target_s"
    first = summarise(incomparable_leader)
    assert first[first["metric"] == metric]["p_best"].isna().all()
    second = one(summarise(incomparable_rival), metric, "batch_size=16")
    # Eight against the seven that are comparable: one of 15 choose 7 arrangements.
    assert second["p_best"] == pytest.approx(2 / 6435)
    all_incomparable = clear.copy()
    all_incomparable.loc[clear["configuration"].eq("batch_size=64"), COMPARABLE] = False
    third = summarise(all_incomparable)
    assert third[third["metric"] == metric]["p_best"].isna().all()


def test_joules_with_a_flag_decide_no_best_value(eight: pd.DataFrame) -> None:
    joules = "target.energy_to_target_j"
    clear = with_values(eight, joules, times(1, 2, 3)).assign(energy_label="counter")
    assert one(summarise(clear), "energy_to_target_j", "batch_size=16")["p_best"] < 0.05
    leader = clear["configuration"].eq("batch_size=16") & clear["seed"].eq(0)
    flagged = summarise(clear.assign(energy_row_flags=leader.map({True: "counter_reset"})))
    assert flagged[flagged["metric"] == "energy_to_target_j"]["p_best"].isna().all()
    assert one(flagged, "energy_to_target_j", "batch_size=16")["num"] == 8  # shown all the same


COMPARABLE = "health.comparable"


def test_the_best_value_is_marked_in_all_formats(eight: pd.DataFrame) -> None:
    table = table_of(with_values(eight, TIME, times(1, 2, 3)), "time")
    place = table.columns.index("TTA (s)")
    assert [row[place].best for row in table.rows] == [True, False, False]
    cell = to_markdown(table).splitlines()[4].split("|")[place + 1].strip()
    assert cell == f"**{markdown_safe(table.rows[0][place].text)}**"
    assert " *" in to_csv(table)


def test_other_targets_and_scenarios_are_not_compared(tmp_path: Path) -> None:
    easy, hard = Made(target=0.6), Made(target=0.93)
    for base in (easy, hard):
        make_sweep(tmp_path, batch_sizes=[32], seeds=range(5), base=base)
    runs = load_runs([tmp_path]).runs
    summary = summarise(runs)
    assert summary[summary["metric"] == "time_to_target_s"]["p_best"].isna().all()
    table = table_of(runs, "time", summary)
    assert column(table, "compared within") == ["accuracy ≥ 0.6", "accuracy ≥ 0.93"]
    search = table_of(runs, "search", summary)
    assert list(dict.fromkeys(column(search, "search for"))) == [
        "accuracy ≥ 0.6",
        "accuracy ≥ 0.93",
    ]
    assert set(column(search, "runs")) == {"5"}


def test_incomparable_and_invalid_runs_are_inside_and_marked(
    runs: pd.DataFrame, made_tables: dict[str, TextTable]
) -> None:
    table = made_tables["time"]
    assert column(table, "configuration") == ["batch_size=16", "batch_size=256 †"]
    assert column(table, "runs") == ["5", "4"]
    assert column(table, "hits") == ["4", "3"]
    assert any("1 run is not in these tables, because" in note for note in table.notes)
    assert any("not comparable" in note for note in table.notes)
    invalid = runs.copy()
    invalid["serving.valid"] = invalid["serving.valid"].where(invalid["command"] != "serve", False)
    names = column(table_of(invalid, "serving"), "configuration")
    assert [name.endswith("‡") for name in names] == [False, False, True, True]


def test_served_runs_have_no_row_in_tables_of_training(made_tables: dict[str, TextTable]) -> None:
    assert len(column(made_tables["time"], "configuration")) == 2
    serving = made_tables["serving"]
    assert column(serving, "hits") == ["4", "3", "-", "-"]
    assert column(serving, "configuration")[2:] == [
        "compression=none",
        "compression=int8_static",
    ] or (column(serving, "configuration")[2:] == ["compression=int8_static", "compression=none"])


def test_only_served_runs_give_tables_of_serving(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "a", Made(outcome="hit"))
    make_served(tmp_path / "b", folder, Served())
    found = tables(load_runs([tmp_path / "b"]).runs)
    assert set(found) == {"quality", "serving", "serving_cost"}


def test_tables_without_any_hit_say_so(tmp_path: Path) -> None:
    make_sweep(tmp_path, batch_sizes=[32], seeds=range(3), missed=range(3))
    found = tables(load_runs([tmp_path]).runs)
    assert column(found["time"], "TTA (s)") == ["not reached"]
    assert column(found["time"], "ERT (s)") == ["not reached"]
    assert column(found["search"], "until the first hit") == ["no hit"] * 4


def test_the_search_is_all_runs_up_to_the_first_hit(tmp_path: Path) -> None:
    make_sweep(tmp_path, batch_sizes=[32], seeds=range(5), missed=[0], failed=[1])
    loaded = load_runs([tmp_path]).runs
    costs = search_cost(loaded).set_index("quantity")
    wall_s = loaded["phases.wall_time_s"]
    expected_s = wall_s[0] + wall_s[1] + loaded["target.time_to_target_s"][2]
    assert costs["until_first_hit"]["time_s"] == pytest.approx(expected_s)
    assert costs["in_all"]["time_s"] == pytest.approx(wall_s.sum())
    before_s = (loaded["phases.launch_s"] + loaded["phases.init_s"])[:3].sum()
    assert costs["until_first_hit"]["time_with_launch_s"] == pytest.approx(expected_s + before_s)
    assert costs["in_all"]["energy_j"] == pytest.approx(loaded["energy_total_j"].sum())
    assert costs["in_all"]["cost_usd"] == pytest.approx(
        loaded["energy_total_j"].sum() / 3.6e6 * 0.1545
    )
    assert costs["num_until_first_hit"].tolist() == [3, 3, 3, 3]


def test_joules_of_a_search_are_not_added_over_labels(tmp_path: Path) -> None:
    make_sweep(tmp_path, batch_sizes=[32], seeds=[0, 1], base=Made(outcome="hit"))
    later = Made(outcome="hit", label="counter")
    later = replace(later, start=later.start.replace(hour=11))
    make_sweep(tmp_path, batch_sizes=[32], seeds=[2], base=later)
    loaded = load_runs([tmp_path]).runs
    costs = search_cost(loaded)
    joules = costs[costs["quantity"] == "energy_j"].set_index("label")
    assert joules["num_runs"].to_dict() == {"counter": 1, "modelled": 2}
    by_label = loaded.groupby("energy_label")["energy_total_j"].sum()
    assert joules["in_all"].to_dict() == pytest.approx(by_label.to_dict())
    assert search_cost(loaded.iloc[:0]).empty


def test_runs_of_unknown_cost_are_counted(tmp_path: Path) -> None:
    make_sweep(tmp_path, batch_sizes=[32], seeds=range(3), failed=[1])
    loaded = load_runs([tmp_path]).runs
    loaded.loc[1, "energy_total_j"] = None
    costs = search_cost(loaded).set_index("quantity")
    assert costs["num_unknown"].to_dict() == {
        "time_s": 0,
        "time_with_launch_s": 0,
        "energy_j": 1,
        "cost_usd": 1,
    }


def test_joules_of_other_parts_are_no_repeats(tmp_path: Path) -> None:
    """Half of the runs of each configuration have the joules of a GPU, half of the CPU alone."""
    make_sweep(
        tmp_path,
        batch_sizes=[32, 64],
        seeds=range(8),
        base=Made(outcome="hit", label="counter"),
    )
    runs = load_runs([tmp_path]).runs
    runs["energy_components"] = np.where(runs["seed"] < 4, "cpu", "cpu + gpu")
    summary = summarise(runs)
    eta = summary[summary["metric"] == "energy_to_target_j"]
    assert eta.groupby(["configuration", "components"])["num"].sum().to_dict() == {
        (name, parts): 4
        for name in ("batch_size=32", "batch_size=64")
        for parts in ("cpu", "cpu + gpu")
    }
    found = summary_tables(summary, search_cost(runs), runs)
    heads = [head for head in found["energy"].columns if head.startswith("ETA")]
    assert heads == ["ETA (J), counter of cpu", "ETA (J), counter of cpu + gpu"]
    joules = [name for name in column(found["search"], "quantity") if name.startswith("energy")]
    assert joules == ["energy_j, counter of cpu", "energy_j, counter of cpu + gpu"]
    # A run that was cut off before it could say is a repeat of the only kind there is.
    runs["energy_components"] = runs["energy_components"].where(runs["seed"] >= 4)
    alike = summarise(runs)
    assert alike[alike["metric"] == "energy_to_target_j"]["num"].tolist() == [8, 8]


def test_rent_and_electricity_are_never_in_one_column(runs: pd.DataFrame) -> None:
    mixed = runs[runs["command"] == "train"].copy()
    first = mixed["configuration"] == "batch_size=16"
    mixed["cost_basis"] = np.where(first, "rental", "electricity")
    table = table_of(mixed, "cost")
    rent, electricity = (
        column(table, f"cost (nUSD), {basis}") for basis in ("rental", "electricity, modelled")
    )
    assert [text == "-" for text in rent] == [False, True]
    assert [text == "-" for text in electricity] == [True, False]
    costs = search_cost(mixed)
    money = costs[costs["quantity"] == "cost_usd"]
    assert money["label"].tolist() == ["electricity, modelled", "rental"]
    # What rent is for does not depend on a meter, and so has no parts.
    assert money["components"].fillna("").tolist() == ["cpu", ""]


def accuracy_of(runs: pd.DataFrame) -> pd.Series:
    summary = summarise(runs)
    return one(summary[summary["topic"] == "time"], "accuracy", "batch_size=16")


def test_an_accuracy_has_at_least_the_bounds_of_its_sampling_error(runs: pd.DataFrame) -> None:
    """Two runs with 0.95 of 360 test samples: Wilson's interval of 342 of 360, as a range."""
    pair = runs[(runs["command"] == "train") & runs["quality_test.accuracy"].notna()].iloc[:2]
    pair = pair.assign(**{"quality_test.accuracy": 0.95, "quality_test.num_samples": 360})
    accuracy = accuracy_of(pair)
    wilson = share(342, 360)
    assert (accuracy["low"], accuracy["high"]) == pytest.approx((wilson.low, wilson.high))
    assert accuracy["kind"] == "range"
    single = accuracy_of(pair.iloc[:1])
    assert (single["low"], single["kind"]) == (accuracy["low"], "interval")
    assert column(table_of(pair.iloc[:1], "time"), "test accuracy") == ["0.950 [0.922, 0.968]"]


def test_a_requested_rate_is_not_shown_as_throughput(tmp_path: Path) -> None:
    trained = make_run(tmp_path / "t", Made(outcome="hit"))
    make_served(tmp_path / "s", trained, Served(scenario="server"))
    runs = load_runs([tmp_path / "s"]).runs
    assert column(table_of(runs, "serving"), "throughput (1/s)")[0] != "-"
    asked = pd.concat([runs, runs.assign(run_id="second", config_hash="second")])
    asked = asked.reset_index(drop=True)
    asked["configuration"] = ["rate_per_s=50", "rate_per_s=100"]
    asked["config.scenario.rate_per_s"] = [50.0, 100.0]
    asked["serving.max_rate_per_s"] = np.nan
    table = table_of(asked, "serving")
    assert "throughput (1/s)" not in table.columns
    assert column(table, "compared within") == ["50 per s asked for", "100 per s asked for"]
    one_asked = asked.assign(**{"config.scenario.rate_per_s": [50.0, np.nan]})
    assert column(table_of(one_asked, "serving"), "compared within") == [
        "50 per s asked for",
        "largest rate searched for",
    ]


def test_a_quantity_that_no_hit_has_does_not_count_as_missed(runs: pd.DataFrame) -> None:
    """Without a price, what a hit cost is not known: that is not "not reached"."""
    unpriced = runs[runs["command"] == "train"].copy()
    unpriced[["target.cost_to_target_usd", "config.price.usd_per_kwh"]] = np.nan
    unpriced["cost_basis"] = None
    assert "cost_to_target_usd" not in set(summarise(unpriced)["metric"])
    no_carbon = runs.assign(**{"target.emissions_to_target_gco2e": np.nan})
    assert "emissions_to_target_gco2e" not in set(summarise(no_carbon)["metric"])


def test_markdown_and_csv_keep_what_is_in_a_cell() -> None:
    table = TextTable(
        title="t",
        columns=("name", "a, b"),
        rows=((Cell(text="x | y*"), Cell(text="1, 2", best=True)),),
        notes=("n",),
    )
    assert "| x \\| y\\* | **1, 2** |" in to_markdown(table)
    assert to_csv(table) == 'name,"a, b"\nx | y*,"1, 2 *"\n'


def test_special_characters_are_set_literally() -> None:
    assert escape("50% of $a_b & {c}#~^\\") == (
        r"50\% of \$a\_b \& \{c\}\#\textasciitilde{}\textasciicircum{}\textbackslash{}"
    )
    assert escape("[1, inf) ±2 †") == r"[1, $\infty$) $\pm$2 \dag{}"
    assert escape("(1.2 to inf)") == r"(1.2 to $\infty$)"
    assert escape("inferior") == "inferior"


def test_all_files_are_written(
    runs: pd.DataFrame,
    made_summary: pd.DataFrame,
    made_tables: dict[str, TextTable],
    tmp_path: Path,
) -> None:
    paths = write_tables(made_tables, made_summary, search_cost(runs), tmp_path / "tables")
    names = {path.name for path in paths}
    assert {"summary.csv", "search_cost.csv", "time.csv", "time.md", "time.tex"} <= names
    summary = pd.read_csv(tmp_path / "tables" / "summary.csv")
    assert len(summary) == len(made_summary)
    text = (tmp_path / "tables" / "time.tex").read_text()
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 1
    assert r"batch\_size=256 \dag{}" in text


def test_latex_compiles(made_tables: dict[str, TextTable], tmp_path: Path) -> None:
    engine = shutil.which("pdflatex") or shutil.which("tectonic")
    if engine is None:
        pytest.skip("no LaTeX here")
    hard = TextTable(
        title="All of \\ & % $ # _ { } ~ ^ < > | ± \u00d7 ≥ ≤ † ‡",
        columns=("a_b", "50%"),
        rows=((Cell(text="x\\y"), Cell(text="{1} [1, inf)", best=True)),),
        notes=("~ & ^",),
    )
    caption = latex_caption("hits", whole_caption(hard.title, Figure(), pd.DataFrame(), "“µ² •”"))
    body = [rf"\begin{{figure}}{caption}\end{{figure}}"]
    body += [to_latex(t, reference=f"tab:{n}") for n, t in (made_tables | {"h": hard}).items()]
    packages = r"\usepackage[utf8]{inputenc}\usepackage[T1]{fontenc}\usepackage{booktabs,graphicx}"
    document = [r"\documentclass{article}", packages, r"\begin{document}", *body]
    source = tmp_path / "main.tex"
    source.write_text("\n".join([*document, r"\end{document}", ""]))
    options = ["-interaction=nonstopmode", "-halt-on-error"] if "pdflatex" in engine else []
    run = subprocess.run(
        [engine, *options, source.name], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stdout[-2000:]
    assert (tmp_path / "main.pdf").exists()
    assert "Overfull \\hbox" not in run.stdout  # tables shrink to the width of the text


def test_no_run_that_could_be_read_gives_no_table(tmp_path: Path) -> None:
    make_unreadable(tmp_path)
    nothing = load_runs([tmp_path]).runs
    assert summarise(nothing).empty
    assert tables(nothing) == {}


def test_only_killed_runs_give_tables_without_hits(tmp_path: Path) -> None:
    make_sweep(tmp_path, batch_sizes=[32], seeds=range(2), interrupted=range(2))
    loaded = load_runs([tmp_path]).runs
    killed = loaded.assign(status="killed")
    assert summarise(killed)["host"].unique().tolist() == ["unknown host"]
    assert column(table_of(killed, "time"), "hits") == ["0"]
    # Runs that were interrupted have a cost, and are nothing to compare.
    assert set(tables(loaded)) == {"search"}


def charged(results: Path, made: Made, **config: object) -> None:
    """A run that reached its target, charged as a configuration says."""
    folder = make_run(results, replace(made, outcome="hit"))
    path = folder / "run.json"
    record = json.loads(path.read_text())
    record["config"] |= config
    path.write_text(json.dumps(record))


def test_money_at_another_price_and_carbon_of_another_grid_are_kept_apart(tmp_path: Path) -> None:
    """They are repeats in time and joules all the same: n = 4 there."""
    cheap, dear = ({"usd_per_hour": None, "usd_per_kwh": rate} for rate in (0.1, 0.4))
    usa, deu = ({"country_iso_code": country} for country in ("USA", "DEU"))
    for seed, (price, grid) in enumerate([(cheap, usa), (cheap, deu), (dear, usa), (dear, deu)]):
        charged(tmp_path, Made(seed=seed), price=price, grid=grid)
    loaded = load_runs([tmp_path]).runs
    assert loaded["configuration"].nunique() == 1
    summary = summarise(loaded)
    nums = {
        name: dict(zip(rows["label"], rows["num"], strict=True))
        for name, rows in summary.groupby("metric")
    }
    assert list(nums["time_to_target_s"].values()) == [4]
    (label,) = nums["energy_to_target_j"]
    assert nums["cost_to_target_usd"] == {
        f"electricity at {rate} USD/kWh, {label}": 2 for rate in ("0.1", "0.4")
    }
    assert nums["emissions_to_target_gco2e"] == {
        f"{label}, grid of {country}": 2 for country in ("DEU", "USA")
    }


def test_a_run_repeated_at_another_price_supersedes_no_other(tmp_path: Path) -> None:
    """Of one seed and repeat: a sweep over prices asks for the money at each."""
    for n, rate in enumerate((0.1, 0.4)):
        made = Made(start=SWEEP_START + timedelta(minutes=n))
        charged(tmp_path, made, price={"usd_per_hour": None, "usd_per_kwh": rate})
    summary = summarise(load_runs([tmp_path]).runs)
    money = summary[summary["metric"] == "cost_to_target_usd"]
    assert sorted(money["num"]) == [1, 1]


@pytest.mark.parametrize(
    ("name", "values", "factor", "heading"),
    [
        # The median is 3 ms.
        ("time_to_target_s", [0.002, 0.003, 40.0], 1e3, "TTA (ms)"),
        ("time_to_target_s", [7200.0, 7200.0, np.inf, np.nan], 1 / 60, "TTA (min)"),
        ("latency_p50_ms", [0.03, 0.05], 1e3, "p50 (µs)"),
        ("throughput_per_s", [4e6], 1e-6, "throughput (M/s)"),
        ("throughput_per_s", [400.0], 1.0, "throughput (1/s)"),
        # Nothing to choose by: the unit of the catalogue.
        ("time_per_sample_s", [np.nan, 0.0], 1e6, "time per sample (us)"),
        ("samples_to_target", [4e6], 1.0, "samples to target"),
    ],
)
def test_a_column_has_the_unit_that_suits_its_median(
    name: str, values: list[float], factor: float, heading: str
) -> None:
    columns = {each.name: each for topic in TOPICS.values() for each in topic}
    times, title = columns[name].suited_unit(pd.Series(values))
    assert times == pytest.approx(factor)
    assert title == heading
