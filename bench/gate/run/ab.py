"""bench.ab: rounds of both revisions, looks at what they gave, and the verdict of the gate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.cli.terminal import say, wide_console
from bench.config.gate import RUNS_PER_ROUND, AbConfig
from bench.core.stats.looks import level_at
from bench.gate.explanation import Explanation
from bench.gate.matching.compare import compare
from bench.gate.model import Comparison, Exit, GateRun
from bench.gate.report.output import report, write
from bench.gate.report.sentences import verdict_line
from bench.gate.rule.sequential import is_open
from bench.gate.run.command import compare_line, hydra_value
from bench.gate.run.explain import explain
from bench.gate.run.trial import BenchmarkInput, Revision, Trial, TrialLine, trial_command
from bench.gate.settings import (
    CONFIG,
    HEALTH,
    known_keys,
    least_effects,
    require_known,
    with_least_effects,
)
from bench.gate.sides.side import Side, by_configuration
from bench.launch.interleave import Interleaved

BASE, HEAD = "base", "head"  # of one length: see bench.launch.repository


def ab_command() -> int:
    """Run bench.ab with the keys of the command line; return its exit code."""
    schema = with_least_effects(AbConfig)
    return trial_command("ab", schema, known_keys(schema), compare_revisions)


def compare_revisions(plain: Mapping[str, Any], given: BenchmarkInput) -> int:
    """Measure two revisions in turn and compare them.

    Args:
        plain: The resolved configuration of bench.ab.
        given: What each run of the benchmark gets.

    Returns:
        The exit code.

    Raises:
        ValueError: A value is out of range, or a revision is not there; the message names the key.
    """
    config = AbConfig.from_dict(plain)
    require_known(config)
    revisions = [Revision(name=key, key=key, ref=getattr(config, key)) for key in (BASE, HEAD)]
    trial = Trial("ab", config, given, revisions)
    test = SequentialTest(config, trial)
    trial.measure(test.run)
    if trial.failure is not None:
        # Without a verdict too: the files of an earlier check must not stay.
        failed = Comparison(
            base_name=trial.title(BASE),
            candidate_name=trial.title(HEAD),
            problems=[trial.failure],
            remarks=trial.remarks,
            alpha=config.alpha,
        )
        return write(failed, config.output_files())
    code = report(test.outcome(), config.output_files())
    say(wide_console(), f"measured: {trial.summary()}")
    return code


def judge_config(config: AbConfig, runs_per_server: int) -> AbConfig:
    """The configuration that the gate compares by.

    Both revisions are given the same configuration: a key that only one of them has is no
    difference.

    Args:
        config: That of the command.
        runs_per_server: Runs of a side that really shared a server.
    """
    # A commit that adds a key to the configuration changes the hash of every run.
    return replace(config, force=[*config.force, CONFIG], runs_per_server=runs_per_server)


class SequentialTest:
    """Compares the runs several times while they are being made, until there is an answer."""

    def __init__(self, config: AbConfig, trial: Trial) -> None:
        """Nothing has been compared yet."""
        self._config = config
        self._looks = config.looks()
        self._judged = judge_config(config, 1)
        self._trial = trial
        self._levels: dict[int, float] = {}  # of each look, by its runs per side
        self._comparison: Comparison | None = None
        self._explanation: Explanation | None = None
        self._cut_short = False
        self._none_comparable = False

    def run(self, interleaved: Interleaved, line: TrialLine) -> None:
        """Make rounds until there is an answer, and explain a regression if that is wanted."""
        self._look_until_clear(interleaved, line)
        found = self._comparison is not None and self._comparison.exit_code == Exit.REGRESSION
        if found and self._config.explain:
            self._explanation = explain(interleaved, self._trial.root, (BASE, HEAD))

    def _look_until_clear(self, interleaved: Interleaved, line: TrialLine) -> None:
        """Make rounds, and stop at the first look after which more of them would change nothing."""
        # Known only now: a revision may have no server.
        runs_per_server = interleaved.runs_per_server
        self._looks = self._config.looks(runs_per_server)
        self._judged = judge_config(self._config, runs_per_server)
        for num_runs in self._looks:
            while interleaved.num_runs < num_runs and not self._is_over_budget(interleaved):
                interleaved.round()
                is_first = interleaved.num_runs == RUNS_PER_ROUND
                if is_first and self._trial.repeats_are_ignored():
                    self._look(interleaved.num_runs, line)
                    return
            # The budget may end between two looks; the runs so far are then judged once.
            is_new = interleaved.num_runs not in self._levels
            if is_new and not self._look(interleaved.num_runs, line):
                return
            if self._is_over_budget(interleaved):
                self._cut_short = interleaved.num_runs < self._looks[-1]
                return

    def outcome(self) -> Comparison:
        """The comparison of the latest look, with remarks on all of them.

        Raises:
            RuntimeError: There was none.
        """
        if self._comparison is None:
            raise RuntimeError("nothing was looked at")
        remarks = [*self._comparison.remarks, *self._trial.remarks, *self._remarks()]
        # How many more are needed was computed for the level of this look; later ones have others.
        rows = [replace(row, more_runs=None) for row in self._comparison.rows]
        return replace(self._comparison, rows=rows, remarks=remarks, explanation=self._explanation)

    def _is_over_budget(self, interleaved: Interleaved) -> bool:
        """Whether no further round may start; the first one always does."""
        budget_s = self._config.budget_s
        has_begun = interleaved.num_runs > 0
        return budget_s is not None and has_begun and self._trial.elapsed_s >= budget_s

    def _look(self, num_runs: int, line: TrialLine) -> bool:
        """Compare the runs so far; return whether more runs could change the outcome."""
        level = level_at(
            num_runs,
            previous=max(self._levels, default=0),
            max_runs=self._looks[-1],
            alpha=self._config.alpha,
        )
        base, head = (self._trial.side(name) for name in (BASE, HEAD))
        # Each look spends a part of alpha, or looking often would raise false alarms.
        comparison = compare(base, head, self._judged, alpha=level)
        self._comparison = comparison
        self._levels[num_runs] = level
        self._none_comparable = (
            # One round may have been disturbed; two in a row mean that the machine is not idle.
            num_runs > RUNS_PER_ROUND and not comparison.rows and _has(comparison, "health")
        )
        goes_on = not self._none_comparable and _may_change(comparison, base, head)
        ended = "clear" if comparison.exit_code in (Exit.PASS, Exit.REGRESSION) else "stopped"
        state = "not clear yet" if goes_on else ended
        line.print_line(f"{num_runs} runs per side: {state}: {verdict_line(comparison)}")
        return goes_on

    def _remarks(self) -> list[str]:
        looks = ", ".join(
            f"{num_runs} runs per side at level {100 * level:.2g}%"
            for num_runs, level in self._levels.items()
        )
        remarks = [
            f"looked at {looks}; of all looks together at most {100 * self._config.alpha:.2g}%"
        ]
        if self._comparison is not None and _has(self._comparison, "repeated"):
            remarks.append(
                f"module={self._config.module} is given results=DIR repeat=K, a K of its own for "
                "each run of a side, and has to write its record there with that repeat"
            )
        if self._none_comparable:
            remarks.append(
                f"no pair is comparable, so bench.ab stopped after {self._trial.num_runs} runs per "
                "side; to judge these runs anyway, without running again: "
                f"{self._forced_line()}"
            )
        if self._trial.same_commit():
            remarks.append("base and head are the same commit: what differs is chance")
        if self._cut_short:
            remarks.append(
                f"budget_s={self._config.budget_s:g} was over after {self._trial.num_runs} runs "
                f"per side; {self._looks[-1]} were allowed"
            )
        return remarks

    def _forced_line(self) -> str:
        """The command that compares the incomparable runs too, by the same rule."""
        config, default = self._config, AbConfig(base=self._config.base)
        root, effects = self._trial.root, least_effects()
        sides = [by_configuration(self._trial.side(name).runs) for name in (BASE, HEAD)]
        # bench.ab always allows keys that one side does not have; bench.compare needs force=.
        force = dict.fromkeys([HEALTH, *self._judged.force])
        if sides[0].keys() == sides[1].keys():
            del force[CONFIG]
        others = [f"force=[{','.join(force)}]"]
        for key in ("alpha", "min_runs", "allow_missing"):
            if getattr(config, key) != getattr(default, key):
                others.append(f"{key}={str(getattr(config, key)).lower()}")
        if self._share_servers(sides[0].values()):
            others.append(f"runs_per_server={self._judged.runs_per_server}")
        if config.metrics is not None:
            others.append(f"metrics=[{','.join(config.metrics)}]")
        if config.noise is not None:
            others.append(f"noise={hydra_value(str(Path(config.noise).absolute()))}")
        for name, effect in config.min_effect.items():
            if effect != effects[name]:
                others.append(f"min_effect.{name}={effect}")
        return compare_line(str(root / BASE), str(root / HEAD), *others)

    def _share_servers(self, configurations: Iterable[Sequence[GateRun]]) -> bool:
        """Whether several runs of a configuration and side were forked from one server."""
        per_server = self._judged.runs_per_server or 1
        servers = [[run.repeat // per_server for run in runs] for runs in configurations]
        return any(len(set(each)) < len(each) for each in servers)


def _has(comparison: Comparison, kind: str) -> bool:
    return any(problem.kind == kind for problem in comparison.problems)


def _may_change(comparison: Comparison, base: Side, head: Side) -> bool:
    """Whether more runs could change the outcome."""
    if comparison.exit_code in (Exit.INCOMPARABLE, Exit.FAILED) or _has(comparison, "repeated"):
        return False
    # A row whose verdict could still turn.
    if is_open(comparison.rows):
        return True
    # Incomparable runs are left out, and further ones may be comparable; an invalid one stays.
    invalid = any(run.invalid for side in (base, head) for run in side.runs)
    return _has(comparison, "health") and not invalid and comparison.exit_code != Exit.REGRESSION
