"""Detectors that compare windows with the reference: valid p-values, power, corrections."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, fisher_exact, ks_2samp

from bench.core.arrays import Floats
from bench.drift.detectors.batch import BatchDetector, best_p
from bench.drift.detectors.columns import Columns, ks_distance
from bench.drift.detectors.two_sample import BlackBoxShift, TwoSample
from bench.drift.samples import Floats as Singles
from tests.drift.detecting import ALPHA, first_alarm, reference_of, served_of, start

REFERENCE, WINDOW, WINDOWS = 200, 100, 25
STREAMS = 50
# Exceeded with a probability below 0.0005 if alpha holds; benchmarks/drift_power.py has 200.
MOST = int(binom.isf(0.0005, STREAMS, ALPHA))


def rng_of(seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, 7])


def table(rng: np.random.Generator, num: int) -> Singles:
    """Two columns of numbers, one of them with ties, and two of 0 and 1, one of them rare."""
    shares = rng.random((num, 2)) < (0.3, 0.01)
    columns = (rng.normal(size=num), rng.integers(0, 5, num), shares)
    return np.column_stack(columns).astype(np.float32)


def softmax(rng: np.random.Generator, num: int, shift: float = 0.0) -> Singles:
    raw = np.exp(rng.normal(size=(num, 3)) * 2 + np.array([shift, 0.0, 0.0]))
    shown: Singles = (raw / raw.sum(1, keepdims=True)).astype(np.float32)
    return shown


def false_alarms(detector: BatchDetector) -> int:
    """Streams without a change that raise an alarm."""
    alarms = 0
    for seed in range(STREAMS):
        rng = rng_of(seed)
        reference = reference_of(table(rng, REFERENCE), softmax(rng, REFERENCE))
        start(detector, reference, windows=WINDOWS, window=WINDOW, seed=seed)
        stream = (
            served_of(WINDOW * look, table(rng, WINDOW), softmax(rng, WINDOW))
            for look in range(WINDOWS)
        )
        alarms += first_alarm(detector, stream) is not None
    return alarms


@pytest.mark.parametrize(
    "detector",
    [TwoSample(), BlackBoxShift(), BlackBoxShift(outputs="classes")],
    ids=["two_sample", "bbsd", "bbsd of classes"],
)
def test_false_alarms_stay_below_alpha_over_columns_and_windows(detector: BatchDetector) -> None:
    """Without a correction over windows, most of these streams would raise an alarm."""
    assert false_alarms(detector) <= MOST


def celsius(values: Floats) -> Floats:
    """Standardised Fahrenheit with mean 55 and deviation 18, sent as Celsius."""
    return ((values * 18 + 55 - 32) / 1.8 - 55) / 18


@pytest.mark.parametrize("fault", ["celsius", "missing"])
def test_a_fault_of_one_input_of_ten_is_found_within_a_window(fault: str) -> None:
    found = 0
    for seed in range(40):
        rng = rng_of(seed)
        detector = TwoSample()
        reference = reference_of(rng.normal(size=(1_000, 10)))
        start(detector, reference, seed=seed)
        inputs = rng.normal(size=(200, 10))
        inputs[:, 3] = celsius(inputs[:, 3]) if fault == "celsius" else 0.0  # filled by the mean
        found += detector.update(served_of(0, inputs)).alarm == 199
    assert found >= 38


def test_label_shift_is_found_in_the_answers() -> None:
    for outputs in ("probabilities", "classes"):
        rng = rng_of(0)
        detector = BlackBoxShift(outputs=outputs)
        reference = reference_of(np.zeros((500, 1)), softmax(rng, 500))
        start(detector, reference)
        changed = served_of(0, np.zeros((200, 1)), softmax(rng, 200, shift=2.0))
        assert detector.update(changed).alarm == 199


@pytest.mark.parametrize(("num", "kinds"), [(7, 3), (40, 1000), (200, 12)])
def test_the_distance_is_that_of_scipy(num: int, kinds: int) -> None:
    for seed in range(20):
        rng = rng_of(seed)
        before, now = np.sort(rng.integers(0, kinds, 60)), np.sort(rng.integers(0, kinds, num))
        expected = ks_2samp(before, now).statistic
        assert ks_distance(before.astype(np.float32), now.astype(np.float32)) == pytest.approx(
            expected
        )


def test_the_p_value_is_the_smallest_of_all_columns_times_their_number() -> None:
    rng = rng_of(3)
    before, now = table(rng, 150), table(rng, 80)
    columns = Columns(before)
    assert columns.num_tests == 2 + 2 * 2  # both values of the columns with two
    smallest = min(ks_2samp(before[:, each], now[:, each]).pvalue for each in (0, 1))
    assert columns.p_value(now[:, :4]) == pytest.approx(min(1.0, smallest * 6))
    now[:, 2] = 1 - now[:, 2]
    counts = [[(part[:, 2] == value).sum() for value in (0, 1)] for part in (before, now)]
    # Both values of the column have the same p-value; doubling is never below scipy's two sides.
    expected = 6 * fisher_exact(counts).pvalue
    assert expected <= columns.p_value(now) <= 2 * expected


def test_ties_make_p_values_larger_and_never_smaller() -> None:
    """Values that replace missing ones are ties; the share of p <= 0.05 must not exceed 0.05."""
    small = 0
    for seed in range(400):
        rng = rng_of(seed)
        ties = rng.integers(0, 4, (100, 1)).astype(np.float32)
        small += Columns(ties[:60]).p_value(ties[60:]) <= 0.05
    assert small <= binom.isf(0.0005, 400, 0.05)


def test_a_constant_input_that_moves_is_found_and_a_third_value_too() -> None:
    constant = Columns(np.ones((100, 1), dtype=np.float32))
    assert constant.p_value(np.ones((50, 1), dtype=np.float32)) == 1.0
    assert constant.p_value(np.zeros((50, 1), dtype=np.float32)) < 1e-6
    half = np.repeat([[0.0], [1.0]], 50, axis=0).astype(np.float32)
    assert Columns(half).p_value(np.where(half > 0, 2.0, 0.0).astype(np.float32)) < 1e-6


def test_two_classes_are_tested_once() -> None:
    detector = BlackBoxShift()
    shares = rng_of(1).random(50)
    reference = reference_of(np.zeros((50, 1)), np.column_stack([shares, 1 - shares]))
    start(detector, reference, windows=2)
    now = np.column_stack([shares, 1 - shares])[:20]
    expected = ks_2samp(shares.astype(np.float32), shares[:20].astype(np.float32)).pvalue
    assert detector.update(served_of(0, np.zeros((20, 1)), now)).statistic == expected


@pytest.mark.parametrize("detector", [TwoSample(), BlackBoxShift()])
def test_samples_that_can_never_raise_an_alarm_are_refused(detector: BatchDetector) -> None:
    """3 held-out samples and a window of 5: the smallest p-value is 2/56 > 0.05/25."""
    assert best_p(3, 5) == 1 / 56
    shown = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])
    words = f"detector={detector.name}: 3 held-out samples and windows of 5 .*initial_samples"
    with pytest.raises(ValueError, match=words):
        start(detector, reference_of(np.arange(3.0)[:, None], shown), window=5)


def test_unknown_outputs_are_refused() -> None:
    with pytest.raises(ValueError, match=r"detector\.outputs=logits: must be probabilities or cl"):
        BlackBoxShift(outputs="logits")
