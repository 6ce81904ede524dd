"""bench.bisect: compares good with bad, then with commits between them, until one is left.

The first comparison is that of bench.ab. The metric that is worst is then followed, alone, so that
fewer runs tell; and a commit is bad if it has at least half of the loss of bad, which is what tells
it best from a good one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.cli.terminal import say, wide_console
from bench.config.gate import AbConfig, BisectConfig
from bench.core.checks import keys_of
from bench.core.files import file_stamp, utc_now
from bench.core.printable import printable
from bench.gate.model import Comparison, Exit, GateRow
from bench.gate.report.bisection import SHORT, Outcome, Step, print_outcome
from bench.gate.report.cells import percent
from bench.gate.report.output import complain
from bench.gate.report.sentences import ordered, verdict_line
from bench.gate.report.writers import json_value
from bench.gate.run.ab import BASE, HEAD, SequentialTest
from bench.gate.run.trial import BenchmarkInput, Revision, Trial, trial_command
from bench.gate.settings import known_keys, require_known, with_least_effects
from bench.gate.sides.validation import write_text
from bench.launch.bisection import Answer, Bisection, bisection
from bench.launch.repository import NotCheckedOut, Repository, find_repository

_SHARED = keys_of(AbConfig)
# A commit with this share of the loss is as far from good as from bad.
_LEAST_SHARE = 0.5


def bisect_command() -> int:
    """Run bench.bisect with the keys of the command line; return its exit code."""
    schema = with_least_effects(BisectConfig)
    return trial_command("bisect", schema, known_keys(schema), find_commit)


def find_commit(plain: Mapping[str, Any], given: BenchmarkInput) -> int:
    """Find the commit that made something worse.

    Args:
        plain: The resolved configuration of bench.bisect.
        given: What each run of the benchmark gets.

    Returns:
        The exit code.

    Raises:
        ValueError: A value is out of range, a revision is not there, or good is not in the past of
            bad; the message names the key.
    """
    config = BisectConfig.from_dict(plain)
    require_known(config)
    repository = find_repository(Path.cwd())
    good, bad = (repository.commit_of(getattr(config, key), key=key) for key in ("good", "bad"))
    if good == bad or repository.num_missing(bad, good):
        raise ValueError(
            f"good={config.good}: is not in the past of bad={config.bad}; "
            "git merge-base names a commit that is"
        )
    return _Search(config, given, repository, Outcome(good=good, bad=bad)).run()


class _Search:
    """Compares commits with good, one after the other."""

    def __init__(
        self,
        config: BisectConfig,
        given: BenchmarkInput,
        repository: Repository,
        outcome: Outcome,
    ) -> None:
        self._config = config
        self._given = given
        self._repository = repository
        self._outcome = outcome
        self._folder = f"bisect/{file_stamp(utc_now())}"
        self._root = Path(config.results).absolute() / self._folder

    def run(self) -> int:
        outcome = self._outcome
        try:
            if self._finds_a_loss():
                with bisection(self._repository, outcome.good, outcome.bad, complain) as steps:
                    self._narrow(steps)
        except NotCheckedOut as error:
            complain(printable(str(error)))
            outcome.exit_code, outcome.verdict = Exit.FAILED, str(error)
        except KeyboardInterrupt:
            outcome.exit_code, outcome.verdict = Exit.INTERRUPTED, "interrupted"
        print_outcome(outcome, wide_console(), self._given.overrides)
        self._write()
        return outcome.exit_code

    def _finds_a_loss(self) -> bool:
        """Compare good with bad; whether there is a loss to follow."""
        outcome, config = self._outcome, self._config
        step = self._compare(self._ab_config(config.good, config.bad, {}), outcome.bad)
        outcome.steps.append(step)
        if step.answer != "bad":
            code, is_compared = step.exit_code, step.row is not None
            outcome.exit_code = Exit.TOO_LITTLE if code == Exit.PASS else code
            what = "bad is not measurably worse than good: " if is_compared else ""
            outcome.verdict = f"{what}{step.reason}"
            return False
        outcome.followed = step.row
        return True

    def _narrow(self, steps: Bisection) -> None:
        """Judge commits until a single one is left, or none can be judged."""
        outcome = self._outcome
        outcome.suspects = steps.suspects()
        while (commit := steps.next_commit()) is not None:
            say(
                wide_console(),
                f"{len(outcome.suspects)} commits may be the one, about {steps.num_steps()} to "
                f"judge; next {commit[:SHORT]} {printable(self._repository.subject(commit))}",
            )
            step = self._compare(
                self._ab_config(outcome.good[:SHORT], commit[:SHORT], self._narrowed()), commit
            )
            outcome.steps.append(step)
            if step.exit_code == Exit.INTERRUPTED:
                raise KeyboardInterrupt
            steps.answer(commit, step.answer)
            outcome.suspects = steps.suspects()
        if len(outcome.suspects) == 1:
            outcome.exit_code = Exit.PASS
            outcome.verdict = f"{self._named(outcome.suspects[0])} {self._loss()}"
        else:
            names = ", ".join(commit[:SHORT] for commit in outcome.suspects)
            outcome.verdict = (
                f"one of {len(outcome.suspects)} commits {self._loss()}, and it cannot be told "
                f"which: {names}"
            )

    def _narrowed(self) -> dict[str, Any]:
        """The keys that follow one metric, and half of its loss."""
        row = self._outcome.followed
        assert row is not None
        least = row.threshold_frac
        if row.loss_frac is not None:
            least = max(least, _LEAST_SHARE * row.loss_frac)
        name = row.metric.name
        return {"metrics": [name], "min_effect": {**self._config.min_effect, name: least}}

    def _ab_config(self, base: str, head: str, others: Mapping[str, Any]) -> AbConfig:
        keys = {key: value for key, value in asdict(self._config).items() if key in _SHARED}
        return AbConfig.from_dict({**keys, "base": base, "head": head, **others})

    def _compare(self, config: AbConfig, commit: str) -> Step:
        """Compare a commit with good."""
        num = len(self._outcome.steps)
        revisions = [
            Revision(name=BASE, key="good", ref=config.base),
            Revision(name=HEAD, key="bad", ref=config.head),
        ]
        folder = f"{self._folder}/{num:02d}-{commit[:SHORT]}"
        started_s = time.monotonic()
        trial = Trial(folder, config, self._given, revisions)
        test = SequentialTest(config, trial)
        trial.measure(test.run)
        answer, reason, exit_code, row = self._judge(trial, test)
        return Step(
            commit=commit,
            subject=self._repository.subject(commit),
            answer=answer,
            reason=reason,
            exit_code=exit_code,
            row=row,
            duration_s=time.monotonic() - started_s,
            results=str(trial.root),
        )

    def _judge(self, trial: Trial, test: SequentialTest) -> tuple[Answer, str, int, GateRow | None]:
        """What a commit counts as, why, the exit code of its comparison, and its row."""
        if trial.failure is not None:
            return "skip", trial.failure.message.partition("\n")[0], trial.failure.exit_code, None
        comparison = test.outcome()
        row = self._row(comparison)
        return answer_of(row), verdict_line(comparison), comparison.exit_code, row

    def _row(self, comparison: Comparison) -> GateRow | None:
        """The row that is followed; at first, the worst of those that are worse."""
        followed = self._outcome.followed
        for row in ordered(comparison.rows):
            if followed is None or (
                (row.metric.name, row.command, row.config_hash)
                == (followed.metric.name, followed.command, followed.config_hash)
            ):
                return row
        return None

    def _named(self, commit: str) -> str:
        return f"{commit[:SHORT]} ({printable(self._repository.subject(commit))})"

    def _loss(self) -> str:
        row = self._outcome.followed
        assert row is not None
        size = "" if row.loss_frac is None else f" by {percent(row.loss_frac).lstrip('+')}"
        return f"made {row.metric.name} of {row.configuration or 'the defaults'} worse{size}"

    def _write(self) -> None:
        path = self._root / "bisect.json"
        tree = {"kind": "perf bisection", "format": 1, **asdict(self._outcome)}
        try:
            write_text(path, json_value(tree))
        except ValueError as error:
            complain(str(error))
            return
        say(wide_console(), f"written: {path}")


def answer_of(row: GateRow | None) -> Answer:
    """What a commit counts as, by the row of the metric that is followed.

    Args:
        row: The commit against good, judged at half of the loss of bad; None if nothing was
            compared.
    """
    if row is None:
        return "skip"
    if row.verdict == "regression":
        return "bad"
    if row.verdict == "improvement" or row.kind == "exact":
        return "good"
    # Where these runs would not have seen the loss of bad, nothing has been excluded.
    loss_frac = row.threshold_frac / _LEAST_SHARE
    sees = row.smallest_seen_frac is not None and row.smallest_seen_frac <= loss_frac
    return "good" if row.verdict == "no change" and sees else "skip"
