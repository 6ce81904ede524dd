"""Kaplan-Meier and log-rank against published data, hand calculations and statsmodels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.load.runs import load_runs
from analysis.stats.outcomes import Outcomes, outcomes, reached, spent, with_target
from analysis.stats.survival import kaplan_meier, log_rank
from tests.analysis.made import Made, Served, make_run, make_served, make_sweep

# Weeks of remission of acute leukemia, 21 patients on 6-mercaptopurine and 21 on placebo.
# Freireich et al., Blood 21 (1963) 699-716; in Cox and Oakes, Analysis of Survival Data, p. 8.
ENDED = [6, 6, 6, 7, 10, 13, 16, 22, 23]
CENSORED = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]


def made(hits: list[float], missed: list[float] = (), failed: list[float] = ()) -> Outcomes:  # type: ignore[assignment]
    cost = np.array([*hits, *missed, *failed], dtype=float)
    kind = np.repeat([0, 1, 2], [len(hits), len(missed), len(failed)])
    return Outcomes(cost=cost, hit=kind == 0, failed=kind == 2)


DRUG = made(list(map(float, ENDED)), list(map(float, CENSORED)))
CONTROL = made(list(map(float, PLACEBO)))


def test_kaplan_meier_of_the_leukemia_data() -> None:
    """S(6) = 18/21; S(7) = S(6) 16/17; S(10) = S(7) 14/15; S(13) = S(10) 11/12; S(16) = S(13)
    10/11; S(22) = S(16) 6/7; S(23) = S(22) 5/6: 0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448.
    """
    curve = kaplan_meier(DRUG)
    expected = {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}
    assert {t: round(curve.at(t), 3) for t in expected} == expected
    assert curve.at(5.9) == 1.0
    assert curve.at(100) == pytest.approx(0.448, abs=5e-4)
    assert (curve.num, curve.num_hits) == (21, 9)
    assert curve.median() == 23
    assert curve.hit_probability[0] == pytest.approx(3 / 21)


def test_bounds_are_those_of_greenwood_on_the_log_log_scale() -> None:
    """At 6 weeks: var(log(-log S)) = sum d / (n (n - d)) / log(S)^2 = 3 / (21 18) / log(18/21)^2,
    whose root is 0.5779; S^exp(+-1.96 0.5779) = 0.620 and 0.952, as R's survfit(conf.type =
    "log-log") has it.
    """
    curve = kaplan_meier(DRUG)
    assert curve.low[0] == pytest.approx(0.620, abs=5e-4)
    assert curve.high[0] == pytest.approx(0.952, abs=5e-4)


def test_the_median_of_the_placebo_is_8_weeks_and_all_of_it_ends() -> None:
    curve = kaplan_meier(CONTROL)
    assert curve.median() == 8
    assert curve.survival[-1] == pytest.approx(0.0)
    assert np.isnan(curve.low[-1])


def test_fewer_than_six_runs_have_no_bounds() -> None:
    """Of five runs the bounds at S = 0.9 hold the truth in 80% of cases."""
    assert np.isnan(kaplan_meier(made([1, 2, 3, 4, 5])).low).all()
    assert np.isnan(kaplan_meier(made([1, 2, 3], missed=[9, 9])).high).all()
    six = kaplan_meier(made([1, 2, 3, 4, 5, 6]))
    assert not np.isnan(six.low[:5]).any()


def test_log_rank_of_the_leukemia_data() -> None:
    """Chi-squared 16.79 with one degree of freedom, p = 4.17e-5; published as 16.79."""
    result = log_rank(DRUG, CONTROL)
    assert result.chi2 == pytest.approx(16.79, abs=0.005)
    assert result.p_value == pytest.approx(4.17e-5, rel=1e-2)
    assert result.num == (21, 21)
    swapped = log_rank(CONTROL, DRUG)
    assert swapped.p_value == pytest.approx(result.p_value)


def test_both_agree_with_statsmodels() -> None:
    durations = pytest.importorskip("statsmodels.duration.survfunc")
    rng = np.random.default_rng(3)
    for _ in range(5):
        time = rng.integers(1, 30, size=40).astype(float)
        hit, group = rng.random(40) < 0.6, rng.integers(0, 2, size=40)
        theirs = durations.SurvfuncRight(time, hit.astype(int))
        ours = kaplan_meier(Outcomes(cost=time, hit=hit, failed=np.zeros(40, dtype=bool)))
        at = np.isin(ours.time, theirs.surv_times)
        assert ours.survival[at] == pytest.approx(theirs.surv_prob)
        assert_bounds(ours.low[at], ours.high[at], theirs)
        chi2, p_value = durations.survdiff(time, hit.astype(int), group)
        halves = [
            Outcomes(cost=time[group == g], hit=hit[group == g], failed=time[group == g] < 0)
            for g in (0, 1)
        ]
        result = log_rank(*halves)
        assert (result.chi2, result.p_value) == pytest.approx((chi2, p_value))


def assert_bounds(low: Any, high: Any, theirs: Any) -> None:
    """Log(-log) bounds from statsmodels' own standard error of S."""
    inside = (theirs.surv_prob > 0) & (theirs.surv_prob < 1)
    survival, error = theirs.surv_prob[inside], theirs.surv_prob_se[inside]
    spread = 1.959964 * error / np.abs(survival * np.log(survival))
    assert low[inside] == pytest.approx(survival ** np.exp(spread), rel=1e-5)
    assert high[inside] == pytest.approx(survival ** np.exp(-spread), rel=1e-5)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=20))
