"""The race: limits, censoring, who wins, when it ends. Costs are chosen so that sums are exact."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.search.race import Race
from bench.search.rules import Rules
from bench.search.suggest import RandomOrder
from bench.search.trial import Result, Trial

MISS = None  # a run that ends at its own budget, of 8, without the target
BUDGET = 8.0


class Listed:
    """Tries configurations in the order of the grid."""

    def __init__(self, num: int) -> None:
        self._num = num

    def next(self, drawn: Iterable[int]) -> int | None:
        known = set(drawn)
        return next((place for place in range(self._num) if place not in known), None)

    def tell(self, candidate: int, result: Result, *, stopped: bool) -> None:
        pass


Costs = Sequence[Sequence[float | None]]


def race_of(costs: Costs, **rules: float) -> Race:
    return Race(len(costs), Listed(len(costs)), Rules(max_seeds=len(costs[0]), **rules))  # type: ignore[arg-type]


def outcome(costs: Costs, trial: Trial) -> Result:
    cost = costs[trial.candidate][trial.seed]
    spent = BUDGET if cost is MISS else cost
    if trial.limit is not None and spent > trial.limit:
        return Result(spent=trial.limit, reached=False)
    return Result(spent=spent, reached=cost is not MISS)


def run(race: Race, costs: Costs) -> list[Trial]:
    trials = []
    while (trial := race.ask()) is not None:
        race.tell(trial, outcome(costs, trial))
        trials.append(trial)
    assert race.is_over
    return trials


def leader(race: Race) -> int | None:
    found = race.leader()
    return None if found is None else found.place


def test_the_first_run_has_no_limit_and_later_ones_beta_times_the_best() -> None:
    race = race_of([[2.0], [4.0], [1.0], [4.0]])
    trials = run(race, [[2.0], [4.0], [1.0], [4.0]])
    # With one seed each, margin(1, 1) = beta: 1.5 * 2, then 1.5 * 1.
    assert [trial.limit for trial in trials] == [None, 3.0, 3.0, 1.5]
    assert leader(race) == 2
    assert race.spent == 2.0 + 3.0 + 1.0 + 1.5


def test_a_stopped_run_is_censored_where_it_was_stopped() -> None:
    costs = [[2.0], [4.0]]
    race = race_of(costs)
    run(race, costs)
    stopped = race.candidates[1]
    assert stopped.runs[0].stopped
    assert not stopped.runs[0].reached
    assert stopped.ert == math.inf
    assert stopped.least_ert == 3.0
    assert race.is_out(stopped)


def test_a_better_configuration_is_confirmed_before_it_lowers_the_limit() -> None:
    costs = [[2.0, 2.0, 2.0], [1.0, 3.0, 2.6], [2.5, 2.5, 2.5]]
    race = race_of(costs)
    first, second, third = (ask_and_tell(race, costs) for _ in range(3))
    assert (first.candidate, second.candidate) == (0, 1)
    assert (third.candidate, third.seed) == (1, 1)
    # The best is still the 2.0 of one seed: (1 + x) / 2 <= margin(2, 1) * 2.
    assert third.limit == pytest.approx(2 * 2 * (1 + 0.5 * math.sqrt(0.75)) - 1)
    assert race.best_so_far == (2.0, 2)  # (1 + 3) / 2, not the lucky 1.0
    fourth = race.ask()
    assert fourth is not None
    assert fourth.candidate == 2
    assert fourth.limit == pytest.approx(2 * (1 + 0.5 * math.sqrt(0.75)))


def ask_and_tell(race: Race, costs: Costs) -> Trial:
    trial = race.ask()
    assert trial is not None
    race.tell(trial, outcome(costs, trial))
    return trial


def test_one_lucky_run_does_not_win() -> None:
    costs = [[2.0, 2.0, 2.0], [1.9, 2.1, 2.0], [0.5, 4.0, 4.5], [2.2, 2.2, 2.2]]
    race = race_of(costs)
    run(race, costs)
    assert leader(race) in {0, 1}


def test_a_configuration_that_was_stopped_returns_if_the_best_turns_out_worse() -> None:
    # The first two seeds of 0 are lucky, so 1 is stopped at 1.43 although it costs less: 0 costs
    # (1 + 1 + 4) / 3 = 2.
    costs = [[1.0, 1.0, 4.0, 4.0], [1.6, 1.6, 1.6, 1.6], [1.0, 8.0, 8.0, 8.0]]
    race = race_of(costs, beta=1.5)
    trials = run(race, costs)
    assert leader(race) == 1
    again = [trial for trial in trials if (trial.candidate, trial.seed) == (1, 0)]
    assert len(again) == 2
    assert again[0].limit is not None
    assert again[0].limit < 1.6 < (again[1].limit or math.inf)
    assert race.candidates[1].runs[0].reached


def test_misses_are_paid_for() -> None:
    # ERT of 0: (1 + 8 + 1) / 2 = 5; of 1: 3.
    costs: Costs = [[1.0, MISS, 1.0], [3.0, 3.0, 3.0]]
    race = race_of(costs, beta=9.0)
    run(race, costs)
    assert leader(race) == 1
    assert race.candidates[0].ert == 5.0


def test_where_all_miss_there_is_no_winner_and_each_is_tried_once() -> None:
    costs: Costs = [[MISS, 1.0], [MISS, 1.0], [MISS, 1.0]]
    race = race_of(costs)
    trials = run(race, costs)
    assert [(trial.candidate, trial.seed) for trial in trials] == [(0, 0), (1, 0), (2, 0)]
    assert leader(race) is None
    assert race.second() is None
    assert race.evidence() is None


def test_one_candidate_needs_a_single_run() -> None:
    costs = [[2.0] * 10]
    race = race_of(costs)
    run(race, costs)
    assert leader(race) == 0
    assert race.second() is None


def test_a_grid_without_configurations_is_over_at_once() -> None:
    race = Race(0, Listed(0))
    assert race.ask() is None
    assert race.is_over


def test_ties_go_to_the_first_place_and_are_never_called_different() -> None:
    costs = [[1.0] * 10, [1.0] * 10]
    race = race_of(costs)
    run(race, costs)
    assert leader(race) == 0
    evidence = race.evidence()
    assert evidence is not None
    assert evidence.p == 1.0
    assert not evidence.is_enough


def test_it_ends_at_the_first_look_that_separates_leader_and_second() -> None:
    # 5 further seeds are the fewest that can: 2 / C(10, 5) = 2 / 252 <= 0.05 * 5 / 9.
    costs = [[1.0 + seed / 100 for seed in range(10)], [1.2 + seed / 100 for seed in range(10)]]
    race = race_of(costs)
    trials = run(race, costs)
    evidence = race.evidence()
    assert evidence is not None
    assert evidence.num_seeds == 5
    assert evidence.p == pytest.approx(2 / 252)
    assert evidence.level == pytest.approx(0.05 * 5 / 9)
    assert len(race.candidates[1].runs) == 6
    assert len(trials) <= 6 + 8  # the leader may be two seeds ahead


def test_with_too_few_seeds_for_the_test_no_run_is_spent_on_it() -> None:
    costs = [[1.0, 1.0, 1.0], [1.4, 1.4, 1.4], [8.0, 8.0, 8.0]]
    race = race_of(costs)
    run(race, costs)
    assert race.rules.looks() == []
    assert race.evidence() is None
    assert len(race.candidates[1].runs) < 3


def test_a_second_that_is_out_is_run_on_for_the_test_up_to_beta_times_the_best() -> None:
    costs = [[1.0] * 10, [6.0] * 10]
    race = race_of(costs)
    trials = run(race, costs)
    further = [trial.limit for trial in trials if trial.candidate == 1 and trial.seed > 0]
    assert len(further) == 5
    assert set(further) == {1.5}
    evidence = race.evidence()
    assert evidence is not None
    assert evidence.is_enough  # stopped runs count 1.5, which is worse than 1


def test_the_budget_ends_it_in_the_middle_of_the_final() -> None:
    costs = [[1.0 + seed / 100 for seed in range(10)], [1.1 + seed / 100 for seed in range(10)]]
    race = race_of(costs, max_spent=5.0)
    run(race, costs)
    assert race.spent == pytest.approx(5.0)  # the last run was stopped where the budget ended
    assert leader(race) == 0
    assert race.is_over


def test_trials_that_are_out_count_as_spent_up_to_their_limits() -> None:
    race = race_of([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]], max_spent=2.5)
    first = race.ask()
    assert first is not None
    race.tell(first, Result(spent=1.0, reached=True))
    second = race.ask()
    assert second is not None
    assert second.limit == 1.5  # of 2.5 - 1
    assert race.ask() is None
    assert not race.is_over  # what is out may leave something


def test_a_failed_configuration_is_not_tried_again_and_its_cost_is_on_the_bill() -> None:
    race = race_of([[1.0] * 3, [1.0] * 3])
    first = race.ask()
    assert first is not None
    race.tell(first, Result(spent=0.1, reached=False, failed=True))
    while (trial := race.ask()) is not None:
        assert trial.candidate == 1
        race.tell(trial, Result(spent=1.0, reached=True))
    assert race.is_over
    assert leader(race) == 1
    assert race.spent == pytest.approx(0.1 + 1.0 * race.candidates[1].num_runs)


def test_a_run_of_unknown_cost_is_counted_and_never_wins() -> None:
    race = race_of([[1.0], [1.0]])
    first = race.ask()
    assert first is not None
    race.tell(first, Result(spent=None, reached=True))
    second = race.ask()
    assert second is not None
    race.tell(second, Result(spent=5.0, reached=True))
    assert race.num_unknown == 1
    assert leader(race) == 1


def test_several_trials_may_be_out_at_once() -> None:
    costs = [[2.0, 2.0], [1.0, 1.0], [3.0, 3.0]]
    race = race_of(costs)
    out = [race.ask() for _ in range(4)]
    assert [trial and (trial.candidate, trial.seed) for trial in out] == [
        (0, 0),
        (1, 0),
        (2, 0),
        None,
    ]
    for trial in reversed(out[:3]):
        assert trial is not None
        race.tell(trial, outcome(costs, trial))
    run(race, costs)
    assert leader(race) == 1


def test_what_was_measured_before_is_told_in_any_order() -> None:
    rng = np.random.default_rng(0)
    costs = (rng.lognormal(0, 0.8, size=(12, 1)) * rng.lognormal(0, 0.2, size=(12, 10))).tolist()
    whole = race_of(costs)
    trials = run(whole, costs)
    half = trials[: len(trials) // 2]
    for told in (half, half[::-1]):
        resumed = race_of(costs)
        for trial in told:
            resumed.tell(trial, outcome(costs, trial))
        assert run(resumed, costs) == trials[len(half) :]


@pytest.mark.parametrize(("key", "value"), [("beta", 1.0), ("max_seeds", 0)])
def test_rules_that_make_no_sense_are_refused(key: str, value: float) -> None:
    with pytest.raises(ValueError, match=key):
        Rules(**{key: value})  # type: ignore[arg-type]


GRIDS = st.integers(1, 8).flatmap(
    lambda seeds: st.lists(
        st.lists(st.sampled_from([0.5, 1.0, 2.0, 5.0, MISS]), min_size=seeds, max_size=seeds),
        min_size=1,
        max_size=6,
    )
)


@settings(max_examples=60, deadline=None)
@given(GRIDS, st.sampled_from([1.1, 1.5, 3.0]), st.integers(0, 3))
def test_every_race_ends_and_its_leader_is_no_worse_than_any_that_was_measured_in_full(
    costs: Costs, beta: float, seed: int
) -> None:
    race = Race(
        len(costs), RandomOrder(len(costs), seed), Rules(beta=beta, max_seeds=len(costs[0]))
    )
    trials = run(race, costs)
    assert {trial.candidate for trial in trials} == set(range(len(costs)))
    assert race.spent == pytest.approx(
        math.fsum(outcome(costs, trial).spent or 0.0 for trial in trials)
    )
    found = race.leader()
    if found is None:
        assert all(each.num_hits == 0 for each in race.candidates.values())
        return
    for each in race.candidates.values():
        assert each.num_runs < 2 or found.num_runs < 2 or found.ert <= each.ert
