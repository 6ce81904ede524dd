"""Finds the configuration of a grid that reaches its target at the least cost, in a race.

The cost of a configuration is its expected cost with restarts (ERT): what its runs spent, misses
included, per run that reached the target. The best so far is the lowest ERT that two seeds have
confirmed.

1. **Screening.** Every configuration gets one seed, in the order of `Order`. A run is stopped once
   its configuration could no longer come within beta of the best so far, even if the run reached
   the target at that moment. What is stopped is censored. Whichever looks better than the best so
   far gets a second seed at once: one lucky run neither lowers the limit of the others nor wins.
2. **Final.** Those within the margin get further seeds, the one with the fewest first. The margin
   narrows as the means of both grow more precise (Rules.margin). If the best so far turns out to
   cost more than thought, configurations that were stopped below that return.
3. **The end.** Leader and second get seeds until the rank test of bench.core.stats.ranks separates
   them, every finalist has all seeds, or the budget is spent. It is tested after each seed at the
   part of alpha that bench.core.stats.looks leaves for that look, and p is doubled because either
   of two could have led. The first seed chose the finalists, so it is no evidence: only further
   seeds are tested. The test does not speak of configurations that were dropped earlier.
"""

from __future__ import annotations

import math

from bench.search.candidate import Candidate
from bench.search.evidence import Evidence, evidence_of
from bench.search.rules import Best, Rules
from bench.search.trial import Order, Result, Trial


