"""Detectors that learn what is usual: a classifier, a conformal martingale, and CBPE."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, kstest

from bench.core.arrays import Floats
from bench.drift.detectors.base import Reference
from bench.drift.detectors.batch import BatchDetector
from bench.drift.detectors.betting import Wealth
from bench.drift.detectors.c2st import ClassifierTwoSample
from bench.drift.detectors.cbpe import EstimatedAccuracy
from bench.drift.detectors.ctm import ConformalMartingale
from bench.drift.samples import Floats as Singles
from tests.drift.detecting import (
    ALPHA,
    first_alarm,
    reference_of,
    served_of,
    start,
)

LOOKS = 150
STREAMS = 50
# Exceeded with a probability below 0.0005 if alpha holds; benchmarks/drift_power.py has 200.
MOST = int(binom.isf(0.0005, STREAMS, ALPHA))


def confidences(rng: np.random.Generator, num: int, mean: float = 0.9) -> Singles:
    """Probabilities of two classes; the first one is predicted."""
    high = 0.5 + 0.5 * rng.beta(8 * (2 * mean - 1), 8 * (2 - 2 * mean), num)
    return np.column_stack([high, 1 - high]).astype(np.float32)


def calibrated(rng: np.random.Generator, num: int) -> Reference:
    """A reference whose model is right as often as it says."""
    shown = confidences(rng, num)
    labels = (rng.random(num) > shown[:, 0]).astype(np.int64)
    inputs = rng.normal(size=(num, 3)).astype(np.float32)
    return Reference(inputs=inputs, probabilities=shown, labels=labels)


@pytest.mark.parametrize("detector", [ClassifierTwoSample(), EstimatedAccuracy()])
def test_p_values_are_small_no_more_often_than_they_say(detector: BatchDetector) -> None:
    """With this, Bonferroni bounds the false alarms of a stream, however its tests depend."""
    p_values = []
    for seed in range(LOOKS):
        rng = np.random.default_rng([seed, 11])
        start(detector, calibrated(rng, 60), windows=1, window=30, seed=seed)
        found = detector.update(served_of(0, rng.normal(size=(30, 3)), confidences(rng, 30)))
        assert found.statistic is not None
        assert (found.alarm is None) == (found.statistic > ALPHA)
        p_values.append(found.statistic)
    for level in (0.01, 0.05, 0.2):
        assert np.sum(np.array(p_values) <= level) <= binom.isf(0.0005, LOOKS, level)


def test_a_classifier_finds_a_change_of_two_inputs_together() -> None:
    """Each mean moves by 0.7 deviations, which no single one of two windows of 80 shows well."""
    rng = np.random.default_rng([0, 12])
    detector = ClassifierTwoSample()
    start(detector, reference_of(rng.normal(size=(400, 5))), window=80)
    same = detector.update(served_of(0, rng.normal(size=(80, 5))))
    means = np.array([0.7, 0.7, 0, 0, 0])
    moved = detector.update(served_of(80, rng.normal(means, size=(80, 5))))
    assert (same.alarm, moved.alarm) == (None, 159)


def test_estimated_accuracy_falls_under_covariate_shift_and_is_blind_to_concept_drift() -> None:
    rng = np.random.default_rng([0, 13])
    detector = EstimatedAccuracy()
    start(detector, calibrated(rng, 500))
    # Concept drift changes labels, which this detector never sees: the same as no change.
    assert detector.update(served_of(0, np.zeros((200, 3)), confidences(rng, 200))).alarm is None
    better = served_of(200, np.zeros((200, 3)), confidences(rng, 200, mean=0.97))
    assert detector.update(better).alarm is None
    worse = served_of(400, np.zeros((200, 3)), confidences(rng, 200, mean=0.8))
    assert detector.update(worse).alarm == 599


def scores(rng: np.random.Generator, num: int) -> Floats:
    return rng.normal(size=(num, 1))


def test_false_alarms_of_a_conformal_martingale_stay_below_alpha() -> None:
    """A fixed reference of 100 would raise an alarm in 45% of longer streams; this one grows."""
    alarms, detector = 0, ConformalMartingale(score="distance")
    for seed in range(STREAMS):
        rng = np.random.default_rng([seed, 14])
        start(detector, reference_of(scores(rng, 100)), windows=5, window=150, seed=seed)
        stream = (served_of(150 * look, scores(rng, 150)) for look in range(5))
        alarms += first_alarm(detector, stream) is not None
    assert alarms <= MOST


def test_p_values_of_a_conformal_martingale_are_uniform_and_the_reference_grows() -> None:
    """Ranks among all scores so far are uniform, ties or not: Vovk et al., Proposition 2.8."""
    rng = np.random.default_rng([0, 15])
    detector = ConformalMartingale(score="distance")
    ties = rng.integers(0, 4, (1_040, 1)).astype(float)
    start(detector, reference_of(ties[:40]))
    p_values = detector._p_values([float(value) for value in ties[40:, 0]])
    assert kstest(p_values, "uniform").pvalue > 0.001
    assert len(detector._seen) == 1_040
    assert detector._seen == sorted(detector._seen)


def test_a_change_of_one_deviation_is_found_in_both_scores() -> None:
    rng = np.random.default_rng([0, 16])
    inputs, shown = np.full((1_000, 1), 1.0) + 0.1 * scores(rng, 1_000), confidences(rng, 1_000)
    now = confidences(rng, 200, mean=0.75)
    for score in ("distance", "confidence"):
        detector = ConformalMartingale(score=score)
        start(detector, reference_of(inputs, shown), windows=10)
        same = served_of(0, inputs[:200][::-1], confidences(rng, 200))
        assert detector.update(same).alarm is None
        assert detector.update(served_of(200, inputs[:200] + 0.1, now)).alarm == 399


def test_the_bets_are_those_of_crepes() -> None:
    """With one start, the mixture is the SimpleJumper of crepes."""
    martingales = pytest.importorskip("crepes.martingales")
    p_values = np.random.default_rng(17).random(300) ** 1.5
    wealth = Wealth(5, horizon=1, jump=0.01)
    bets = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    ours = [float(wealth.bet(1 + bets * (value - 0.5))) for value in p_values]
    assert ours == pytest.approx(martingales.SimpleJumper(J=0.01).apply(p_values))


@pytest.mark.parametrize("num", [1, 2, 3])
@pytest.mark.parametrize(
    "detector", [ClassifierTwoSample(), EstimatedAccuracy(), ConformalMartingale()]
)
def test_a_stretch_may_be_short(detector: BatchDetector | ConformalMartingale, num: int) -> None:
    """A swap of models in the middle of a window leaves the new one few predictions in it."""
    rng = np.random.default_rng([0, 20])
    start(detector, calibrated(rng, 500))
    stretch = served_of(0, rng.normal(size=(num, 3)), confidences(rng, num))
    assert detector.update(stretch).alarm is None


@pytest.mark.parametrize("detector", [ClassifierTwoSample(), EstimatedAccuracy()])
@pytest.mark.parametrize("num", [1, 2])
def test_too_small_a_reference_is_refused(detector: BatchDetector, num: int) -> None:
    """One sample to compare with 20 or 10 others: the smallest p-value is 1/21 or 1/11 > 0.002."""
    words = f"detector={detector.name}: {num} held-out samples .*initial_samples"
    with pytest.raises(ValueError, match=words):
        start(detector, calibrated(np.random.default_rng([0, 18]), num), window=20)


def test_an_unknown_score_is_refused() -> None:
    with pytest.raises(ValueError, match=r"detector\.score=loss: must be confidence or distance"):
        ConformalMartingale(score="loss")


@pytest.mark.parametrize(
    "detector", [ClassifierTwoSample(), EstimatedAccuracy(), ConformalMartingale()]
)
def test_the_same_seed_gives_the_same_bits(
    detector: BatchDetector | ConformalMartingale,
) -> None:
    rng = np.random.default_rng([0, 19])
    reference, inputs, shown = calibrated(rng, 100), scores(rng, 50), confidences(rng, 50)
    found = []
    for seed in (0, 0, 1):
        start(detector, reference, windows=3, seed=seed)
        found.append(detector.update(served_of(0, np.tile(inputs, 3), shown)).statistic)
    assert found[0] == found[1] != found[2]
