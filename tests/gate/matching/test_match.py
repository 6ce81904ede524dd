from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from bench.config.gate import JudgeConfig
from bench.gate.matching.log import ProblemLog
from bench.gate.matching.match import match
from tests.gate.made import CONFIG, HASH, made_run, made_runs, made_side, side_of
from tests.gate.made_matches import FIVE, OTHER, kinds, matched, times


def test_runs_are_paired_by_seed_and_repeat_whatever_their_order() -> None:
    base = times([1.0, 2.0, 3.0])
    candidate = side_of(times([10.0, 20.0, 30.0]).runs[::-1], name="candidate")
    rows, problems, remarks = matched(base, candidate)
    row = rows["time_to_target_s"]
    assert row.base.tolist() == [1.0, 2.0, 3.0]
    assert row.candidate.tolist() == [10.0, 20.0, 30.0]
    assert (row.kind, row.command, row.config_hash) == ("measured", "train", HASH)
    assert row.configuration == "train Mlp digits batch_size=32"
    assert (problems, remarks) == ([], [])


def test_a_seed_is_a_stratum_and_its_repeats_are_not() -> None:
    runs = [
        made_run(seed=seed, repeat=repeat, values={"init_s": 1.0})
        for seed in (7, 3)
        for repeat in range(2)
    ]
    rows, _, _ = matched(side_of(runs), side_of(runs))
    assert rows["init_s"].strata.tolist() == [1, 1, 0, 0]


def test_a_served_model_of_another_seed_is_another_run() -> None:
    runs = [
        made_run(command="serve", served_model=f"seed {seed}", values={"latency_p50_ms": seed + 1})
        for seed in range(3)
    ]
    rows, problems, _ = matched(side_of(runs), side_of(runs[1:]))
    assert rows["latency_p50_ms"].base.tolist() == [2.0, 3.0]
    assert rows["latency_p50_ms"].strata.tolist() == [0, 1]
    assert kinds(problems) == [("missing", 3)]
    assert "base alone has seed 0 of the model of seed 0 repeat 0" in problems[0].message


def test_a_miss_is_the_worst_of_all() -> None:
    rows, _, _ = matched(times([1.0, math.inf, 1.0]), times([math.inf, 2.0, 1.0]))
    row = rows["time_to_target_s"]
    assert row.base.tolist() == [1.0, math.inf, 1.0]
    assert row.candidate.tolist() == [math.inf, 2.0, 1.0]


def test_a_miss_has_joules_only_where_they_were_measured() -> None:
    """All runs missed: a censored metric has no value anywhere, and the label tells if it could."""
    runs = made_runs({"time_to_target_s": [math.inf, math.inf]})
    rows, problems, _ = matched(side_of(runs), side_of(runs))
    assert np.isinf(rows["energy_to_target_j"].base).all()
    unmetered = [replace(run, facts={**run.facts, "energy_label": None}) for run in runs]
    rows, problems, _ = matched(side_of(unmetered), side_of(unmetered))
    assert "energy_to_target_j" not in rows
    assert np.isinf(rows["time_to_target_s"].base).all()
    assert problems == []


def test_samples_that_cannot_be_counted_are_missing_values_and_no_failure() -> None:
    """Batches of unknown size: no run has the number, and a miss does not tell that it could."""
    hit = {"time_to_target_s": FIVE, "steps_to_target": FIVE}
    missed = {name: [math.inf] * 5 for name in hit}
    for base, candidate in ((hit, hit), (hit, missed), (missed, hit)):
        rows, problems, _ = matched(
            *(made_side(values, facts={"energy_label": None}) for values in (base, candidate))
        )
        assert set(rows) == set(hit)
        assert problems == []
    # Counted on one side only: that is a metric which one side does not have.
    counted = {**hit, "samples_to_target": FIVE}
    _, problems, _ = matched(made_side(counted), made_side(hit))
    assert "samples_to_target: only base has it" in problems[0].message


