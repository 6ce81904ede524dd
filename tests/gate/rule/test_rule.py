from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest

from bench.core.metric import Metric
from bench.core.stats.ranks import holm
from bench.gate.model import GateRow, RowValues
from bench.gate.rule.rule import judge
from tests.gate.made_samples import RATE, TIME, samples

INF = float("inf")
STEPS = replace(TIME, name="steps", unit="", kind="exact", least_effect_frac=0.0)
ACCURACY = replace(STEPS, name="accuracy", better="max", least_effect_frac=0.01)

# Eight runs within 1% of 100; all of one side beyond the other has p = 1 / (16 choose 8).
STEADY = [99.6, 99.8, 99.9, 100.0, 100.1, 100.2, 100.3, 100.5]


def scaled(factor: float, values: Sequence[float] = STEADY) -> list[float]:
    return [factor * value for value in values]


def only(each: RowValues, alpha: float = 0.05) -> GateRow:
    (row,) = judge([each], alpha=alpha)
    return row


def test_a_loss_with_effect_and_evidence_is_a_regression() -> None:
    row = only(samples(STEADY, scaled(1.1)))
    assert row.verdict == "regression"
    assert row.loss_frac == pytest.approx(0.1)
    assert row.base == pytest.approx(100.05)  # midway between the fourth and the fifth
    assert row.candidate == pytest.approx(110.055)
    assert row.p == row.p_holm == pytest.approx(1 / math.comb(16, 8))
    assert (row.num_base, row.num_candidate, row.kind) == (8, 8, "measured")
    assert row.ratio is not None
    assert row.ratio.value == pytest.approx(1.1)
    assert row.threshold_frac == 0.05
    assert row.more_runs is None


def test_evidence_without_effect_and_effect_without_evidence_are_no_change() -> None:
    small = only(samples(STEADY, scaled(1.04)))
    assert small.verdict == "no change"
    assert small.p == pytest.approx(1 / math.comb(16, 8))
    # The medians are 15% apart; 3 of the 8 are no worse than most of the base.
    noisy = only(
        samples([90, 95, 99, 100, 101, 120, 130, 140], [80, 85, 90, 114, 117, 121, 122, 125])
    )
    assert noisy.verdict == "no change"
    assert noisy.loss_frac == pytest.approx(115.5 / 100.5 - 1)
    assert noisy.p is not None
    assert noisy.p > 0.05


def test_a_rate_is_worse_when_it_falls() -> None:
    assert only(samples(STEADY, scaled(0.9), RATE)).loss_frac == pytest.approx(0.1)
    assert only(samples(STEADY, scaled(0.9), RATE)).verdict == "regression"
    assert only(samples(STEADY, scaled(1.1), RATE)).verdict == "improvement"


def test_improvements_are_a_separate_family_of_tests() -> None:
    """p is that of a regression throughout: 1, as every arrangement is at least as good."""
    better, worse = judge([samples(STEADY, scaled(0.9)), samples(STEADY, scaled(1.1))])
    assert (better.verdict, worse.verdict) == ("improvement", "regression")
    assert better.loss_frac == pytest.approx(-0.1)
    assert (better.p, better.p_holm) == (1.0, 1.0)
    assert better.note == "better with p 7.8e-05 before Holm"  # 1/12870


def test_an_effect_of_exactly_the_least_counts_however_it_is_rounded() -> None:
    metric = replace(RATE, least_effect_frac=0.1)
    assert 1 - 0.9 < 0.1  # in floating point
    assert only(samples([1.0] * 8, [0.9] * 8, metric)).verdict == "regression"


def test_the_noise_floor_raises_the_least_effect_of_measured_metrics_only() -> None:
    row = only(samples(STEADY, scaled(1.1), floor_frac=0.12))
    assert (row.verdict, row.threshold_frac) == ("no change", 0.12)
    assert only(samples(STEADY, scaled(1.1), floor_frac=0.01)).threshold_frac == 0.05
    exact = only(samples([100], [101], STEPS, floor_frac=0.12))
    assert (exact.verdict, exact.threshold_frac) == ("regression", 0.0)


