"""What is known of one configuration of a search: its runs, and what they say about its cost."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from bench.core.arrays import Bools, Floats
from bench.search.trial import Result, Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The run of one seed.

    Attributes:
        spent: Its cost until the target, or altogether.
        reached: Whether it reached the target.
        stopped: Whether the limit of its trial ended it; it might have reached the target later.
    """

    spent: float
    reached: bool
    stopped: bool


@dataclass(slots=True)
class Candidate:
    """One configuration.

    Attributes:
        place: In the grid.
        runs: By seed, one each: that which got furthest.
        pending: Seeds of trials that are out.
        has_failed: Whether a run ended without a result, so that another one is not worth its cost.
        num_hits: Runs that reached the target.
        num_stopped: Runs that their limits stopped.
        total: What the runs cost together.
    """

    place: int
    runs: dict[int, Run] = field(default_factory=dict)
    pending: set[int] = field(default_factory=set)
    has_failed: bool = False
    num_hits: int = 0
    num_stopped: int = 0
    total: float = 0.0

    def take(self, trial: Trial, result: Result) -> None:
        """Note the result of a trial of this candidate."""
        self.pending.discard(trial.seed)
        if result.failed or result.spent is None:
            self.has_failed = True
        spent = result.spent or 0.0
        reached = result.reached and result.spent is not None
        stopped = not reached and not result.failed and spent >= (trial.limit or math.inf)
        run = Run(spent=spent, reached=reached, stopped=stopped)
        known = self.runs.get(trial.seed)
        if known is None or (known.stopped and (reached or spent > known.spent)):
            self.runs[trial.seed] = run
        self.num_hits = sum(run.reached for run in self.runs.values())
        self.num_stopped = sum(run.stopped for run in self.runs.values())
        self.total = math.fsum(run.spent for run in self.runs.values())

    @property
    def num_runs(self) -> int:
        """Seeds that have a run."""
        return len(self.runs)

    @property
    def ert(self) -> float:
        """The expected cost with restarts, stopped runs being misses; infinite without a hit."""
        return self.total / self.num_hits if self.num_hits else math.inf

    @property
    def least_ert(self) -> float:
        """The expected cost if each stopped run had reached the target just when it was stopped.

        Without a run that did or might have, it is as if the next one reached it at no cost.
        """
        return self.total / max(self.num_hits + self.num_stopped, 1)

    def outcomes(self) -> tuple[Floats, Bools]:
        """Cost of each run and whether it reached the target, in the order of the seeds."""
        runs = [self.runs[seed] for seed in sorted(self.runs)]
        spent = np.array([run.spent for run in runs], dtype=np.float64)
        return spent, np.array([run.reached for run in runs], dtype=np.bool_)
