from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.latex import escape, to_latex
from analysis.load import load_runs
from analysis.outcomes import reached
from analysis.search_cost import search_cost
from analysis.summary import summarise
from analysis.tables import (
    Cell,
    TextTable,
    tables,
    to_csv,
    to_markdown,
    write_tables,
)
from tests.analysis.made import (
    Made,
    Served,
    make_run,
    make_served,
    make_sweep,
    make_unreadable,
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Two batch sizes with 5 seeds: one misses, one fails, one is unfit, one was killed."""
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


def one(summary: pd.DataFrame, metric: str, configuration: str) -> pd.Series:
    wanted = (summary["metric"] == metric) & (summary["configuration"] == configuration)
    assert wanted.sum() == 1
    return summary[wanted].iloc[0]


def column(table: TextTable, name: str) -> list[str]:
    place = table.columns.index(name)
    return [row[place].text for row in table.rows]


def test_every_run_of_a_configuration_is_behind_its_numbers(runs: pd.DataFrame) -> None:
    summary = summarise(runs)
    rate = one(summary, "hit_rate", "batch_size=256")
    assert (rate["num"], rate["value"]) == (5, 0.6)
    tta = one(summary, "time_to_target_s", "batch_size=256")
    group = runs[runs["configuration"] == "batch_size=256"]
    hits = group["target.time_to_target_s"].dropna().sort_values()
    # Of 3 hits and 2 misses, the median is the slowest hit.
    assert (tta["num"], tta["value"]) == (5, hits.iloc[-1])
    assert np.isnan(tta["high"])
    ert = one(summary, "expected_time_s", "batch_size=256")
    lost = group["phases.wall_time_s"][~reached(group)].sum()
    assert ert["value"] == pytest.approx((hits.sum() + lost) / 3, rel=1e-3)


def test_a_killed_run_that_tells_no_host_belongs_to_its_configuration(runs: pd.DataFrame) -> None:
    assert runs["host.cpu_name"].isna().sum() == 1
    assert summarise(runs)["host"].unique().tolist() == ["Made CPU"]


def test_the_same_configuration_on_two_processors_is_two_rows(runs: pd.DataFrame) -> None:
    other = runs[runs["command"] == "train"].assign(**{"host.cpu_name": "Other CPU"})
    both = pd.concat([runs, other.assign(run_id=other["run_id"] + "x")], ignore_index=True)
    table = tables(both)["time"]
    assert "batch_size=16 @ Made CPU" in column(table, "configuration")
    assert "batch_size=16 @ Other CPU" in column(table, "configuration")


def test_joules_of_different_labels_are_never_in_one_column(tmp_path: Path) -> None:
    make_sweep(tmp_path, batch_sizes=[32, 64], seeds=range(4), base=Made(outcome="hit"))
    counter = Made(outcome="hit", label="counter")
    make_sweep(tmp_path, batch_sizes=[32, 128], seeds=range(4, 8), base=counter)
    loaded = load_runs([tmp_path]).runs
    summary = summarise(loaded)
    eta = summary[summary["metric"] == "energy_to_target_j"]
    assert eta.groupby(["configuration", "label"]).size().max() == 1
    assert set(eta["label"]) == {"counter", "modelled"}
    table = tables(loaded)["energy"]
    modelled, counters = column(table, "ETA (J), modelled"), column(table, "ETA (J), counter")
    assert [text == "-" for text in modelled] == [False, False, True]
    assert [text == "-" for text in counters] == [False, True, False]
    assert modelled[0].endswith("(n=4)")  # of 8 runs
    assert column(table, "systematic bound")[0] == "±6.0%"
    assert any("Only values of one label" in note for note in table.notes)
    # Each label has a best of its own, and none is compared with the other's.
    best = eta[eta["p_against_second"].notna()]
    assert best.groupby("label").size().to_dict() == {"counter": 1, "modelled": 1}


def test_runs_that_failed_before_they_had_a_label_stay_with_the_others(runs: pd.DataFrame) -> None:
    unlabelled = runs.copy()
    missed = ~reached(unlabelled)
    unlabelled.loc[missed, "energy_label"] = None
    eta = one(summarise(unlabelled), "energy_to_target_j", "batch_size=256")
    assert (eta["label"], eta["num"]) == ("modelled", 5)


def test_the_best_is_marked_only_where_the_difference_is_significant(tmp_path: Path) -> None:
    make_sweep(tmp_path / "few", batch_sizes=[64, 256], seeds=range(3), lrs=[0.1])
    make_sweep(tmp_path / "enough", batch_sizes=[64, 256], seeds=range(6), lrs=[0.1])
    few = summarise(load_runs([tmp_path / "few"]).runs)
    enough = summarise(load_runs([tmp_path / "enough"]).runs)
    metric = "samples_to_target"
    p_value = one(few, metric, "batch_size=64")["p_against_second"]
    assert p_value == pytest.approx(1 / 20)  # all three are better, and that is not enough
    assert not few[few["metric"] == metric]["best"].any()
    marked = enough[(enough["metric"] == metric) & enough["best"]]
    assert marked["configuration"].tolist() == ["batch_size=64"]
    table = tables(load_runs([tmp_path / "enough"]).runs)["factors"]
    place = table.columns.index("samples to target")
    assert [row[place].best for row in table.rows] == [True, False]
    lines = to_markdown(table).splitlines()
    assert lines[4].split("|")[4].strip().startswith("**")
    assert " *" in to_csv(table)


def test_other_targets_and_scenarios_are_not_compared(tmp_path: Path) -> None:
    easy, hard = Made(target=0.6), Made(target=0.93)
    for base in (easy, hard):
        make_sweep(tmp_path, batch_sizes=[32], seeds=range(5), base=base)
    summary = summarise(load_runs([tmp_path]).runs)
    assert summary[summary["metric"] == "time_to_target_s"]["p_against_second"].isna().all()


def test_unfit_and_invalid_runs_are_inside_and_marked(runs: pd.DataFrame) -> None:
    table = tables(runs)["time"]
    assert column(table, "configuration") == ["batch_size=16", "batch_size=256 †"]
    assert column(table, "runs") == ["5", "5"]
    assert column(table, "hits") == ["4", "3"]
    assert any("not fit" in note for note in table.notes)
    invalid = runs.copy()
    invalid["serving.valid"] = invalid["serving.valid"].where(invalid["command"] != "serve", False)
    names = column(tables(invalid)["serving"], "configuration")
    assert [name.endswith("‡") for name in names] == [False, False, True, True]


def test_served_runs_have_no_row_in_tables_of_training(runs: pd.DataFrame) -> None:
    found = tables(runs)
    assert len(column(found["time"], "configuration")) == 2
    serving = found["serving"]
    assert column(serving, "hits") == ["4", "3", "-", "-"]
    assert column(serving, "configuration")[2:] == [
        "compression=none",
        "compression=int8_static",
    ] or (column(serving, "configuration")[2:] == ["compression=int8_static", "compression=none"])


def test_only_served_runs_give_tables_of_serving(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "a", Made(outcome="hit"))
    make_served(tmp_path / "b", folder, Served())
    found = tables(load_runs([tmp_path / "b"]).runs)
    assert set(found) == {"serving", "serving_cost"}


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
    assert escape("inferior") == "inferior"


def test_all_files_are_written(runs: pd.DataFrame, tmp_path: Path) -> None:
    paths = write_tables(runs, summarise(runs), tmp_path / "tables")
    names = {path.name for path in paths}
    assert {"summary.csv", "search_cost.csv", "time.csv", "time.md", "time.tex"} <= names
    summary = pd.read_csv(tmp_path / "tables" / "summary.csv")
    assert len(summary) == len(summarise(runs))
    text = (tmp_path / "tables" / "time.tex").read_text()
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 1
    assert r"batch\_size=256 \dag{}" in text


def test_latex_compiles(runs: pd.DataFrame, tmp_path: Path) -> None:
    engine = shutil.which("pdflatex") or shutil.which("tectonic")
    if engine is None:
        pytest.skip("no LaTeX here")
    hard = TextTable(
        title="All of \\ & % $ # _ { } ~ ^ < > | ± \u00d7 ≥ ≤ † ‡",
        columns=("a_b", "50%"),
        rows=((Cell(text="x\\y"), Cell(text="{1} [1, inf)", best=True)),),
        notes=("~ & ^",),
    )
    body = [to_latex(t, reference=f"tab:{n}") for n, t in (tables(runs) | {"h": hard}).items()]
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
    assert summarise(loaded)["host"].unique().tolist() == ["unknown host"]
    assert column(tables(loaded)["time"], "hits") == ["0"]