def test_a_least_effect_in_the_unit_of_the_metric_counts_where_it_is_the_larger() -> None:
    """Of a base of 100.05, whose share of 5% is 5."""
    row = only(samples(STEADY, scaled(1.1), replace(TIME, least_effect_abs=20.0)))
    assert row.verdict == "no change"
    assert row.threshold_frac == pytest.approx(20 / 100.05)
    row = only(samples(STEADY, scaled(1.1), replace(TIME, least_effect_abs=2.0)))
    assert (row.verdict, row.threshold_frac) == ("regression", 0.05)


def test_what_is_modelled_is_shown_and_never_judged() -> None:
    row = only(samples(STEADY, scaled(2.0), kind="modelled", note="label: modelled"))
    assert (row.verdict, row.kind, row.note) == ("not judged", "modelled", "label: modelled")
    assert (row.p, row.p_holm, row.smallest_seen_frac) == (None, None, None)
    assert row.loss_frac == pytest.approx(1.0)
    assert row.ratio is not None


# Exact metrics.


@pytest.mark.parametrize(
    ("base", "candidate", "metric", "verdict", "loss_frac"),
    [
        ([1000], [1000], STEPS, "no change", 0.0),
        ([1000], [1001], STEPS, "regression", 0.001),
        ([1000], [900], STEPS, "improvement", -0.1),
        ([0.96], [0.955], ACCURACY, "no change", 1 - 0.955 / 0.96),
        ([0.96], [0.94], ACCURACY, "regression", 1 - 0.94 / 0.96),
        ([0.90], [0.95], ACCURACY, "improvement", 1 - 0.95 / 0.90),
    ],
)
def test_exact_metrics_are_judged_from_one_run_on(
    base: list[float], candidate: list[float], metric: Metric, verdict: str, loss_frac: float
) -> None:
    row = only(samples(base, candidate, metric))
    assert (row.verdict, row.kind) == (verdict, "exact")
    assert row.loss_frac == pytest.approx(loss_frac)
    assert (row.p, row.p_holm, row.more_runs) == (None, None, None)
    assert row.smallest_seen_frac == metric.least_effect_frac


def test_an_exact_metric_that_differs_between_runs_of_one_side_is_measured() -> None:
    row = only(samples([100, 100, 101, 100, 100], [100] * 5, STEPS, floor_frac=0.02))
    assert (row.kind, row.verdict) == ("measured", "no change")
    assert row.note == "differs between runs of one revision: judged as measured"
    assert row.threshold_frac == 0.02
    assert row.p is not None
    few = only(samples([100, 101], [200, 200], STEPS))
    assert (few.verdict, few.more_runs) == ("underpowered", 3)


def test_seeds_may_differ_in_an_exact_metric() -> None:
    seeds = [0, 1, 1]
    row = only(samples([100, 300, 300], [100, 300, 300], STEPS, seeds=seeds))
    assert (row.verdict, row.kind, row.loss_frac) == ("no change", "exact", 0.0)
    all_worse = only(samples([100, 300, 300], [110, 330, 330], STEPS, seeds=seeds))
    assert (all_worse.verdict, all_worse.kind) == ("regression", "exact")
    assert all_worse.loss_frac == pytest.approx(0.1)


def test_a_loss_of_one_seed_is_a_loss_though_the_medians_are_equal() -> None:
    row = only(samples([100, 200, 300], [100, 200, 330], STEPS, seeds=[0, 1, 2]))
    assert (row.verdict, row.kind) == ("regression", "exact")
    assert row.loss_frac == pytest.approx(0.1)
    assert row.note == "the medians hardly differ: the loss is that of one seed"
    gain = only(samples([100, 200, 300], [100, 200, 270], STEPS, seeds=[0, 1, 2]))
    assert gain.verdict == "improvement"
    # The median has lost 0.1%, where 1% is the least; one seed 44%.
    hidden = only(samples([0.9] * 3, [0.9, 0.899, 0.5], ACCURACY, seeds=[0, 1, 2]))
    assert hidden.verdict == "regression"
    assert hidden.loss_frac == pytest.approx(0.4 / 0.9)
    # Most seeds miss on both sides: the only one that hits takes twice as long.
    alone = only(samples([INF, INF, 100], [INF, INF, 200], STEPS, seeds=[0, 1, 2]))
    assert alone.verdict == "regression"
    assert alone.loss_frac == pytest.approx(1.0)


