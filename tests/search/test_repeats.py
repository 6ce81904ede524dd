"""repeat=auto: when a configuration has been repeated often enough."""

from __future__ import annotations

import numpy as np
import pytest

from bench.search.repeats import GIVE_UP, RepeatRules, Repeats
from bench.search.trial import Result, Trial


def make(search: Repeats, cost: float = 1.0, reached: bool = True) -> Trial:
    trial = search.ask()
    assert trial is not None
    search.tell(trial, Result(spent=cost, reached=reached))
    return trial


def test_looks_spend_alpha_and_the_first_is_the_fewest_with_an_interval() -> None:
    rules = RepeatRules(max_runs=40)
    # 8 runs: 2^-7 = 0.0078 <= 0.05 * 8 / 40; 7 runs: 0.0156 > 0.00875.
    assert rules.looks() == [8, 13, 21, 40]
    assert sum(rules.level(num, prev) for num, prev in ((8, 0), (13, 8), (21, 13), (40, 21))) == (
        pytest.approx(0.05)
    )
    assert RepeatRules(max_runs=6).looks() == [6]
    assert RepeatRules(statistic="expected_cost").looks() == [30, 40]


def test_equal_runs_end_at_the_first_look() -> None:
    search = Repeats(1)
    trials = [make(search) for _ in range(8)]
    assert [trial.seed for trial in trials] == list(range(8))
    assert search.ask() is None
    assert search.is_over
    shown = search.repeated(0)
    assert shown.is_narrow
    assert shown.estimate is not None
    assert (shown.estimate.low, shown.estimate.value, shown.estimate.high) == (1.0, 1.0, 1.0)
    assert shown.estimate.confidence == pytest.approx(0.99)


def test_runs_that_differ_go_on_until_the_most() -> None:
    rules = RepeatRules(width_frac=0.1, max_runs=13)
    search = Repeats(1, rules)
    for seed in range(13):
        make(search, cost=1.0 + seed / 10)
    assert search.ask() is None
    shown = search.repeated(0)
    assert not shown.is_narrow
    assert shown.num_runs == 13
    assert shown.estimate is not None
    assert shown.estimate.kind == "interval"


def test_the_configuration_with_the_fewest_runs_comes_first_and_a_narrow_one_stops() -> None:
    search = Repeats(2, RepeatRules(max_runs=21))
    places = []
    while (trial := search.ask()) is not None:
        places.append(trial.candidate)
        spread = 1.0 + trial.seed % 7 if trial.candidate else 1.0
        search.tell(trial, Result(spent=spread, reached=True))
    first = search.rules.looks()[0]
    assert places[: 2 * first] == [0, 1] * first
    assert set(places[2 * first :]) == {1}
    assert search.is_over


def test_the_budget_ends_it() -> None:
    search = Repeats(2, RepeatRules(max_spent=3.5))
    for _ in range(4):
        make(search)
    assert search.ask() is None
    assert search.is_over
    assert search.repeated(0).estimate is None


def test_what_never_reaches_its_target_is_given_up() -> None:
    search = Repeats(1)
    for _ in range(GIVE_UP):
        make(search, cost=5.0, reached=False)
    assert search.ask() is None
    assert search.is_over
    assert search.repeated(0).is_hopeless


def test_one_miss_is_the_worst_of_a_median() -> None:
    search = Repeats(1)
    for seed in range(8):
        make(search, reached=seed != 1)
    shown = search.repeated(0)
    assert shown.estimate is not None
    assert shown.estimate.high is None  # infinite: at 99%, the interval reaches the largest of 8
    assert not shown.is_narrow
    assert not search.is_over


def test_runs_may_be_out_and_told_in_any_order() -> None:
    search = Repeats(1)
    out = []
    while (trial := search.ask()) is not None:
        out.append(trial)
    assert len(out) == GIVE_UP  # no more before there is any hope
    for trial in reversed(out):
        assert not search.is_over
        search.tell(trial, Result(spent=1.0, reached=True))
    out = [trial for trial in iter(search.ask, None) if trial is not None]
    assert [trial.seed for trial in out] == [3, 4, 5, 6, 7]
    resumed = Repeats(1)
    for trial in reversed(out):
        resumed.tell(trial, Result(spent=1.0, reached=True))
    following = [trial.seed for trial in iter(resumed.ask, None) if trial is not None]
    assert following == [0, 1, 2]


def test_no_configuration_gets_more_runs_than_the_most() -> None:
    # Two values lie on both sides of the median with 1 - 2^-1: 50% need two runs and no third one.
    search = Repeats(1, RepeatRules(max_runs=2, alpha=0.5, width_frac=10.0))
    make(search, cost=1.0)
    make(search, cost=2.0)
    assert search.ask() is None
    shown = search.repeated(0)
    assert shown.is_narrow
    assert shown.estimate is not None
    assert (shown.estimate.low, shown.estimate.high) == (1.0, 2.0)
    hopeless = Repeats(1, RepeatRules(max_runs=2, alpha=0.5))
    make(hopeless, reached=False)
    make(hopeless, reached=False)
    assert hopeless.ask() is None


def test_an_expected_cost_pays_for_misses() -> None:
    search = Repeats(1, RepeatRules(statistic="expected_cost", width_frac=10.0))
    for seed in range(30):
        make(search, reached=seed % 3 > 0)
    shown = search.repeated(0)
    assert shown.estimate is not None
    assert shown.estimate.value == 1.5  # 30 runs at 1, 20 hits
    assert shown.is_narrow


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_runs": 5}, "max_runs=5: too few .* at least 6"),
        ({"statistic": "mean"}, "statistic=mean: must be median or expected_cost"),
        ({"width_frac": 0.0}, "width_frac"),
    ],
)
def test_rules_that_make_no_sense_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RepeatRules(**values)  # type: ignore[arg-type]


def test_the_interval_that_ends_the_runs_covers_the_median() -> None:
    # 100 repetitions have a standard error of 2 points; benchmarks/repeat_coverage.py has more.
    rng = np.random.default_rng(0)
    held = []
    for _ in range(100):
        search = Repeats(1)
        while (trial := search.ask()) is not None:
            search.tell(trial, Result(spent=float(rng.lognormal(0, 0.15)), reached=True))
        estimate = search.repeated(0).estimate
        assert estimate is not None
        held.append((estimate.low or 0.0) <= 1.0 <= (estimate.high or np.inf))
    assert np.mean(held) >= 0.95
