"""Detectors that watch errors: false alarms, delays, and labels that are seen by chance."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom

from bench.core.arrays import Bools, Floats
from bench.core.errors import LibraryMissing
from bench.drift.detectors.base import Detector, alpha_of_start
from bench.drift.detectors.betting import Wealth
from bench.drift.detectors.error_eprocess import ErrorEprocess, error_bound, growth_bets
from bench.drift.detectors.river_detectors import Adwin, Ddm, PageHinkley, RiverDetector
from tests.drift.detecting import (
    ALPHA,
    MOST_OF_200,
    first_alarm,
    outcomes_of,
    reference_with,
    served_of,
    start,
    stretches_of,
)

STREAMS, PREDICTIONS, CHANGE = 200, 5_000, 2_500
ADWIN = {"delta": 0.002, "clock": 32, "max_buckets": 5, "min_window_length": 5, "grace_period": 10}


def errors_of(seed: int, *, after: float, before: float = 0.05) -> Bools:
    """Errors of all streams, whose probability changes in the middle."""
    draws = np.random.default_rng([seed, 1]).random((STREAMS, PREDICTIONS))
    return draws < np.where(np.arange(PREDICTIONS) < CHANGE, before, after)


def bases_of(seed: int, num_reference: int, tolerance: float = 0.0) -> Floats:
    """What the detector would take as the highest usual error in each stream."""
    counts = np.random.default_rng([seed, 2]).binomial(num_reference, 0.05, STREAMS)
    return np.array([error_bound(num, num_reference, ALPHA / 2) for num in counts]) + tolerance


def alarms_of(errors: Bools, bases: Floats) -> Floats:
    """The prediction after which each stream raises an alarm, all streams at once; inf: none."""
    bets = np.stack([growth_bets(base) for base in bases])
    wealth = Wealth(bets.shape[1], horizon=errors.shape[1])
    alarms = np.full(len(errors), np.inf)
    for step in range(errors.shape[1]):
        money = wealth.bet(1 + (errors[:, step] - bases)[:, None] * bets)
        alarms[(money >= 2 / ALPHA) & np.isinf(alarms)] = step
    return alarms


@pytest.mark.parametrize("num_reference", [360, 1_000])
def test_false_alarms_of_the_eprocess_stay_below_alpha(num_reference: int) -> None:
    alarms = alarms_of(errors_of(num_reference, after=0.05), bases_of(0, num_reference))
    assert np.isfinite(alarms).sum() <= MOST_OF_200


def test_the_mean_wealth_is_one_as_long_as_nothing_changes() -> None:
    """Over all sequences of 10 errors, each with its probability if the error is the base."""
    base, num = 0.3, 10
    errors = np.arange(2**num)[:, None] >> np.arange(num) & 1
    chance = np.prod(np.where(errors, base, 1 - base), axis=1)
    wealth = Wealth(len(growth_bets(base)), horizon=7)
    for step in range(num):
        money = wealth.bet(1 + (errors[:, step, None] - base) * growth_bets(base))
        assert money @ chance == pytest.approx(1.0)


def test_a_rise_from_5_to_15_percent_is_found_soon() -> None:
    alarms = alarms_of(errors_of(2, after=0.15), bases_of(2, 1_000))
    delays = alarms[alarms >= CHANGE] - CHANGE
    assert np.isfinite(alarms).mean() >= 0.99
    assert (alarms < CHANGE).sum() <= MOST_OF_200
    assert np.median(delays) <= 260


def test_a_rise_below_the_tolerance_is_no_alarm() -> None:
    errors = errors_of(3, after=0.06)
    assert np.isfinite(alarms_of(errors, bases_of(3, 1_000, tolerance=0.03))).sum() <= MOST_OF_200


@pytest.mark.parametrize("window", [1, 50, 333])
def test_the_class_computes_what_the_recursion_does(window: int) -> None:
    errors = errors_of(4, after=0.15)[0]
    detector = ErrorEprocess(tolerance=0.01)
    windows = -(-PREDICTIONS // window)
    start(detector, reference_with(50, 1_000), windows=windows, window=window)
    base = error_bound(50, 1_000, ALPHA / 2) + 0.01
    bets = growth_bets(base)
    wealth = Wealth(len(bets), horizon=windows * window)
    money = np.array([wealth.bet(1 + (error - base) * bets) for error in errors])
    alarm = int(np.argmax(money >= 2 / ALPHA))
    end = (alarm // window + 1) * window - 1
    assert first_alarm(detector, stretches_of(errors, window)) == min(end, PREDICTIONS - 1)


def test_wealth_is_the_sum_over_all_starts() -> None:
    """By its definition: 3 starts of 1/3 each; payoffs 2, 3, 5 give (30 + 15 + 5)/3."""
    wealth = Wealth(1, horizon=3)
    money = [float(wealth.bet(np.array([payoff]))) for payoff in (2.0, 3.0, 5.0)]
    assert money == pytest.approx([2 / 3 + 2 / 3, (6 + 3) / 3 + 1 / 3, (30 + 15 + 5) / 3])
    assert float(wealth.bet(np.array([0.5]))) == pytest.approx(25 / 3)  # nobody begins any more


def test_a_bet_is_the_likelihood_ratio_of_its_odds() -> None:
    base, factor = 0.2, 2.0  # odds 1/4 become 1/2: a probability of 1/3
    bet = growth_bets(base)[2]
    assert 1 + bet * (1 - base) == pytest.approx((1 / 3) / base)
    assert 1 + bet * (0 - base) == pytest.approx((2 / 3) / (1 - base))
    assert factor * base / (1 - base) == 0.5


def test_the_bound_covers_the_error() -> None:
    """By its definition: at the bound, seeing at most this number has a probability of alpha."""
    bound = error_bound(7, 100, 0.025)
    assert binom.cdf(7, 100, bound) == pytest.approx(0.025)
    assert error_bound(0, 10, 0.05) == pytest.approx(1 - 0.05 ** (1 / 10))
    assert error_bound(3, 3, 0.05) == 1.0


def selected(seed: int, rate: float) -> tuple[Bools, Floats, Bools]:
    """Errors where half of the predictions are seen by 20%, and these are wrong twice as often."""
    rng = np.random.default_rng([seed, 3])
    is_rare = rng.random((STREAMS, PREDICTIONS)) < 0.5
    errors = rng.random(is_rare.shape) < rate * np.where(is_rare, 4 / 3, 2 / 3)
    propensities = np.where(is_rare, 0.2, 1.0)
    return errors, propensities, rng.random(is_rare.shape) < propensities


@pytest.mark.parametrize(("rate", "least", "most"), [(0.15, 0, MOST_OF_200), (0.25, 190, 200)])
def test_labels_seen_by_chance_are_weighted(rate: float, least: int, most: int) -> None:
    """Unweighted, the labels that are seen would show too few errors: 0.125 for 0.15."""
    errors, propensities, is_seen = selected(5, rate)
    weights = is_seen * 0.2 / propensities
    bets = growth_bets(0.15)
    wealth = Wealth(len(bets), horizon=PREDICTIONS)
    peak = np.zeros(STREAMS)
    for step in range(PREDICTIONS):
        surplus = weights[:, step] * (errors[:, step] - 0.15)
        peak = np.maximum(peak, wealth.bet(1 + surplus[:, None] * bets))
    assert least <= (peak >= 1 / ALPHA).sum() <= most


def test_payoffs_of_labels_seen_by_chance() -> None:
    detector = ErrorEprocess()
    start(detector, reference_with(50, 1_000))
    errors = np.array([True, False, True])
    equal = detector.payoffs(outcomes_of(errors))
    rare = outcomes_of(errors, propensities=np.array([0.2, 1.0, 1.0]), least=0.2)
    assert detector.payoffs(rare) - 1 == pytest.approx((equal - 1) * [[1.0], [0.2], [0.2]])
    assert (detector.payoffs(rare) > 0).all()


@pytest.mark.parametrize(
    ("propensities", "least", "words"),
    [
        ([1.0], 0.0, "never become known.*labels.held_out"),
        ([0.1], 0.5, "probability 0.1, but the least is 0.5"),
    ],
)
def test_labels_that_say_nothing_of_the_error_are_refused(
    propensities: list[float], least: float, words: str
) -> None:
    detector = ErrorEprocess()
    start(detector, reference_with(5, 100))
    outcomes = outcomes_of(np.array([True]), propensities=np.array(propensities), least=least)
    with pytest.raises(ValueError, match=f"detector=error_eprocess: .*{words}"):
        detector.update(served_of(0, np.zeros((10, 1)), outcomes=outcomes))


def test_a_reference_that_allows_any_error_is_refused() -> None:
    with pytest.raises(ValueError, match=r"detector=error_eprocess: the 10 held-out .*initial_sam"):
        start(ErrorEprocess(tolerance=0.5), reference_with(5, 10))
    with pytest.raises(ValueError, match=r"detector\.tolerance=-1: "):
        ErrorEprocess(tolerance=-1)


def test_a_model_that_is_always_wrong_does_not_overflow() -> None:
    detector = ErrorEprocess()
    start(detector, reference_with(5, 1_000), windows=2, window=5_000)
    errors = np.ones(5_000, dtype=bool)
    found = detector.update(served_of(0, np.zeros((5_000, 1)), outcomes=outcomes_of(errors)))
    assert found.alarm == 4_999
    assert found.statistic is not None
    assert 2 / ALPHA <= found.statistic < 100 * 2 / ALPHA  # the step that reached the threshold


def test_without_labels_there_is_no_alarm() -> None:
    detector = ErrorEprocess()
    start(detector, reference_with(5, 100))
    found = detector.update(served_of(0, np.zeros((10, 1))))
    assert (found.alarm, found.statistic, found.threshold) == (None, 1.0, 2 / ALPHA)


def test_shares_of_alpha_add_up_to_alpha() -> None:
    shares = [alpha_of_start(ALPHA, each) for each in range(1, 100_001)]
    assert sum(shares) == pytest.approx(ALPHA, rel=1e-4)
    assert sum(shares) < ALPHA


def test_adwin_is_as_fast_as_was_measured() -> None:
    pytest.importorskip("river")
    errors = errors_of(6, after=0.15)[:8]
    delays = []
    for one in errors:
        detector = Adwin(**ADWIN)
        start(detector, reference_with(5, 100), windows=500, window=10)
        alarm = first_alarm(detector, stretches_of(one, 10))
        assert alarm is not None
        delays.append(alarm - CHANGE)
    assert 0 < np.median(delays) <= 350


@pytest.mark.parametrize(
    ("detector", "words"),
    [
        (Ddm(warm_start=30, warning_threshold=2.0, drift_threshold=3.0), "river.drift.binary"),
        (PageHinkley(min_instances=30, threshold=5.0), "river.drift"),
    ],
)
def test_detectors_of_river_are_their_own(detector: RiverDetector, words: str) -> None:
    """After the alarm, a start forgets everything."""
    pytest.importorskip("river")
    assert detector.needs_labels
    assert not detector.is_controlled
    assert detector.river_class.rpartition(".")[0] == words
    errors = np.arange(400) >= 200
    alarms = []
    for _ in range(2):
        start(detector, reference_with(5, 100), windows=40, window=10)
        alarms.append(first_alarm(detector, stretches_of(errors, 10)))
    assert alarms[0] == alarms[1]
    assert alarms[0] is not None
    assert 200 < alarms[0] < 250


@pytest.mark.parametrize(
    ("detector", "key", "value"),
    [(PageHinkley, "mode", "sideways"), (Adwin, "clock", 0), (Ddm, "warm_start", -1)],
)
def test_a_setting_out_of_range_is_named(
    detector: Callable[..., Detector], key: str, value: object
) -> None:
    """river itself would crash with clock=0, and take the others as they are."""
    with pytest.raises(ValueError, match=f"detector.{key}={value}: must be "):
        detector(**{key: value})


def test_missing_river_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "river.drift", None)
    with pytest.raises(LibraryMissing, match=r"detector=adwin: river is not .*extra 'maintain'"):
        start(Adwin(**ADWIN), reference_with(5, 100))