def test_an_exact_metric_with_losses_and_gains_is_measured() -> None:
    row = only(samples([100, 200], [110, 190], STEPS, seeds=[0, 1]))
    assert (row.kind, row.verdict) == ("measured", "underpowered")
    assert row.note == "losses in some seeds and gains in others: judged as measured"
    # None of them counts: 0.2% either way, where 1% is the least.
    small = only(samples([0.95, 0.96], [0.952, 0.958], ACCURACY, seeds=[0, 1]))
    assert (small.kind, small.verdict) == ("exact", "no change")


def test_an_exact_metric_whose_candidate_missed_is_a_regression() -> None:
    row = only(samples([1000], [INF], STEPS))
    assert (row.verdict, row.loss_frac, row.candidate) == ("regression", None, None)
    assert row.note == "runs that missed: base 0 of 1, candidate 1 of 1"


# Misses and zeros.


def test_misses_are_the_worst_of_all_ranks() -> None:
    """Six of eight candidates missed, so there is no median; two hit, above all of the base."""
    row = only(samples(STEADY, [110, 111, *[INF] * 6]))
    assert (row.verdict, row.loss_frac, row.candidate) == ("regression", None, None)
    assert row.note == "runs that missed: base 0 of 8, candidate 6 of 8"
    assert row.p == pytest.approx(1 / math.comb(16, 8))
    gain = only(samples([110, 111, *[INF] * 6], STEADY))
    assert (gain.verdict, gain.loss_frac, gain.base) == ("improvement", None, None)


def test_a_miss_of_the_base_weighs_on_the_evidence() -> None:
    """Ranks of the base: 1 to 7 and 16, 8 more than the least. Arrangements with at most 8 more are
    the partitions of 0, 1, ... 8: 1 + 1 + 2 + 3 + 5 + 7 + 11 + 15 + 22 = 67 of (16 choose 8).
    """
    row = only(samples([*STEADY[:7], INF], scaled(1.1)))
    assert row.verdict == "regression"
    assert row.p == pytest.approx(67 / 12870)
    assert row.loss_frac == pytest.approx(110.055 / 100.05 - 1)
    assert row.note == "runs that missed: base 1 of 8, candidate 0 of 8"


def test_if_most_runs_of_both_sides_missed_the_share_of_misses_is_the_effect() -> None:
    row = only(samples([1, 1.1, 1.2, 1.3, *[INF] * 4], [INF] * 8))
    # All 4 hits on the base's side: (12 choose 4) of (16 choose 8), as its other 4 are any.
    assert row.p == pytest.approx(math.comb(12, 4) / math.comb(16, 8))
    assert (row.verdict, row.loss_frac) == ("regression", None)
    same = only(samples([1, 1.1, *[INF] * 6], [1, 1.2, *[INF] * 6]))
    assert (same.verdict, same.loss_frac, same.smallest_seen_frac) == ("no change", None, None)


def test_a_rate_that_missed_is_the_worst_too() -> None:
    row = only(samples(STEADY, [-INF] * 8, RATE))
    assert (row.verdict, row.loss_frac) == ("regression", None)


def test_if_all_runs_missed_nothing_is_judged_and_no_test_counts() -> None:
    missed, worse = judge([samples([INF] * 8, [INF] * 8), samples(STEADY, scaled(1.1))])
    assert (missed.verdict, missed.note) == ("not judged", "all runs of both sides missed")
    assert (missed.p, missed.loss_frac, missed.base) == (None, None, None)
    assert worse.p_holm == worse.p
    exact = only(samples([INF], [INF], STEPS))
    assert (exact.verdict, exact.smallest_seen_frac) == ("not judged", None)


