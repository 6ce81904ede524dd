"""What bench.ab does: rounds of both revisions, looks at them, and the verdict of the gate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.cli.terminal import say, wide_console
from bench.config.gate import RUNS_PER_ROUND, AbConfig
from bench.gate.matching.compare import compare
from bench.gate.model import (
    EXIT_FAILED,
    EXIT_INCOMPARABLE,
    EXIT_PASS,
    EXIT_REGRESSION,
    Comparison,
    Problem,
)
from bench.gate.rule.sequential import is_open, level_at
from bench.gate.run.session import Asked, Revision, Session, Teller, session_command
from bench.gate.settings import (
    CONFIG,
    HEALTH,
    known_keys,
    least_effects,
    require_known,
    with_least_effects,
)
from bench.gate.sides.side import Side, by_configuration
from bench.gate.words.output import report, write
from bench.gate.words.sentences import compare_command, hydra_quoted, verdict_line
from bench.launch.interleave import Interleaved

BASE, HEAD = "base", "head"  # of one length: see bench.launch.repository


def ab_command() -> int:
    """Run bench.ab with the keys of the command line; its exit code."""
    schema = with_least_effects(AbConfig)
    return session_command("ab", schema, known_keys(schema), compare_revisions)


def compare_revisions(plain: Mapping[str, Any], asked: Asked) -> int:
    """Measure two revisions in turn and compare them.

    Args:
        plain: The resolved configuration of bench.ab.
        asked: What the benchmark is given.

    Returns:
        The exit code.

    Raises:
        ValueError: A value is out of range, or a revision is not there; the message names the key.
    """
    config = AbConfig.from_dict(plain)
    require_known(config)
    revisions = [Revision(name=key, key=key, ref=getattr(config, key)) for key in (BASE, HEAD)]
    session = Session("ab", config, asked, revisions)
    looks = Looks(config, session)
    session.measure(looks.take)
    if session.failure is not None:
        no_comparison = _no_comparison(session, session.failure, config.alpha)
        return write(no_comparison, config.output_files())
    code = report(looks.outcome(), config.output_files())
    say(wide_console(), f"measured: {session.told(looks.num_runs)}")
    return code


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


def judged(config: AbConfig) -> AbConfig:
    """The configuration that the gate compares by.

    Both revisions are given the same configuration: a key that only one of them has is no
    difference.
    """
    return replace(config, force=[*config.force, CONFIG])


class Looks:
    """Looks at the runs while they are being made, until there is an answer."""

    def __init__(self, config: AbConfig, session: Session) -> None:
        """Nothing has been looked at."""
        self._config = config
        self._judged = judged(config)
        self._session = session
        self._levels: dict[int, float] = {}  # of each look, by its runs per side
        self._comparison: Comparison | None = None
        self._cut_short = False
        self._none_comparable = False

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

    def _judged_all_the_same(self) -> str:
        """The command that compares the incomparable runs, by the same rule."""
        config, default = self._config, AbConfig(base=self._config.base)
        root, effects = self._session.root, least_effects()
        sides = [by_configuration(self._session.side(name).runs) for name in (BASE, HEAD)]
        # That a revision adds a key is allowed without a word here; there it has to be said.
        force = dict.fromkeys([HEALTH, *self._judged.force])
        if sides[0].keys() == sides[1].keys():
            del force[CONFIG]
        others = [f"force=[{','.join(force)}]"]
        for key in ("alpha", "min_runs", "allow_missing"):
            if getattr(config, key) != getattr(default, key):
                others.append(f"{key}={str(getattr(config, key)).lower()}")
        if config.metrics is not None:
            others.append(f"metrics=[{','.join(config.metrics)}]")
        if config.noise is not None:
            others.append(f"noise={hydra_quoted(str(Path(config.noise).absolute()))}")
        for name, effect in config.min_effect.items():
            if effect != effects[name]:
                others.append(f"min_effect.{name}={effect}")
        return compare_command(str(root / BASE), str(root / HEAD), *others)

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
        base, head = (self._session.side(name) for name in (BASE, HEAD))
        comparison = compare(base, head, self._judged, alpha=level)
        self._comparison = comparison
        self._levels[num_runs] = level
        none_comparable = num_runs > RUNS_PER_ROUND and _nothing_comparable(comparison)
        self._none_comparable = none_comparable
        goes_on = not none_comparable and _more_would_tell(comparison, base, head)
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
        if self._none_comparable:
            remarks.append(
                f"no pair is comparable, so that it stopped after {self.num_runs} runs per "
                "side; what was measured can be judged all the same, without running again: "
                f"{self._judged_all_the_same()}"
            )
        if self._session.same_commit():
            remarks.append("base and head are the same commit: what differs is chance")
        if self._cut_short:
            remarks.append(
                f"budget_s={self._config.budget_s:g} was over after {self.num_runs} runs per side; "
                f"{self._config.looks[-1]} were allowed"
            )
        return remarks


def _nothing_comparable(comparison: Comparison) -> bool:
    """Whether every pair so far was left out for the health of its runs."""
    return not comparison.rows and any(problem.kind == "health" for problem in comparison.problems)


def _more_would_tell(comparison: Comparison, base: Side, head: Side) -> bool:
    """Whether the outcome may be another one with more runs."""
    if comparison.exit_code in (EXIT_INCOMPARABLE, EXIT_FAILED):
        return False
    if any(problem.kind == "repeated" for problem in comparison.problems):
        return False
    if is_open(comparison.rows):
        return True
    # Incomparable runs are left out, and further ones may be comparable; an invalid one stays.
    incomparable = any(problem.kind == "health" for problem in comparison.problems)
    invalid = any(run.invalid for side in (base, head) for run in side.runs)
    return incomparable and not invalid and comparison.exit_code != EXIT_REGRESSION