@settings(max_examples=50, deadline=None)
def test_without_misses_survival_is_the_share_that_has_not_hit(times: list[int]) -> None:
    curve = kaplan_meier(made([float(t) for t in times]))
    shares = [np.mean([t > at for t in times]) for at in curve.time]
    assert curve.survival == pytest.approx(shares)


def test_a_failed_run_never_hits_and_is_not_censored_where_it_ended() -> None:
    """Hits at 1 and 3, a failure at 2: S(1) = 2/3, S(3) = 2/3 (1 - 1/2) = 1/3, the share that did
    not hit. Censored at 2, survival would end at 0: as if every run hit.
    """
    assert kaplan_meier(made([1, 3], failed=[2])).survival[-1] == pytest.approx(1 / 3)
    assert kaplan_meier(made([1, 3], missed=[2])).survival[-1] == pytest.approx(0.0)


def test_a_failure_lasts_to_the_end_of_both_groups_in_the_test() -> None:
    """One group hits at 1 and fails at 2, the other hits at 5 and 6: at 5 the failed run is still
    at risk. By hand, for the first group: expected hits are 2/4 at 1, 1/3 at 5, 1/2 at 6 (n = 2,
    the failure and the last): 1.3333; observed 1. Variance 1/4 + 2/9 + 1/4 = 0.7222; chi-squared
    (1/3)^2 / 0.7222 = 0.1538.
    """
    assert log_rank(made([1], failed=[2]), made([5, 6])).chi2 == pytest.approx(0.1538, abs=1e-4)


def test_the_median_is_the_first_time_at_which_half_have_hit() -> None:
    """Hits at 1 and 3, misses at 4 and 4: S is 1 to 1, 3/4 to 3, 1/2 from 3 on."""
    assert kaplan_meier(made([1, 3], missed=[4, 4])).median() == 3


def test_a_median_that_is_never_reached_is_missing() -> None:
    assert kaplan_meier(made([1], missed=[2, 2, 2])).median() is None


def test_only_misses_give_a_flat_curve_without_bounds() -> None:
    curve = kaplan_meier(made([], missed=[2, 3]))
    assert curve.survival.tolist() == [1.0, 1.0]
    assert curve.num_hits == 0
    with pytest.raises(ValueError, match="no run of either configuration hit"):
        log_rank(made([], missed=[2]), made([], missed=[3]))


def test_unknown_costs_and_no_runs_are_refused() -> None:
    with pytest.raises(ValueError, match="cost of 1 runs is unknown"):
        kaplan_meier(made([1, float("nan")]))
    with pytest.raises(ValueError, match="no runs"):
        kaplan_meier(made([]))


def test_outcomes_of_runs_are_hits_misses_and_failures_at_their_cost(tmp_path: Path) -> None:
    make_sweep(tmp_path, batch_sizes=[32], seeds=range(4), missed=[1], failed=[2], interrupted=[3])
    runs = load_runs([tmp_path]).runs
    found = outcomes(runs)
    assert found.hit.tolist() == [True, False, False, False] == reached(runs).tolist()
    assert found.failed.tolist() == [False, False, True, False]
    assert found.cost[0] == runs["target.time_to_target_s"][0]
    assert found.cost[1] == runs["target.censored_at_s"][1]
    assert found.cost[2] == runs["phases.wall_time_s"][2] > 0
    assert found.with_misses_worst()[1:].tolist() == [np.inf] * 3
    samples = outcomes(runs, "samples")
    assert samples.cost[2] == 3 * 1024
    assert outcomes(runs, "energy_j").cost[2] == runs["energy_total_j"][2]


def test_money_of_a_miss_is_by_the_prices_of_its_configuration(tmp_path: Path) -> None:
    """1 h of a machine at 2 USD and 3.6 MJ at 0.5 USD/kWh are 2.50 USD."""
    make_sweep(tmp_path, batch_sizes=[32], seeds=range(4), missed=[0])
    runs = load_runs([tmp_path]).runs
    hit = runs[reached(runs)]
    # The same formula as that of the record's own cost.
    energy_usd = hit["target.energy_to_target_j"] / 3.6e6 * 0.1545
    assert hit["target.cost_to_target_usd"].to_numpy() == pytest.approx(energy_usd.to_numpy())
    runs["phases.wall_time_s"], runs["energy_total_j"] = 3600.0, 3.6e6
    runs["config.price.usd_per_hour"] = [2.0, 2.0, None, None]
    runs["config.price.usd_per_kwh"] = [0.5, None, 0.5, None]
    assert spent(runs, "cost_usd").tolist() == pytest.approx([2.5, 2.0, 0.5, np.nan], nan_ok=True)
    # The price of an hour is paid for each node, the electricity is that of all of them.
    runs["config.trainer.num_nodes"] = [3.0, 1.0, 3.0, np.nan]
    assert spent(runs, "cost_usd").tolist() == pytest.approx([6.5, 2.0, 0.5, np.nan], nan_ok=True)


def test_a_run_without_a_target_and_an_unknown_quantity_are_refused(tmp_path: Path) -> None:
    make_served(tmp_path, make_run(tmp_path, Made(outcome="hit")), Served())
    runs = load_runs([tmp_path]).runs
    with pytest.raises(ValueError, match="with_target"):
        outcomes(runs)
    assert len(outcomes(with_target(runs))) == 1
    with pytest.raises(ValueError, match="quantity=weeks: must be of time_s"):
        outcomes(with_target(runs), "weeks")  # type: ignore[arg-type]
