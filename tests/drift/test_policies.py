"""What each policy decides, from what it can see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from scipy.special import expit

from bench.cli.app import register
from bench.core.files import config_dir
from bench.drift.detectors.base import Reference
from bench.drift.estimates import adjusted
from bench.drift.policies.base import Policy
from bench.drift.policies.cost_aware import CostAware
from bench.drift.policies.drift import Drift
from bench.drift.policies.estimated import Estimated
from bench.drift.policies.oracle import Oracle
from bench.drift.policies.performance import Performance
from bench.drift.policies.periodic import Every, Never
from bench.drift.policies.reweight import Reweight
from bench.drift.samples import Floats, Index
from tests.drift.made_views import WINDOW, outcomes, view_of


def test_never_does_nothing() -> None:
    decision = Never().decide(view_of(5, outcomes(WINDOW)))
    assert not decision.retrain
    assert not Never.retrains


def test_every_counts_from_the_last_retraining() -> None:
    policy = Every(windows=3)
    decided = [policy.decide(view_of(window, since=window % 3 + 1)).retrain for window in range(6)]
    assert decided == [False, False, True, False, False, True]


def test_every_says_what_is_wrong_with_its_interval() -> None:
    with pytest.raises(ValueError, match=r"policy.windows=0: must be at least 1"):
        Every(windows=0)


def test_performance_retrains_below_its_threshold() -> None:
    policy = Performance(threshold=None, patience=1, min_labels=30)
    at_target = policy.decide(view_of(0, outcomes(10)))
    assert not at_target.retrain
    assert at_target.estimate == pytest.approx(0.9)
    below = policy.decide(view_of(1, outcomes(11)))
    assert below.retrain
    assert below.reason == "known accuracy 0.89 < 0.9"
    assert not Performance(threshold=0.8, patience=1, min_labels=1).decide(view_of(1)).retrain


def test_performance_averages_the_last_windows() -> None:
    policy = Performance(threshold=None, patience=2, min_labels=30)
    # 2, 8, 14 errors of 100: means of two are 2, 5, 11.
    decided = [policy.decide(view_of(i, outcomes(errors))) for i, errors in enumerate([2, 8, 14])]
    assert [round(each.estimate or 0, 4) for each in decided] == [0.98, 0.95, 0.89]
    assert [each.retrain for each in decided] == [False, False, True]


def test_performance_forgets_the_windows_before_a_retraining() -> None:
    policy = Performance(threshold=None, patience=5, min_labels=30)
    assert policy.decide(view_of(0, outcomes(50))).retrain
    after = policy.decide(view_of(1, outcomes(5), since=1))
    assert not after.retrain
    assert after.estimate == pytest.approx(0.95)


def test_performance_waits_for_enough_labels() -> None:
    policy = Performance(threshold=None, patience=2, min_labels=30)
    waiting = policy.decide(view_of(0, outcomes(20, 20)))
    assert not waiting.retrain
    assert waiting.estimate is None
    assert waiting.reason == "20 labels, fewer than 30"
    assert policy.decide(view_of(1, outcomes(10, 10))).retrain


def test_performance_weighs_labels_by_their_propensity() -> None:
    # 90 labels seen for sure without an error; 10 seen with probability 0.1, of which 2 are wrong:
    # 20 of 190.
    known = outcomes(2, 100, np.where(np.arange(100) < 10, 0.1, 1.0))
    decision = Performance(threshold=None, patience=1, min_labels=30).decide(view_of(0, known))
    assert decision.estimate == pytest.approx(1 - 20 / 190)
    assert decision.retrain


def test_performance_cannot_judge_what_is_never_seen() -> None:
    policy = Performance(threshold=None, patience=1, min_labels=30)
    decision = policy.decide(view_of(0, outcomes(50, least_propensity=0.0)))
    assert not decision.retrain
    assert decision.estimate is None
    assert "never be seen" in decision.reason


@pytest.mark.parametrize(
    ("key", "value"), [("threshold", 0.0), ("threshold", 1.1), ("patience", 0), ("min_labels", 0)]
)
def test_performance_says_which_key_is_wrong(key: str, value: float) -> None:
    keys = {"threshold": None, "patience": 1, "min_labels": 1, key: value}
    with pytest.raises(ValueError, match=f"policy.{key}="):
        Performance(**keys)  # type: ignore[arg-type]


def test_drift_retrains_on_an_alarm_and_until_a_retraining_is_begun() -> None:
    policy = Drift()
    # The alarm of window 1 is answered at the end of window 2, when `since` begins anew.
    views = [
        view_of(0),
        view_of(1, alarm=150),
        view_of(2),
        view_of(3, since=1),
        view_of(4, since=2, alarm=440),
    ]
    decisions = [policy.decide(view) for view in views]
    assert [each.retrain for each in decisions] == [False, True, True, False, True]
    assert decisions[1].reason == "alarm at prediction 150"


def test_drift_needs_a_detector() -> None:
    with pytest.raises(ValueError, match="policy=drift: waits for alarms"):
        Drift().decide(replace(view_of(0), detection=None))
    assert Drift.needs_detector


def confident(share: float) -> Floats:
    """Predictions of class 0: `share` of them with probability 0.95, the others with 0.6."""
    top = np.where(np.arange(WINDOW) < share * WINDOW, 0.95, 0.6)
    return np.stack([top, 1 - top], axis=1).astype(np.float32)


# Of 100 held-out samples, all 50 confident predictions are right, and 25 of the 50 others.
CALIBRATED = Reference(
    inputs=np.zeros((WINDOW, 1), dtype=np.float32),
    probabilities=confident(0.5),
    labels=(np.arange(WINDOW) >= 75).astype(np.int64),
)


def test_estimated_retrains_without_labels() -> None:
    policy = Estimated(threshold=None)
    # Accuracies 1 and 0.5: 0.9 are confident gives 0.95, 0.5 gives 0.75.
    good = policy.decide(view_of(0, probabilities=confident(0.9), reference=CALIBRATED))
    assert not good.retrain
    assert good.estimate == pytest.approx(0.95)
    bad = policy.decide(view_of(1, probabilities=confident(0.5), reference=CALIBRATED))
    assert bad.retrain
    assert bad.reason == "estimated accuracy 0.75 < 0.9"
    assert not Estimated.needs_labels


def test_estimated_calibrates_anew_for_a_new_model() -> None:
    policy = Estimated(threshold=None)
    policy.decide(view_of(0, probabilities=confident(0.5), reference=CALIBRATED))
    perfect = replace(CALIBRATED, labels=np.zeros(WINDOW, dtype=np.int64))
    after = policy.decide(view_of(1, probabilities=confident(0.5), reference=perfect))
    assert after.estimate == pytest.approx(1.0)


def gaussian(share: float, rng: np.random.Generator, size: int) -> tuple[Floats, Index]:
    """Classes N(-1, 1) and N(1, 1), a share of them 1, and the model trained on equal shares."""
    labels = (rng.random(size) < share).astype(np.int64)
    positive = expit(2 * rng.normal(2.0 * labels - 1, 1.0))
    return np.stack([1 - positive, positive], axis=1).astype(np.float32), labels


@pytest.fixture
def balanced() -> Reference:
    probabilities, labels = gaussian(0.5, np.random.default_rng(0), 2000)
    return Reference(
        inputs=np.zeros((2000, 1), dtype=np.float32), probabilities=probabilities, labels=labels
    )


def test_reweight_follows_the_classes(balanced: Reference) -> None:
    rng, policy = np.random.default_rng(1), Reweight(memory=2)
    factors, gained, lost = np.ones(2), [], []
    for window in range(20):
        own, labels = gaussian(0.95, rng, 1000)
        shown = adjusted(own, factors)
        gained.append((shown.argmax(1) == labels).mean())
        lost.append((own.argmax(1) == labels).mean())
        decision = policy.decide(view_of(window, probabilities=own, reference=balanced))
        assert not decision.retrain
        assert decision.class_weights is not None
        factors = decision.class_weights
        np.testing.assert_allclose(factors, [0.1, 1.9], atol=0.1)
    # Bayes accuracy: the threshold moves from 0 to -log(19)/2 = -1.472, so 0.95 x P(Z > -2.472) +
    # 0.05 x P(Z < -0.472) = 0.9595; without factors P(Z < 1) = 0.841.
    assert np.mean(gained[1:]) == pytest.approx(0.9595, abs=0.01)
    assert np.mean(lost) == pytest.approx(0.841, abs=0.01)
    assert "class 0 is" in decision.reason


def test_reweight_gives_no_factors_where_the_shift_cannot_be_estimated(
    balanced: Reference,
) -> None:
    policy = Reweight(memory=1)
    own, _ = gaussian(0.9, np.random.default_rng(2), 1000)
    policy.decide(view_of(0, probabilities=own, reference=balanced))
    constant = replace(balanced, probabilities=np.full((2000, 2), 0.5, dtype=np.float32))
    decision = policy.decide(view_of(1, probabilities=own, reference=constant))
    assert decision.class_weights is not None
    assert decision.class_weights.tolist() == [1.0, 1.0]
    assert "condition number" in decision.reason
    assert not Reweight.retrains


def test_cost_aware_retrains_when_errors_cost_as_much_as_a_retraining() -> None:
    policy = CostAware(min_labels=30)
    # 20 errors of 100 are 10 more than the target allows: 0.10 USD a window.
    views = [view_of(i, outcomes(20), retraining_usd=0.25) for i in range(3)]
    assert [policy.decide(view).retrain for view in views] == [False, False, True]
    after = policy.decide(view_of(3, outcomes(20), since=1, retraining_usd=0.25))
    assert not after.retrain
    assert after.reason == "avoidable errors: 0.1 USD; a retraining: 0.25 USD"


def test_cost_aware_charges_what_was_served_before_its_labels() -> None:
    policy = CostAware(min_labels=30)
    waiting = policy.decide(view_of(0, retraining_usd=0.15))
    assert (waiting.retrain, waiting.reason) == (False, "0 labels, fewer than 30")
    # The labels show 10% too many errors, of 200 predictions served: 0.20 USD.
    assert policy.decide(view_of(1, outcomes(20), retraining_usd=0.15)).retrain


def test_cost_aware_charges_nothing_for_a_model_on_target() -> None:
    policy = CostAware(min_labels=30)
    for window in range(10):
        assert not policy.decide(view_of(window, outcomes(10), retraining_usd=0.0)).retrain


def test_cost_aware_keeps_the_last_price_and_needs_one() -> None:
    policy = CostAware(min_labels=30)
    with pytest.raises(ValueError, match=r"policy=cost_aware: .* set retrain.usd"):
        policy.decide(view_of(0, outcomes(20)))
    policy.decide(view_of(0, outcomes(20), retraining_usd=0.15))
    assert policy.decide(view_of(1, outcomes(20))).retrain
    assert CostAware.needs_error_price


def test_cost_aware_charges_nothing_for_what_it_cannot_see() -> None:
    decision = CostAware(min_labels=1).decide(
        view_of(0, outcomes(50, least_propensity=0.0), retraining_usd=0.01)
    )
    assert not decision.retrain
    assert "never be seen" in decision.reason


def test_the_oracle_follows_its_schedule() -> None:
    policy = Oracle(matrix=None, objective="cost")
    with pytest.raises(ValueError, match="policy=oracle: has no schedule"):
        policy.decide(view_of(0))
    policy.set_schedule([1, 3])
    decided = [policy.decide(view_of(window)).retrain for window in range(5)]
    assert decided == [False, True, False, True, False]


def test_the_oracle_of_energy_needs_no_price_of_errors() -> None:
    assert Oracle(matrix=None, objective="cost").needs_error_price
    assert not Oracle(matrix=None, objective="energy").needs_error_price
    with pytest.raises(ValueError, match=r"policy.objective=joules: must be one of cost, energy"):
        Oracle(matrix=None, objective="joules")


@pytest.mark.parametrize(
    ("policy", "key"),
    [(Estimated, "threshold"), (Reweight, "memory"), (CostAware, "min_labels")],
)
def test_a_key_out_of_range_is_named(policy: Callable[..., Policy], key: str) -> None:
    with pytest.raises(ValueError, match=f"policy.{key}=0: must be"):
        policy(**{key: 0})


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (config_dir() / group).glob("*.yaml"))


@pytest.mark.parametrize("option", options("policy"))
def test_every_option_makes_the_policy_of_its_name(option: str) -> None:
    register()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        own = ["policy._target_=bench.drift.policies.periodic.Never"] * (option == "custom")
        composed = compose("maintain", overrides=[f"policy={option}", *own])
    policy = instantiate(composed.policy)
    assert isinstance(policy, Policy)
    assert policy.name == ("never" if option == "custom" else option)
