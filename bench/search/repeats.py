"""Repeats each configuration of a sweep over seeds until its interval is narrow (repeat=auto).

**The stopping rule.** The interval of a configuration is looked at after certain numbers of runs,
each 1.6 times the one before, up to `max_runs`. A look at n runs after one at m uses the confidence
1 - alpha * (n - m) / max_runs. A configuration is done at the first look whose interval is at most
`width_frac` times its value wide. All looks together miss the true value with a chance of at most
alpha (union bound), so the interval of whichever look ends the runs covers it with 1 - alpha.

Looking at the usual interval after each run, and stopping when it is narrow, covers less: runs that
happen to lie close together end it early. benchmarks/repeat_coverage.py simulates both; its tables
are in docs/search.md.

Source: bench.core.stats.looks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from bench.core.arrays import Bools, Floats
from bench.core.stats.expected_cost import expected_cost
from bench.core.stats.intervals import Estimate, median
from bench.core.stats.looks import level_at, look_sizes
from bench.search.candidate import Candidate
from bench.search.trial import Result, Trial

Statistic = Literal["median", "expected_cost"]
STATISTICS: tuple[Statistic, ...] = get_args(Statistic)
# Runs after which a configuration that never reached its target is given up.
GIVE_UP = 3
# What happens in one run of ten, such as a miss, shows in 30 runs with a chance of 96%. An interval
# of an expected cost knows nothing of what it has not seen.
_FIRST_EXPECTED_COST = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatRules:
    """When a configuration has been repeated often enough.

    Attributes:
        width_frac: Widest interval that is narrow enough, from end to end, as a fraction of the
            value.
        statistic: `median`, in which a run that missed is the worst of all, or `expected_cost`
            (ERT), to which it adds what it spent.
        max_runs: Of each configuration.
        max_spent: No run starts once all runs have spent this, in the unit of the cost; None for no
            end.
        alpha: 1 - the confidence of the interval.
    """

    width_frac: float = 0.2
    statistic: Statistic = "median"
    max_runs: int = 40
    max_spent: float | None = None
    alpha: float = 0.05

    def __post_init__(self) -> None:
        if self.statistic not in STATISTICS:
            raise ValueError(f"statistic={self.statistic}: must be {' or '.join(STATISTICS)}")
        if self.width_frac <= 0:
            raise ValueError(f"width_frac={self.width_frac}: must be positive")
        if self.max_runs < self.least_runs():
            raise ValueError(
                f"max_runs={self.max_runs}: too few for an interval of {1 - self.alpha:.0%}, which "
                f"needs at least {self.least_runs()} runs"
            )

    def least_runs(self) -> int:
        """The fewest runs with which there is an interval, if there is only one look."""
        if self.statistic == "expected_cost":
            return _FIRST_EXPECTED_COST
        # The widest interval of a median, between its extremes, misses it with 2^(1 - n).
        return math.ceil(1 - math.log2(self.alpha))

    def looks(self) -> list[int]:
        """Numbers of runs after which the interval is looked at."""
        first = self.least_runs()
        if self.statistic == "median":
            while 2.0 ** (1 - first) > self.level(first, 0):
                first += 1
        return look_sizes(first, self.max_runs)

    def level(self, num_runs: int, previous: int) -> float:
        """The level that a look leaves for its interval."""
        return level_at(num_runs, previous=previous, max_runs=self.max_runs, alpha=self.alpha)

    def estimate(self, cost: Floats, reached: Bools, level: float) -> Estimate:
        """The chosen quantity of some runs of a configuration, with its interval at a level.

        Args:
            cost: What each run spent until its target, or altogether, shape (n,).
            reached: Whether each run reached it, shape (n,).
            level: 1 - the confidence.
        """
        if self.statistic == "median":
            return median(np.where(reached, cost, np.inf), confidence=1 - level)
        return expected_cost(cost, reached, confidence=1 - level, misses=False)

    def is_narrow(self, estimate: Estimate) -> bool:
        """Whether the interval is as narrow as asked."""
        if estimate.value is None or estimate.low is None or estimate.high is None:
            return False
        is_interval = estimate.kind == "interval"
        return is_interval and estimate.high - estimate.low <= self.width_frac * estimate.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """What the runs of a configuration have shown.

    Attributes:
        estimate: At the look that ended it, else at the latest one; None before the first.
        is_narrow: Whether the interval is as narrow as asked.
        num_runs: All runs. The estimate has those of its look only.
        is_hopeless: Whether it was given up, since none of its first runs reached the target.
    """

    estimate: Estimate | None
    is_narrow: bool
    num_runs: int
    is_hopeless: bool = False


class Repeats:
    """Repeats every configuration until its interval is narrow (module docstring); a `Search`.

    The configuration with the fewest runs comes first, so that a budget is shared evenly.

    Args:
        num_candidates: Configurations of the sweep.
        rules: See there.
    """

    def __init__(self, num_candidates: int, rules: RepeatRules | None = None) -> None:
        self.rules = rules or RepeatRules()
        self.candidates = [Candidate(place) for place in range(num_candidates)]
        self.spent = 0.0
        self._looks = self.rules.looks()
        self._num_asked = 0
        self._out: set[int] = set()

    def ask(self) -> Trial | None:
        """See Search."""
        if self._is_spent():
            return None
        turns = ((len(each.runs) + len(each.pending), each.place) for each in self.candidates)
        for _, place in sorted(turns):
            seed = self._next_seed(self.candidates[place])
            if seed is not None:
                trial = Trial(num=self._num_asked, candidate=place, seed=seed)
                self._num_asked += 1
                self._out.add(trial.num)
                self.candidates[place].pending.add(seed)
                return trial
        return None

    def tell(self, trial: Trial, result: Result) -> None:
        """See Search."""
        self._out.discard(trial.num)
        self._num_asked = max(self._num_asked, trial.num + 1)
        self.spent += result.spent or 0.0
        self.candidates[trial.candidate].take(trial, result)

    @property
    def is_over(self) -> bool:
        """See Search."""
        if self._out:
            return False
        return self._is_spent() or all(self._next_seed(each) is None for each in self.candidates)

    def repeated(self, candidate: int) -> Repeated:
        """What the runs of a configuration have shown so far."""
        runs = self.candidates[candidate].runs
        cost, reached = self.candidates[candidate].outcomes()
        if len(runs) >= GIVE_UP and not reached[:GIVE_UP].any():
            return Repeated(estimate=None, is_narrow=False, num_runs=len(runs), is_hopeless=True)
        estimate, previous = None, 0
        for num in self._looks:
            if any(seed not in runs for seed in range(num)):
                break
            level = self.rules.level(num, previous)
            estimate = self.rules.estimate(cost[:num], reached[:num], level)
            if self.rules.is_narrow(estimate):
                return Repeated(estimate=estimate, is_narrow=True, num_runs=len(runs))
            previous = num
        return Repeated(estimate=estimate, is_narrow=False, num_runs=len(runs))

    def _is_spent(self) -> bool:
        return self.rules.max_spent is not None and self.spent >= self.rules.max_spent

    def _next_seed(self, candidate: Candidate) -> int | None:
        """The first seed without a run, up to the next look; None if it needs no more for now."""
        shown = self.repeated(candidate.place)
        if shown.is_narrow or shown.is_hopeless:
            return None
        # The first runs show whether there is any hope, and a look whether more are needed.
        stops = [GIVE_UP, *self._looks]
        upto = next(
            (num for num in stops if any(seed not in candidate.runs for seed in range(num))), 0
        )
        known = candidate.runs.keys() | candidate.pending
        upto = min(upto, self.rules.max_runs)
        return next((seed for seed in range(upto) if seed not in known), None)
