"""Deployments in a report: what is derived from them, their table, their sentences and charts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pandas import DataFrame

from analysis.load.once import settle
from analysis.load.runs import load_events, load_runs, load_windows
from analysis.page.charts import charts
from analysis.page.details import details
from analysis.page.findings import finding_words
from analysis.page.rows import page_rows
from analysis.page.summary_parts import read_words
from analysis.stats.summary import summarise
from analysis.tables.tables import tables
from tests.analysis.made import make_sweep
from tests.analysis.made_maintained import Maintained, make_maintained, make_policies


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> DataFrame:
    """Five policies of two seeds on one stream, and a sweep of trainings in the same folder."""
    results = tmp_path_factory.mktemp("results")
    make_policies(results, seeds=range(2))
    make_sweep(results, seeds=range(2))
    return settle(load_runs([results]).runs)


def of_policy(runs: DataFrame, policy: str) -> DataFrame:
    return runs[runs["maintenance.policy"] == policy]


def words_of(runs: DataFrame) -> str:
    parts = [read_words(runs, runs.iloc[:0]), *finding_words(runs, summarise(runs))]
    return "\n".join(" ".join([part.heading, *part.sentences]) for part in parts)


def test_what_follows_from_records_is_a_column(runs: DataFrame) -> None:
    every, oracle, never = (of_policy(runs, name) for name in ("every", "oracle", "never"))
    assert every["maintenance.off_target_frac"].tolist() == pytest.approx([4 / 24] * 2)
    upkeep = every["maintenance.upkeep_j"] / 12
    assert every["maintenance.upkeep_per_1000_j"].tolist() == pytest.approx(upkeep.tolist())
    totals = [
        rows["maintenance.cost_usd"] + 1e-6 * rows["maintenance.num_errors"]
        for rows in (every, oracle)
    ]
    regret = totals[0].to_numpy() - totals[1].to_numpy()
    assert every["maintenance.regret_usd"].tolist() == pytest.approx(regret.tolist())
    saved = never["maintenance.num_errors"].to_numpy() - every["maintenance.num_errors"].to_numpy()
    cost = every["maintenance.cost_usd"].to_numpy() - never["maintenance.cost_usd"].to_numpy()
    assert every["maintenance.pays_from_usd"].tolist() == pytest.approx((cost / saved).tolist())
    assert runs.loc[runs["command"] == "train", "maintenance.regret_usd"].isna().all()


def test_doubtful_joules_leave_no_regret(tmp_path: Path) -> None:
    make_policies(tmp_path, policies=("every",), seeds=range(1))
    oracle = Maintained(policy="oracle", flags=("meter_failed",))
    make_maintained(tmp_path, replace(oracle, start=oracle.start + timedelta(seconds=1)))
    loaded = load_runs([tmp_path]).runs
    assert of_policy(loaded, "oracle")["maintenance.upkeep_j"].isna().all()
    (reason,) = of_policy(loaded, "every")["unknown_regret"]
    assert reason == "the cost of the oracle is unknown"
    assert load_windows(of_policy(loaded, "oracle"))["retrain_j"].isna().all()
    assert load_events(of_policy(loaded, "oracle"))["energy_j"].isna().all()


def test_another_machine_is_no_oracle_for_this_one(runs: DataFrame, tmp_path: Path) -> None:
    folders = make_policies(tmp_path, policies=("every", "oracle"), seeds=range(1))
    record = folders[1] / "run.json"
    record.write_text(record.read_text().replace("Made CPU", "Other CPU"))
    loaded = load_runs([tmp_path]).runs
    (reason,) = of_policy(loaded, "every")["unknown_regret"]
    assert reason == "no run of policy=oracle on the same stream"


def test_the_table_has_a_row_for_each_policy_and_calls_nothing_best_that_needs_least(
    runs: DataFrame,
) -> None:
    table = tables(runs)["maintenance"]
    names = [row[0].text for row in table.rows]
    assert names == [f"policy={name}" for name in ("never", "every", "performance")] + [
        "policy=drift detector=two_sample",
        "policy=oracle",
    ]
    for heading in ("on target (%)", "retrainings", "regret (µUSD), electricity, modelled"):
        assert heading in table.columns
    needs = [
        place for place, name in enumerate(table.columns) if "retrain" in name or "labels" in name
    ]
    assert not any(row[place].best for row in table.rows for place in needs)
    assert any("Regret: cost of upkeep and errors" in note for note in table.notes)


def test_streams_are_groups_of_the_table_and_of_the_summary(tmp_path: Path) -> None:
    for day, schedule in enumerate(("sudden", "seasonal")):
        base = Maintained(start=Maintained().start + timedelta(days=day))
        base = replace(base, schedule=schedule)  # type: ignore[arg-type]
        make_policies(tmp_path, policies=("never", "every"), seeds=range(2), base=base)
    loaded = load_runs([tmp_path]).runs
    table = tables(loaded)["maintenance"]
    place = table.columns.index("compared within")
    assert {row[place].text for row in table.rows} == {
        "drift.schedule=sudden",
        "drift.schedule=seasonal",
    }
    words = words_of(loaded)
    assert "12,000 predictions on Made CPU: drift.schedule=seasonal" in words
    assert "Regret is unknown for 4 runs: no run of policy=oracle on the same stream." in words


def test_the_summary_says_who_held_the_target_and_at_what_cost(runs: DataFrame) -> None:
    words = words_of(runs)
    assert "accuracy ≥ 0.85 to hold over 12,000 predictions on Made CPU" in words
    assert (
        "On target most: policy=drift detector=two_sample, for 95.8% of the predictions." in words
    )
    assert "On target least: policy=never, for 50.0%." in words
    assert "Cheapest at 1 µUSD per error: policy=drift detector=two_sample" in words
    assert "(electricity, modelled; median)" in words
    assert "Cheaper than never retraining from this price of an error on: " in words
    assert "Least regret: policy=drift detector=two_sample" in words


def test_a_policy_that_was_never_on_target_is_named(tmp_path: Path) -> None:
    make_policies(
        tmp_path, policies=("never", "every"), seeds=range(1), base=Maintained(target=0.99)
    )
    words = words_of(load_runs([tmp_path]).runs)
    assert "All policies: on target for 0% of the predictions (median)." in words


def test_the_page_has_rows_charts_and_windows(runs: DataFrame) -> None:
    deployed = runs[runs["command"] == "maintain"]
    rows = page_rows(deployed)
    assert {row["outcome"] for row in rows} == {"served"}
    assert rows[0]["policy"] == "never"
    assert rows[0]["on_target_frac"] == 0.5
    assert {"Upkeep against predictions below the target", "Regret against retrainings"} <= set(
        charts(rows)
    )
    (detail, *_) = details(deployed).values()
    assert len(detail["windows"]["accuracy"]) == 24
    assert detail["curve"] == {}


def test_a_killed_run_is_interrupted_and_has_its_windows(tmp_path: Path) -> None:
    make_maintained(tmp_path, Maintained(is_killed=True))
    loaded = load_runs([tmp_path]).runs
    assert loaded["status"].tolist() == ["interrupted"]
    assert loaded["target.metric"].isna().all()
    assert len(load_windows(loaded)) == 12