def test_a_run_without_a_partner_is_reported_with_the_counts() -> None:
    rows, problems, _ = matched(times(FIVE), times(FIVE[:3]))
    assert len(rows["time_to_target_s"].base) == 3
    assert kinds(problems) == [("missing", 3)]
    assert problems[0].message == (
        "train Mlp digits batch_size=32: base has 5 runs, candidate 3, 3 of the same seed and "
        "repeat; base alone has seed 0 repeat 3, seed 0 repeat 4; measure it there too, or "
        "allow_missing=true"
    )


def test_many_runs_without_a_partner_are_not_all_listed() -> None:
    _, problems, _ = matched(times([1.0]), times([1.0] * 9))
    assert "seed 0 repeat 5 and 3 more" in problems[0].message


def test_what_is_missing_may_be_allowed() -> None:
    values = {"time_to_target_s": FIVE, "init_s": FIVE}
    base = side_of([*made_runs(values), *made_runs(values, config_hash=OTHER, config={"lr": 1})])
    rows, problems, remarks = matched(base, times(FIVE[:4]), allow_missing=True)
    assert set(rows) == {"time_to_target_s"}
    assert problems == []
    assert len(remarks) == 3  # a configuration, a run, a metric
    assert all(remark.endswith("(allow_missing=true)") for remark in remarks)


def test_a_configuration_of_one_side_is_named() -> None:
    other = made_runs(
        {"time_to_target_s": FIVE}, config_hash=OTHER, config={**CONFIG, "batch_size": 256}
    )
    candidate = side_of([*times(FIVE).runs, *other])
    rows, problems, _ = matched(times(FIVE), candidate)
    assert set(rows) == {"time_to_target_s"}
    assert kinds(problems) == [("missing", 3)]
    assert problems[0].message.startswith(
        "train batch_size=256: candidate has 5 runs of it, base none; "
    )


def test_a_metric_of_one_side_is_named() -> None:
    both = {"time_to_target_s": FIVE, "latency_p50_ms": FIVE}
    rows, problems, _ = matched(made_side(both), times(FIVE))
    assert set(rows) == {"time_to_target_s"}
    assert kinds(problems) == [("missing", 3)]
    assert "latency_p50_ms: only base has it" in problems[0].message


def test_pairs_without_the_value_are_left_out_and_counted() -> None:
    base = made_side({"init_s": [1.0, math.nan, 3.0, 4.0]})
    candidate = made_side({"init_s": [1.0, 2.0, math.nan, 4.0]})
    rows, problems, _ = matched(base, candidate)
    assert rows["init_s"].base.tolist() == [1.0, 4.0]
    assert rows["init_s"].note == "2 of 4 pairs left out: no value"
    assert problems == []
    rows, problems, _ = matched(
        made_side({"init_s": [1.0, math.nan]}), made_side({"init_s": [math.nan, 1.0]})
    )
    assert rows == {}
    assert "init_s: no pair has it on both sides" in problems[0].message


def test_only_the_metrics_asked_for_are_compared() -> None:
    side = made_side({"time_to_target_s": FIVE, "init_s": FIVE})
    rows, problems, _ = matched(side, side, metrics=["init_s"], min_effect={"init_s": 0.5})
    assert [(name, row.metric.least_effect_frac) for name, row in rows.items()] == [("init_s", 0.5)]
    assert problems == []


def test_a_metric_asked_for_that_no_run_has_is_missing() -> None:
    _, problems, _ = matched(times(FIVE), times(FIVE), metrics=["time_to_target_s", "load_s"])
    assert kinds(problems) == [("missing", 3)]
    assert problems[0].message.startswith("metrics=load_s: no run of either side has it")


def test_rows_are_in_the_order_of_the_registry_and_of_the_base() -> None:
    values = {"size_bytes": [1.0], "time_to_target_s": [1.0]}
    sides = [
        *made_runs(values, config_hash=OTHER, config={**CONFIG, "batch_size": 8}),
        *made_runs(values),
    ]
    log = ProblemLog(settings=JudgeConfig())
    rows = match(side_of(sides), side_of(sides[::-1]), log, None)
    assert [(row.configuration, row.metric.name) for row in rows] == [
        ("train batch_size=8", "time_to_target_s"),
        ("train batch_size=8", "size_bytes"),
        ("train batch_size=32", "time_to_target_s"),
        ("train batch_size=32", "size_bytes"),
    ]