def test_two_zeros_are_equal_and_a_loss_from_zero_is_infinite() -> None:
    equal = only(samples([0.0] * 8, [0.0] * 8))
    assert (equal.verdict, equal.loss_frac, equal.base) == ("no change", 0.0, 0.0)
    assert equal.ratio is not None
    assert (equal.ratio.low, equal.ratio.high) == (1, 1)
    worse = only(samples([0.0] * 8, [1.0] * 8))
    assert (worse.verdict, worse.loss_frac) == ("regression", None)
    rate = only(samples([0.0] * 8, [1.0] * 8, RATE))
    assert (rate.verdict, rate.loss_frac) == ("improvement", None)
    assert only(samples([2.0] * 8, [0.0] * 8, RATE)).loss_frac == 1.0


def test_what_cannot_be_a_value_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="time_s of batch_size=32: a side has no runs"):
        judge([samples([], [1.0])])
    for wrong in (math.nan, -1.0):
        with pytest.raises(ValueError, match="time_s of batch_size=32: values must be numbers"):
            judge([samples([1.0], [wrong])])
    with pytest.raises(ValueError, match=r"alpha=1\.5: must be between 0 and 0\.5"):
        judge([], alpha=1.5)


# Seeds.


def test_seeds_are_not_noise() -> None:
    """A loss of 10% in each of eight seeds that are up to 8 times apart: 2^-8 with pairs."""
    base = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    hidden = only(samples(base, scaled(1.1, base)))
    assert (hidden.verdict, hidden.p is not None and hidden.p > 0.3) == ("no change", True)
    found = only(samples(base, scaled(1.1, base), seeds=range(8)))
    assert found.verdict == "regression"
    assert found.p == pytest.approx(2**-8)
    # Aligned, all of the base are 1/1.05 and all of the candidate 1.1/1.05.
    assert found.loss_frac == pytest.approx(0.1)
    assert found.ratio is not None
    assert (found.ratio.low, found.ratio.high) == pytest.approx((1.1, 1.1))
    assert (found.base, found.candidate) == pytest.approx((4.5, 4.95))  # as they were measured


def test_runs_are_never_exchanged_across_seeds() -> None:
    """Four repeats of two seeds: 1 / (4 choose 2)^2 at best, and not 1 / (8 choose 4) = 1/70."""
    seeds = [0, 0, 1, 1]
    row = only(samples([1, 1.01, 9, 9.01], [2, 2.01, 18, 18.01], seeds=seeds))
    assert row.p == pytest.approx(1 / 36)
    assert (row.verdict, row.more_runs) == ("underpowered", 1)  # of min_runs


def test_values_with_a_zero_are_not_aligned_yet_exchanged_within_seeds_only() -> None:
    base = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    row = only(samples(base, [value + 1 for value in base], seeds=range(6)))
    assert row.p == pytest.approx(2**-6)
    assert row.loss_frac == pytest.approx(3.5 / 2.5 - 1)


# Many metrics, and few runs.


