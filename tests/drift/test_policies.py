"""What each policy decides, from what it can see."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.drift.detectors.base import Detection, Outcomes, Reference, Served
from bench.drift.policies.base import View
from bench.drift.policies.performance import Performance
from bench.drift.policies.periodic import Every, Never
from bench.drift.samples import Floats

WINDOW = 100


def outcomes(
    num_errors: int, num_labels: int = WINDOW, propensities: NDArray[np.float64] | None = None
) -> Outcomes:
    return Outcomes(
        predictions=np.arange(num_labels),
        errors=np.arange(num_labels) < num_errors,
        propensities=np.ones(num_labels) if propensities is None else propensities,
    )


def view_of(
    window: int = 0,
    known: Outcomes | None = None,
    *,
    since: int | None = None,
    probabilities: Floats | None = None,
    reference: Reference | None = None,
    alarm: int | None = None,
    is_censored: bool = False,
    retraining_usd: float | None = None,
) -> View:
    """A view of a window of a stream whose target is 0.9; no retraining so far unless `since`."""
    shown = np.full((WINDOW, 2), 0.5, dtype=np.float32) if probabilities is None else probabilities
    return View(
        window=window,
        num_windows=20,
        target=0.9,
        served=Served(
            first=window * WINDOW,
            inputs=np.zeros((len(shown), 1), dtype=np.float32),
            probabilities=shown,
            outcomes=outcomes(0, 0) if known is None else known,
        ),
        reference=reference
        or Reference(
            inputs=np.zeros((2, 1), dtype=np.float32),
            probabilities=np.eye(2, dtype=np.float32),
            labels=np.arange(2),
        ),
        detection=Detection(alarm=alarm),
        num_new_labels=0,
        windows_since_retraining=window + 1 if since is None else since,
        error_price_usd=0.01,
        retraining_usd=retraining_usd,
        is_censored=is_censored,
    )


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
    decision = policy.decide(view_of(0, outcomes(50), is_censored=True))
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
