"""What bench.ab does: rounds of both revisions, looks at them, and the verdict of the gate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bench.cli.ab_session import Asked, Revision, Session, Teller, session_command
from bench.cli.gate_output import report, write
from bench.gate.ab_config import RUNS_PER_ROUND, AbConfig, known_ab_keys
from bench.gate.compare import compare
from bench.gate.model import (
    EXIT_FAILED,
    EXIT_INCOMPARABLE,
    EXIT_PASS,
    EXIT_REGRESSION,
    Comparison,
    Problem,
)
from bench.gate.runs import Side, read_side
from bench.gate.sequential import is_open, level_at
from bench.gate.words import verdict_line
from bench.launch.interleave import Interleaved

BASE, HEAD = "base", "head"  # of one length: see bench.launch.worktree


def ab_command() -> int:
    """Run bench.ab with the keys of the command line; its exit code."""
    return session_command("ab", AbConfig, known_ab_keys(), compare_revisions)


def compare_revisions(plain: Mapping[str, Any], asked: Asked) -> int:
    """Measure two revisions in turn and compare them.

    Args:
        plain: The resolved configuration of bench.ab.
        asked: What the benchmark is given.

    Returns:
        The exit code.

    Raises:
        ValueError: A value is out of range, a revision is not there, or a file cannot be written;
            the message names the key.
    """
    config = AbConfig.from_dict(plain)
    revisions = [Revision(name=key, key=key, ref=getattr(config, key)) for key in (BASE, HEAD)]
    session = Session("ab", config, asked, revisions)
    looks = Looks(config, session)
    if code := session.measure(looks.take):
        if session.failure is not None:
            write(_no_comparison(session, session.failure, config.alpha), config)
        return code
    comparison = looks.outcome()
    try:
        report(comparison, config)
    finally:
        print(f"measured: {session.told(looks.num_runs)}")
    return comparison.exit_code


def _no_comparison(session: Session, failure: Problem, alpha: float) -> Comparison:
    """What the files say where a revision failed: else those of an earlier check would stay."""
    return Comparison(
        base_name=session.title(BASE),
        candidate_name=session.title(HEAD),
        rows=[],
        problems=[failure],
        remarks=session.remarks,
        alpha=alpha,
    )


class Looks:
    """Looks at the runs while they are being made, until there is an answer."""

    def __init__(self, config: AbConfig, session: Session) -> None:
        """Nothing has been looked at."""
        self._config = config
        self._session = session
        self._levels: dict[int, float] = {}  # of each look, by its runs per side
        self._comparison: Comparison | None = None
        self._cut_short = False

    @property
    def num_runs(self) -> int:
        """Runs per side at the latest look."""
        return max(self._levels, default=0)

    def take(self, interleaved: Interleaved, teller: Teller) -> None:
        """Make rounds, and stop at the first look at which more of them would not tell more."""
        for num_runs in self._config.looks:
            while interleaved.num_runs < num_runs and not self._is_over(interleaved):
                interleaved.round()
                first_round = interleaved.num_runs == RUNS_PER_ROUND
                if first_round and self._session.repeats_are_ignored():
                    self._look(interleaved.num_runs, teller)
                    return
            is_new = interleaved.num_runs > self.num_runs
            if is_new and not self._look(interleaved.num_runs, teller):
                return
            if self._is_over(interleaved):
                self._cut_short = self.num_runs < self._config.looks[-1]
                return

    def outcome(self) -> Comparison:
        """The latest look, with what is to be known of all of them.

        Raises:
            RuntimeError: There was none.
        """
        if self._comparison is None:
            raise RuntimeError("nothing was looked at")
        remarks = [*self._comparison.remarks, *self._session.remarks, *self._remarks()]
        # How many more are needed was told for the level of this look; more looks have others.
        rows = [replace(row, more_runs=None) for row in self._comparison.rows]
        return replace(self._comparison, rows=rows, remarks=remarks)

    def _is_over(self, interleaved: Interleaved) -> bool:
        """Whether no further round is to start; the first one always does."""
        budget_s = self._config.budget_s
        return bool(
            budget_s is not None and interleaved.num_runs and self._session.elapsed_s >= budget_s
        )

    def _look(self, num_runs: int, teller: Teller) -> bool:
        """Compare what there is; whether more runs would tell more."""
        level = level_at(
            num_runs,
            previous=self.num_runs,
            max_runs=self._config.looks[-1],
            alpha=self._config.alpha,
        )
        base, head = (
            replace(read_side(self._session.root / name), name=self._session.title(name))
            for name in (BASE, HEAD)
        )
        comparison = compare(base, head, self._config.settings(), alpha=level)
        self._comparison = comparison
        self._levels[num_runs] = level
        goes_on = _more_would_tell(comparison, base, head)
        clear = "clear" if comparison.exit_code in (EXIT_PASS, EXIT_REGRESSION) else "stopped"
        state = "not clear yet" if goes_on else clear
        teller.look(f"{num_runs} runs per side: {state}: {verdict_line(comparison)}")
        return goes_on

    def _remarks(self) -> list[str]:
        looks = ", ".join(
            f"{num_runs} runs per side at level {100 * level:.2g}%"
            for num_runs, level in self._levels.items()
        )
        remarks = [
            f"looked at {looks}; of all looks together at most {100 * self._config.alpha:.2g}%"
        ]
        problems = [] if self._comparison is None else self._comparison.problems
        if any(problem.kind == "repeated" for problem in problems):
            remarks.append(
                f"module={self._config.module} is given results=DIR repeat=K, a K of its own for "
                "each run of a side, and has to write its record there with that repeat"
            )
        if self._session.same_commit():
            remarks.append("base and head are the same commit: what differs is chance")
        if self._cut_short:
            remarks.append(
                f"budget_s={self._config.budget_s:g} was over after {self.num_runs} runs per side; "
                f"{self._config.looks[-1]} were allowed"
            )
        return remarks


def _more_would_tell(comparison: Comparison, base: Side, head: Side) -> bool:
    """Whether the outcome may be another one with more runs."""
    if comparison.exit_code in (EXIT_INCOMPARABLE, EXIT_FAILED):
        return False
    if any(problem.kind == "repeated" for problem in comparison.problems):
        return False
    if is_open(comparison.rows):
        return True
    # Unfit runs are left out, and further ones may be fit; an invalid one stays.
    unfit = any(problem.kind == "unfit" for problem in comparison.problems)
    invalid = any(run.invalid for side in (base, head) for run in side.runs)
    return unfit and not invalid and comparison.exit_code != EXIT_REGRESSION