def test_holm_by_hand() -> None:
    """Sorted 0.01, 0.02, 0.03, 0.5: times 4, 3, 2, 1, and never less than the one before."""
    assert holm([0.03, None, 0.01, 0.5, 0.02]) == pytest.approx([0.06, None, 0.04, 0.5, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_agrees_with_statsmodels() -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p_values = list(np.random.default_rng(0).uniform(0, 0.2, 12))
    assert holm(p_values) == pytest.approx(
        list(multitest.multipletests(p_values, method="holm")[1])
    )


def test_only_measured_rows_take_part_in_holm() -> None:
    rows = judge(
        [
            samples(STEADY, scaled(1.1)),
            samples([100], [101], STEPS),
            samples(STEADY, STEADY, kind="modelled"),
            samples(STEADY, STEADY),
        ]
    )
    assert [row.p_holm is None for row in rows] == [False, True, True, False]
    assert rows[0].p_holm == pytest.approx(2 / math.comb(16, 8))
    assert [row.verdict for row in rows] == ["regression", "regression", "not judged", "no change"]


@pytest.mark.parametrize(
    ("num", "num_metrics", "more_runs"),
    [
        (3, 1, 2),  # below min_runs
        (4, 1, 1),
        (5, 1, None),
        (5, 12, None),  # 12/252 = 0.048
        (5, 13, 1),  # 13/252 = 0.052, and 13/924 = 0.014
        (5, 50, 2),  # 50/924 = 0.054, and 50/3432 = 0.015
    ],
)
def test_too_few_runs_are_no_pass(num: int, num_metrics: int, more_runs: int | None) -> None:
    values = np.arange(100.0, 100.0 + num)
    rows = judge([samples(values, 2 * values)] * num_metrics)
    assert {row.more_runs for row in rows} == {more_runs}
    assert {row.verdict for row in rows} == {"underpowered" if more_runs else "regression"}


def test_a_loss_that_is_significant_before_the_correction_only_needs_more_runs() -> None:
    """Of 5 against 5 with a rank sum of 16 at p = 2/252, among seven metrics: 0.056 by Holm."""
    base, candidate = [1, 2, 3, 4, 6], [5, 17, 18, 19, 20]
    rows = judge([samples(base, candidate)] + [samples(STEADY, STEADY)] * 6)
    assert rows[0].p == pytest.approx(2 / 252)
    assert rows[0].p_holm == pytest.approx(14 / 252)
    assert rows[0].verdict == "underpowered"
    z = NormalDist().inv_cdf
    needed = 5 * (z(1 - 0.05 / 7) / z(1 - 2 / 252)) ** 2  # 5.17
    assert rows[0].more_runs == math.ceil(needed - 5) == 1
    assert rows[0].note == "if the effect stays as it is seen"


@pytest.mark.parametrize(("num_metrics", "verdict"), [(6, "underpowered"), (7, "no change")])
def test_a_loss_far_from_significant_in_its_family_is_no_change_and_is_reported(
    num_metrics: int, verdict: str
) -> None:
    """A rank sum of 17 of 5 against 5 has p = 4/252: 0.095 by Holm among six, 0.11 among seven."""
    base, candidate = [1, 2, 3, 4, 7], [5, 6, 17, 18, 19]
    rows = judge([samples(base, candidate)] + [samples(STEADY, STEADY)] * (num_metrics - 1))
    assert rows[0].p == pytest.approx(4 / 252)
    assert rows[0].p_holm == pytest.approx(num_metrics * 4 / 252)
    assert rows[0].verdict == verdict
    if verdict == "no change":
        assert rows[0].more_runs is None
        assert rows[0].note == "worse with p 0.016 before Holm, as one of 7 may be"


# The smallest loss that would have been found.


def test_the_smallest_visible_loss_is_the_least_effect_if_runs_are_steady() -> None:
    row = only(samples(STEADY, STEADY))
    assert (row.verdict, row.smallest_seen_frac) == ("no change", 0.05)
    assert only(samples(STEADY, STEADY, RATE)).smallest_seen_frac == 0.05
    # Any loss counts: the least that is tried, 0.01%.
    any_loss = replace(TIME, least_effect_frac=0.0)
    assert only(samples([1.0] * 8, [1.0] * 8, any_loss)).smallest_seen_frac == 1e-4


def test_the_smallest_visible_loss_separates_the_sides_if_all_runs_must_differ() -> None:
    """Twelve metrics, 5 against 5: only 1/252 reaches 0.05/12, so all of the candidate has to be
    above all of the base: 0.8 (1 + loss) > 1.3, a loss above 62.5% (that of a grid 3% apart).
    """
    values = [0.8, 0.9, 1.0, 1.2, 1.3]
    rows = judge([samples(values, values)] * 12)
    assert rows[0].verdict == "no change"
    assert 0.625 < (rows[0].smallest_seen_frac or 0) < 0.625 * 1.03
    # Of a rate, it is 1.3 (1 - loss) < 0.8: above 38.5%.
    rates = judge([samples(values, values, RATE)] * 12)
    assert 1 - 0.8 / 1.3 < (rates[0].smallest_seen_frac or 0) < (1 - 0.8 / 1.3) * 1.03


def test_the_smallest_loss_seen_does_not_depend_on_the_loss_there_is() -> None:
    values = [0.8, 0.9, 1.0, 1.2, 1.3]
    alike = only(samples(values, values)).smallest_seen_frac
    assert only(samples(values, scaled(1.04, values))).smallest_seen_frac == alike
    assert alike is not None


def test_a_spread_that_hides_even_a_tenfold_loss_is_not_a_pass() -> None:
    values = [1.0, 1.0, 1.0, 20.0, 20.0]
    row = judge([samples(values, values)] * 12)[0]
    assert (row.verdict, row.smallest_seen_frac) == ("underpowered", None)
    assert row.note == "its spread hides even a tenfold loss"


# The promise.


def test_false_alarms_of_a_whole_check_stay_below_alpha() -> None:
    """Two like sides of six runs, eight metrics with outliers that come together, any loss counts.

    At most alpha, and three standard errors of so many checks. Far fewer than without Holm.
    """
    rng, num = np.random.default_rng(7), 100
    any_loss = replace(TIME, least_effect_frac=0.0)
    alarms, unadjusted = 0, 0
    for _ in range(num):
        slow = np.where(rng.random((1, 12)) < 0.15, 4.0, 1.0)
        runs = slow * np.exp(0.1 * rng.standard_t(2, (8, 12)))
        rows = judge([samples(values[:6], values[6:], any_loss) for values in runs])
        alarms += any(row.verdict == "regression" for row in rows)
        unadjusted += any(row.p is not None and row.p <= 0.05 for row in rows)
    assert alarms / num <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / num)
    assert unadjusted / num > 0.15


def test_a_loss_beyond_the_noise_is_found() -> None:
    """Eight runs a side with 3% of noise, twelve metrics, one of them 15% worse."""
    rng, found = np.random.default_rng(3), 0
    for _ in range(20):
        runs = np.exp(0.03 * rng.standard_normal((12, 16)))
        runs[0, 8:] *= 1.15
        rows = judge([samples(values[:8], values[8:]) for values in runs])
        found += rows[0].verdict == "regression"
        assert {row.verdict for row in rows[1:]} == {"no change"}
    assert found >= 19


def test_what_all_runs_of_a_server_have_in_common_is_no_evidence() -> None:
    """Of 16 runs a side all are 10% slower. They come from two servers: one of 6 choices."""
    base = STEADY * 2
    candidate = scaled(1.1, base)
    servers = [0] * 8 + [1] * 8
    assert only(samples(base, candidate)).verdict == "regression"
    row = only(samples(base, candidate, servers=servers))
    assert row.verdict == "underpowered"
    assert row.p == pytest.approx(1 / 6)
    assert (row.num_base, row.num_candidate) == (2, 2)
    # Five servers are the fewest, and each makes eight runs.
    assert row.more_runs == 24


def test_the_median_of_a_server_is_its_measurement() -> None:
    """Six servers of three runs; one run in three is slowed by a neighbour. 6 of 12: 1 / 924."""
    base = [1.0, 1.01, 3.0] * 6
    row = only(samples(base, scaled(1.2, base), servers=np.repeat(range(6), 3).tolist()))
    assert row.verdict == "regression"
    assert row.base == pytest.approx(1.01)
    assert row.p == pytest.approx(1 / 924)


def test_exact_metrics_are_compared_run_by_run() -> None:
    """A median of the server would hide that the third run differs."""
    steps = samples([100, 100, 101], [100, 100, 100], STEPS, servers=[0, 0, 0])
    assert only(steps).note.startswith("differs between runs of one revision: judged as measured")
