"""Deployments from their first to their last window, with real trainings of a small model."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest

from bench.core.records.maintenance import WindowRow
from bench.drift.matrix import Matrix
from bench.drift.oracle import deployed_models
from tests.drift.deployed import Deployed, deploy

# A retraining costs as much as one error.
PRICES = ("retrain.usd=0.01", "error_price_usd=0.01")
OFTEN = ("policy=every", "policy.windows=1")
pytestmark = pytest.mark.xdist_group("deployments")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("deployments")


@pytest.fixture(scope="module")
def every(results: Path) -> Deployed:
    return deploy(results, "policy=every", "policy.windows=2", "drift=concept")


@pytest.fixture(scope="module")
def never(results: Path) -> Deployed:
    return deploy(results, "policy=never", "drift=concept")


def unmeasured(row: WindowRow) -> dict[str, Any]:
    """What a row says, without seconds and joules."""
    return {name: value for name, value in asdict(row).items() if name[-2:] not in ("_s", "_j")}


def test_a_policy_by_the_clock_retrains_and_swaps_by_the_clock(every: Deployed) -> None:
    """Six windows, every second one: after windows 1 and 3. The one after the last window would
    serve nothing."""
    assert every.record.status == "ok", every.record.error
    assert [row.model for row in every.rows] == [0, 1, 1, 2, 2, 2]
    assert [event.window for event in every.of_kind("retraining")] == [1, 3]
    assert [event.prediction for event in every.of_kind("promotion")] == [200, 400]
    assert every.summary.num_retrains == every.summary.num_promoted == 2
    assert every.summary.labels_used == 600


def test_what_is_written_is_what_is_summed_up(every: Deployed) -> None:
    assert every.summary.num_errors == sum(row.errors for row in every.rows)
    assert every.summary.num_windows == len(every.rows) == 6
    assert [event.prediction for event in every.of_kind("change")] == [300]


def test_the_phases_add_up_and_the_windows_add_up_to_the_phases(every: Deployed) -> None:
    phases = every.record.phases
    on_the_clock = ("train", "serve", "detect", "decide", "retrain", "promote", "observe")
    times_s = {name: getattr(phases, f"{name}_s") for name in on_the_clock}
    assert sum(times_s.values()) == pytest.approx(phases.wall_time_s)
    for name in ("serve", "decide", "retrain", "promote"):
        by_window = sum(getattr(row, f"{name}_s") for row in every.rows)
        assert by_window == pytest.approx(times_s[name])
    assert sum(event.total_s or 0.0 for event in every.of_kind("retraining")) == pytest.approx(
        times_s["retrain"], rel=0.01
    )
    assert times_s["detect"] == 0.0  # nobody detects


def test_the_same_command_gives_the_same_windows(
    every: Deployed, never: Deployed, results: Path
) -> None:
    again = deploy(results, "policy=every", "policy.windows=2", "drift=concept")
    assert [unmeasured(row) for row in again.rows] == [unmeasured(row) for row in every.rows]
    other = deploy(results, "policy=never", "drift=concept", "seed=1")
    assert [unmeasured(row) for row in other.rows] != [unmeasured(row) for row in never.rows]


def test_policies_meet_the_same_stream(every: Deployed, never: Deployed) -> None:
    """Until the first retraining, whatever is served and answered is the same."""
    assert [row.errors for row in never.rows[:2]] == [row.errors for row in every.rows[:2]]
    assert [row.strength for row in never.rows] == [row.strength for row in every.rows]
    assert never.summary.num_retrains == 0
    assert never.summary.labels_used == 0  # they become known, and nobody pays for them
    assert never.record.phases.retrain_s == 0.0


def test_labels_that_come_after_the_end_leave_a_policy_without_any_action(results: Path) -> None:
    late = ("labels=delayed", "labels.delay=600", "drift=concept")
    performance = deploy(results, "policy=performance", *late)
    never = deploy(results, "policy=never", *late)
    assert [unmeasured(row) for row in performance.rows] == [unmeasured(row) for row in never.rows]
    kept = {each.name for each in fields(performance.summary)} - {"policy", "cost_usd"}
    unlike = {
        name
        for name in kept
        if getattr(performance.summary, name) != getattr(never.summary, name)
        and not name.endswith(("_s", "_j", "_gco2e", "ratio", "_low", "_high"))
    }
    assert unlike == set()


@pytest.fixture(scope="module")
def oracle(results: Path) -> Deployed:
    return deploy(results, "policy=oracle", "drift=concept", *PRICES)


class TestOracle:
    def test_its_run_has_the_errors_that_the_matrix_predicted(self, oracle: Deployed) -> None:
        assert oracle.record.status == "ok", oracle.record.error
        matrix = Matrix.read(oracle.folder)
        windows = [event.window for event in oracle.of_kind("retraining")]
        models = deployed_models([each for each in windows if each is not None], 6)
        assert [row.errors for row in oracle.rows] == [
            matrix.errors[model, window] for window, model in enumerate(models)
        ]
        assert oracle.summary.matrix_run_id == oracle.folder.name
        assert windows, "a retraining costs as much as one error, so some pay"

    def test_no_policy_is_cheaper(
        self, oracle: Deployed, never: Deployed, every: Deployed, results: Path
    ) -> None:
        """Errors at 0.01 and retrainings at 0.01: the oracle's total is the least."""

        def total_usd(run: Deployed) -> float:
            return 0.01 * ((run.summary.num_errors or 0) + run.summary.num_retrains)

        performance = deploy(results, "policy=performance", "drift=concept", *PRICES)
        for other in (never, every, performance):
            assert total_usd(oracle) <= total_usd(other)

    def test_its_matrix_serves_another_run(self, oracle: Deployed, results: Path) -> None:
        """At a price of errors of almost nothing, it never retrains; the matrix is the same."""
        again = deploy(
            results,
            "policy=oracle",
            f"policy.matrix={oracle.folder.name}",
            "drift=concept",
            "retrain.usd=0.01",
            "error_price_usd=1e-9",
        )
        assert again.summary.matrix_run_id == oracle.folder.name
        assert again.summary.num_retrains == 0


