"""Which runs count, and what a run costs if part of its cost is unknown."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.load.runs import load_runs
from analysis.stats.outcomes import counted_runs, outcomes, spent
from analysis.stats.repeats import run_counts
from analysis.stats.search_cost import search_cost
from analysis.stats.summary import summarise
from analysis.tables.search import search_table
from analysis.tables.tables import tables, topic_table
from analysis.tables.text_table import TextTable
from bench.core.metric import Quantity
from bench.core.store import CurveWriter, create_run_folder
from tests.analysis.made import (
    SWEEP_START,
    Made,
    Served,
    identity,
    make_run,
    make_served,
    make_sweep,
)

QUANTITIES: tuple[Quantity, ...] = ("time_s", "energy_j", "cost_usd", "samples")


def later(hours: int, **facts: object) -> Made:
    return Made(start=SWEEP_START + timedelta(hours=hours), **facts)  # type: ignore[arg-type]


def search_of(runs: pd.DataFrame) -> TextTable:
    """The table of the search, without making the others."""
    table = search_table(search_cost(runs))
    assert table is not None
    return table


def test_a_resumed_sweep_has_as_many_runs_as_seeds(tmp_path: Path) -> None:
    """Seed 0 was interrupted before its target, and finished when the sweep was resumed."""
    make_run(tmp_path, Made(seed=0, outcome="interrupted"))
    finished = make_run(tmp_path, later(1, seed=0, outcome="hit"))
    other = make_run(tmp_path, later(2, seed=1, outcome="hit"))
    runs = load_runs([tmp_path]).runs
    assert counted_runs(runs)["run_id"].tolist() == [finished.name, other.name]
    summary = summarise(runs).set_index("metric")
    assert (summary.loc["hit_rate", "value"], summary.loc["hit_rate", "num"]) == (1.0, 2)
    assert summary["high"].notna()["time_to_target_s"]
    assert run_counts(runs)["num_runs"].tolist() == [2]
    # Its time was spent, though.
    search = search_of(runs)
    assert [cell.text for cell in search.rows[0]][3] == "3"


def test_a_run_that_was_interrupted_after_its_target_is_not_one_more_hit(tmp_path: Path) -> None:
    hit = make_run(tmp_path, Made(seed=0, outcome="hit"))
    (hit / "run.json").unlink()  # cut off in the probe: the curve shows a hit
    again = make_run(tmp_path, later(1, seed=0, outcome="hit"))
    runs = load_runs([tmp_path]).runs
    assert runs["target.reached"].tolist() == [True, True]
    assert counted_runs(runs)["run_id"].tolist() == [again.name]


def test_the_latest_of_several_finished_runs_counts(tmp_path: Path) -> None:
    make_run(tmp_path, Made(seed=0, outcome="hit"))
    failed = make_run(tmp_path, later(2, seed=0, outcome="failed"))
    make_run(tmp_path, later(1, seed=0, outcome="hit"))
    repeat = make_run(tmp_path, later(3, seed=0, repeat=1, outcome="hit"))
    runs = load_runs([tmp_path]).runs
    assert counted_runs(runs)["run_id"].tolist() == [failed.name, repeat.name]


def test_a_killed_run_counts_if_no_run_finished(tmp_path: Path) -> None:
    make_sweep(tmp_path, batch_sizes=[32], seeds=range(2), interrupted=[0])
    runs = load_runs([tmp_path]).runs
    killed = runs.assign(status=["killed", "ok"])
    assert len(counted_runs(killed)) == 2
    assert outcomes(counted_runs(killed)).failed.tolist() == [True, False]
    assert len(counted_runs(runs)) == 1
    again = pd.concat([killed, killed.assign(status="ok", run_id="z")]).iloc[[0, 2]]
    assert counted_runs(again)["status"].tolist() == ["ok"]


def test_runs_of_other_hosts_threads_or_trained_models_do_not_supersede_one_another(
    tmp_path: Path,
) -> None:
    first = make_run(tmp_path, Made(seed=0, outcome="hit"))
    second = make_run(tmp_path, Made(seed=1, outcome="hit"))
    # Two trained models, served alike: one configuration, seed and repeat, and two runs.
    make_served(tmp_path, first, Served())
    make_served(tmp_path, second, Served(start=Served().start + timedelta(hours=1)))
    runs = load_runs([tmp_path]).runs
    assert len(counted_runs(runs)) == 4
    twice = pd.concat([runs, runs.assign(run_id=runs["run_id"] + "x")], ignore_index=True)
    assert len(counted_runs(twice)) == 4
    half = np.arange(len(twice)) < 4
    elsewhere = twice.assign(**{"host.cpu_name": np.where(half, "A", "B")})
    assert len(counted_runs(elsewhere)) == 8
    threads = np.where(half, "num_threads=1", "num_threads=2")
    assert len(counted_runs(twice.assign(configuration=threads))) == 8
    assert counted_runs(runs.iloc[:0]).empty


def test_a_run_that_never_began_is_in_no_frame(tmp_path: Path) -> None:
    """Interrupted while it waited for the lock: it has a folder, and nothing in it but its keys."""
    make_run(tmp_path, Made(seed=0, outcome="hit"))
    who = identity("train", Made(seed=1).config, SWEEP_START + timedelta(hours=1))
    create_run_folder(tmp_path, who, Made(seed=1).config)
    loaded = load_runs([tmp_path])
    assert (len(loaded.runs), len(loaded.unread), loaded.num_not_started) == (1, 0, 1)
    assert loaded.runs["configuration"].tolist() == ["Mlp"]
    assert [cell.text for cell in search_of(loaded.runs).rows[0]][3] == "1"
    # As soon as it has begun, it is a run that was interrupted.
    folder = tmp_path / "train" / who.run_id
    CurveWriter(folder).close()
    again = load_runs([tmp_path])
    assert (len(again.runs), again.num_not_started) == (2, 0)
    assert run_counts(again.runs)["num_runs"].tolist() == [1]


def test_a_run_that_was_killed_before_its_first_evaluation_has_an_unknown_cost(
    tmp_path: Path,
) -> None:
    folder = make_run(tmp_path, Made(seed=0, outcome="interrupted", telemetry=False))
    (folder / "curve.jsonl").write_text("")
    make_run(tmp_path, later(1, seed=1, outcome="hit"))
    runs = load_runs([tmp_path]).runs
    for quantity in QUANTITIES:
        assert np.isnan(spent(runs, quantity).iloc[0])
        assert outcomes(runs, quantity).num_unknown == 1
    killed = runs.assign(status=runs["status"].replace("interrupted", "killed"))
    table = topic_table(summarise(killed), run_counts(killed), "time")
    assert table is not None
    cells = dict(zip(table.columns, (cell.text for cell in table.rows[0]), strict=True))
    assert cells["ERT (s)"] == "unknown (n=1)"
    assert cells["hits"] == "1"
    assert any(note.startswith("unknown: a run was cut off") for note in table.notes)


def test_a_run_that_ended_during_set_up_spent_nothing_on_the_clock(tmp_path: Path) -> None:
    make_sweep(tmp_path, batch_sizes=[32], seeds=range(2), failed=[0])
    runs = load_runs([tmp_path]).runs
    runs.loc[0, ["phases.wall_time_s", "energy_total_j", "target.time_per_sample_s"]] = np.nan
    for quantity in QUANTITIES:
        assert spent(runs, quantity).iloc[0] == 0
    # The same run without set-up: nothing is known.
    runs.loc[0, "phases.init_s"] = np.nan
    assert np.isnan(spent(runs, "time_s").iloc[0])


@pytest.mark.filterwarnings("error")
def test_unknown_costs_cause_no_division_by_zero(tmp_path: Path) -> None:
    folder = make_run(tmp_path, Made(seed=0, outcome="interrupted", telemetry=False))
    (folder / "curve.jsonl").write_text("")
    runs = load_runs([tmp_path]).runs.assign(status="killed")
    found = tables(runs)
    assert found["time"].rows[0][2].text == "0"


def test_the_cost_of_a_search_is_a_lower_bound_if_a_part_is_unknown(tmp_path: Path) -> None:
    folder = make_run(tmp_path, Made(seed=0, outcome="interrupted", telemetry=False))
    (folder / "curve.jsonl").write_text("")
    rows = search_of(load_runs([tmp_path]).runs).rows
    texts = [[cell.text for cell in row] for row in rows]
    # Absent is never 0.
    assert {row[1] for row in texts} == {"no hit"}
    assert {row[2] for row in texts} == {"unknown"}
    assert {row[4] for row in texts} == {"1"}
    make_run(tmp_path, later(1, seed=1, outcome="hit"))
    search = search_of(load_runs([tmp_path]).runs)
    texts = [[cell.text for cell in row] for row in search.rows]
    assert all(row[1].startswith("> ") and row[2].startswith("> ") for row in texts)
    assert any(note.startswith(">: a lower bound") for note in search.notes)