class Race:
    """A race between the configurations of a grid (module docstring); a `Search`.

    Args:
        num_candidates: Configurations in the grid.
        order: In which they are tried.
        rules: See there.
    """

    def __init__(self, num_candidates: int, order: Order, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self.candidates: dict[int, Candidate] = {}
        self.spent = 0.0
        self.num_unknown = 0
        self._order = order
        self._best = Best(math.inf, 1)
        self._num_asked = 0
        most = self.rules.max_candidates
        self._num_to_draw = num_candidates if most is None else min(most, num_candidates)
        # Limits of the trials that are out, which may spend as much.
        self._out: dict[int, float] = {}

    def ask(self) -> Trial | None:
        """See Search."""
        if self.is_spent:
            return None
        trial = self._to_confirm() or self._to_screen() or self._to_repeat()
        if trial is None:
            return None
        self._num_asked += 1
        self._out[trial.num] = trial.limit or 0.0
        self._candidate(trial.candidate).pending.add(trial.seed)
        return trial

    def tell(self, trial: Trial, result: Result) -> None:
        """See Search."""
        self._out.pop(trial.num, None)
        self._num_asked = max(self._num_asked, trial.num + 1)
        self.spent += result.spent or 0.0
        self.num_unknown += result.spent is None
        candidate = self._candidate(trial.candidate)
        candidate.take(trial, result)
        self._best = self._best_so_far()
        if trial.seed == 0:
            self._order.tell(trial.candidate, result, stopped=candidate.runs[0].stopped)

    @property
    def is_over(self) -> bool:
        """See Search."""
        if self._out:
            return False
        if self.is_spent:
            return True
        return (
            len(self.candidates) >= self._num_to_draw
            and self._to_confirm() is None
            and self._to_repeat() is None
        )

    @property
    def is_spent(self) -> bool:
        """Whether its budget leaves nothing for a further trial."""
        return self._left() <= 0

    @property
    def best_so_far(self) -> Best:
        """The lowest ERT that two seeds have confirmed; infinite if nothing reached the target.

        Before that, the second lowest of single seeds, so that one lucky run does not set it.
        """
        return self._best

    def _best_so_far(self) -> Best:
        hits = sorted(
            (each.ert, each.num_runs) for each in self.candidates.values() if each.num_hits
        )
        confirmed = next((hit for hit in hits if hit[1] > 1), None)
        if confirmed is not None:
            return Best(*confirmed)
        second = min(len(hits), 2 if self.rules.max_seeds > 1 else 1) - 1
        return Best(*hits[second]) if hits else Best(math.inf, 1)

    def leader(self) -> Candidate | None:
        """The configuration with the lowest ERT, of those with two seeds if there are any."""
        hits = [each for each in self.candidates.values() if each.num_hits]
        confirmed = [each for each in hits if each.num_runs > 1]
        return min(confirmed or hits, key=lambda each: (each.ert, each.place), default=None)

    def second(self) -> Candidate | None:
        """The configuration that may come next to the leader, stopped runs taken at their best."""
        leader = self.leader()
        others = [
            each
            for each in self.candidates.values()
            if each is not leader and not each.has_failed and (each.num_hits or each.num_stopped)
        ]
        return min(others, key=lambda each: (each.least_ert, each.place), default=None)

    def evidence(self) -> Evidence | None:
        """The look that separates leader and second, else the latest one; None before the first."""
        leader, second = self.leader(), self.second()
        if leader is None or second is None:
            return None
        return evidence_of(leader, second, self.rules)

    def is_out(self, candidate: Candidate) -> bool:
        """Whether a configuration is out of the race, as long as the best so far stays."""
        best = self._best
        if candidate.has_failed or best.ert == math.inf:
            return True
        # The limit left beta of room when the run was stopped. That covers a best so far that
        # rises by less.
        margin = 1.0
        if not candidate.num_stopped:
            margin = self.rules.margin(max(candidate.num_runs, 1), best.num_seeds)
        return candidate.least_ert >= margin * best.ert

    def _candidate(self, place: int) -> Candidate:
        return self.candidates.setdefault(place, Candidate(place))

    def _left(self) -> float:
        """What may still be spent if all trials that are out spend as much as they may."""
        most = self.rules.max_spent
        return math.inf if most is None else most - self.spent - sum(self._out.values())

    def _to_confirm(self) -> Trial | None:
        """A second seed for a configuration that looks better than the best so far."""
        if self.rules.max_seeds == 1:
            return None
        best = self._best
        for each in self.candidates.values():
            if each.num_runs == 1 and each.num_hits and not each.pending and each.ert < best.ert:
                return self._trial(each, _next_seed(each, self.rules.max_seeds))
        return None

    def _to_screen(self) -> Trial | None:
        if len(self.candidates) >= self._num_to_draw:
            return None
        place = self._order.next(self.candidates.keys())
        return None if place is None else self._trial(Candidate(place), 0)

    def _to_repeat(self) -> Trial | None:
        leader, second = self.leader(), self.second()
        if leader is None:
            return None
        look = self.evidence()
        if look is not None and look.is_enough:
            return None
        tried = (each for each in self.candidates.values() if each.runs)
        finalists = {each.place: each for each in tried if not self.is_out(each)}
        if self.rules.looks():  # else no seed of theirs could separate them
            finalists |= {each.place: each for each in (leader, second) if each is not None}
        waiting = sorted(
            finalists.values(),
            key=lambda each: (self._turn(each, leader), each.ert, each.place),
        )
        for each in waiting:
            seed = _next_seed(each, self.rules.max_seeds, again=not self.is_out(each))
            if seed is not None:
                return self._trial(each, seed)
        return None

    @staticmethod
    def _turn(candidate: Candidate, leader: Candidate) -> int:
        """Whose turn it is: the fewest seeds come first, but the leader may be two ahead.

        All others are measured by the leader, so the better its cost is known, the sooner they are
        out.
        """
        return candidate.num_runs + len(candidate.pending) - (2 if candidate is leader else 0)

    def _trial(self, candidate: Candidate, seed: int | None) -> Trial | None:
        if seed is None:
            return None
        limit = min(self._limit(candidate, seed), self._left())
        return Trial(
            num=self._num_asked,
            candidate=candidate.place,
            seed=seed,
            limit=None if limit == math.inf else limit,
        )

    def _limit(self, candidate: Candidate, seed: int) -> float:
        """The cost of a run at which its configuration leaves the margin.

        With h runs that reached the target and cost c together, the ERT is (c + x) / (h + 1) if
        this one does at x. A second that is already out is run for the test alone, which needs no
        more of a run than that it is worse than the leader's.
        """
        best = self._best
        if self.is_out(candidate) and candidate.runs:
            return self.rules.beta * best.ert
        known = candidate.runs.get(seed)
        total = candidate.total - (known.spent if known else 0.0)
        hits = candidate.num_hits + candidate.num_stopped - (known is not None)
        num = candidate.num_runs + (known is None)
        return self.rules.margin(num, best.num_seeds) * best.ert * (hits + 1) - total


def _next_seed(candidate: Candidate, max_seeds: int, *, again: bool = False) -> int | None:
    """The first seed without a run, or, if asked for, whose run was stopped."""
    for seed in range(max_seeds):
        run = candidate.runs.get(seed)
        if seed not in candidate.pending and (run is None or (again and run.stopped)):
            return seed
    return None