def test_a_fault_of_the_serving_path_is_not_cured_by_retraining(results: Path) -> None:
    """The log is clean, so the new models know nothing of the fault; with where=both they do."""
    fault = ("fault=celsius", "fault.feature=x0", "fault.at=100")
    often = ("policy=every", "policy.windows=2")
    never = deploy(results, *fault, "policy=never")
    serving = deploy(results, *fault, *often)
    both = deploy(results, *fault, *often, "fault.where=both")

    def late_errors(run: Deployed) -> int:
        return sum(row.errors for row in run.rows[-1:])

    assert late_errors(serving) >= 0.9 * late_errors(never)
    assert late_errors(both) < 0.7 * late_errors(never)
    assert serving.summary.num_wasted >= 0.9 * len(
        [each for each in serving.of_kind("promotion") if each.prediction > 100]
    )


def test_a_model_that_takes_time_serves_later(results: Path) -> None:
    """manual_delay=150: decided after 200 predictions, it takes over at 350, within window 3."""
    late = deploy(
        results, "policy=every", "policy.windows=2", "retrain=manual", "retrain.manual_delay=150"
    )
    assert [event.prediction for event in late.of_kind("promotion")] == [350, 550]
    assert [row.model for row in late.rows] == [0, 0, 0, 1, 1, 2]
    assert late.summary.swap_delay_mean == 150
    assert late.summary.manual_hours == 8.0
    assert "manual_delay" in late.summary.regret_reason


def test_with_a_rate_a_retraining_takes_time_of_the_stream(results: Path) -> None:
    """At 10^7 predictions per second, the training outlasts the stream: the old model serves on."""
    busy = deploy(results, *OFTEN, "stream.rate_per_s=1e7")
    assert [row.model for row in busy.rows] == [0] * 6
    assert len(busy.of_kind("retraining")) == 1  # the next one waits for the first


def test_a_warm_start_begins_with_the_deployed_weights(results: Path) -> None:
    warm = deploy(results, "policy=every", "policy.windows=3", "retrain=warm")
    assert warm.record.status == "ok", warm.record.error
    (event,) = warm.of_kind("retraining")
    (first,) = warm.of_kind("initial")
    assert event.samples_to_target is not None
    assert first.samples_to_target is not None
    assert event.samples_to_target <= first.samples_to_target
    assert "warm" in warm.summary.regret_reason


def test_a_new_model_that_is_no_better_is_dropped(results: Path) -> None:
    """Without drift, a model that was trained on fewer samples is rarely better."""
    run = deploy(
        results,
        *OFTEN,
        "retrain.promote=if_better",
        "retrain.num_samples=120",
        "budget.max_epochs=1",
    )
    judged = [*run.of_kind("rejection"), *run.of_kind("promotion")]
    assert len(judged) == 5
    assert run.of_kind("rejection")
    for event in run.of_kind("rejection"):
        assert event.accuracy is not None
        assert event.deployed_accuracy is not None
        assert event.accuracy <= event.deployed_accuracy


def test_an_alarm_restarts_the_detector_and_triggers_the_policy(results: Path) -> None:
    run = deploy(
        results,
        "policy=drift",
        "detector=two_sample",
        "drift=covariate",
        "drift.strength=1.5",
        "drift.feature=x0",
    )
    assert run.record.status == "ok", run.record.error
    (alarm, *_) = run.of_kind("alarm")
    assert alarm.is_false is False
    assert alarm.delay is not None
    assert 0 <= alarm.delay <= 100  # at the end of the first window after the change at 300
    assert run.of_kind("retraining")[0].window == 3
    assert run.summary.num_missed == 0
    assert run.summary.detector == "two_sample"
    assert (run.record.phases.detect_s or 0.0) > 0.0


def test_a_diverging_first_training_fails_the_run_by_name(results: Path) -> None:
    run = deploy(results, "lr=1e8", "optimizer.momentum=0.99")
    assert run.record.status == "failed"
    assert run.record.error is not None
    assert "initial training diverged" in run.record.error.message


def test_reweighting_is_as_good_as_retraining_when_only_frequencies_change(results: Path) -> None:
    """One class becomes 95% of all, from the start of 8 windows: both reach the same accuracy
    within 0.015, and re-weighting trains nothing."""
    shifted = (
        "drift=label",
        "drift.strength=0.95",
        "drift.at=0",
        "stream.num_windows=8",
        "stream.window=200",
        "stream.initial_samples=600",
        "budget.max_epochs=6",
        "target.eval_every_samples=360",
        "target.rule=final",
    )
    reweight = deploy(results, "policy=reweight", *shifted)
    every = deploy(results, "policy=every", "policy.windows=2", *shifted)
    never = deploy(results, "policy=never", *shifted)
    assert reweight.summary.mean_accuracy is not None
    assert every.summary.mean_accuracy is not None
    assert never.summary.mean_accuracy is not None
    assert reweight.summary.mean_accuracy > every.summary.mean_accuracy - 0.015
    assert reweight.summary.mean_accuracy > never.summary.mean_accuracy + 0.01
    assert reweight.summary.num_retrains == reweight.summary.labels_used == 0
    assert reweight.record.phases.retrain_s == 0.0
