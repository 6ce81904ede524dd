"""What a bisection has found, and its form on the terminal."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.cli.terminal import safe_line, say
from bench.core.printable import printable
from bench.gate.model import Exit, GateRow
from bench.gate.report.cells import cells
from bench.launch.bisection import Answer

SHORT = 10  # digits of a commit


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A commit that was compared with good.

    Attributes:
        answer: What it counts as; skip if it cannot be judged.
        reason: Why, in words.
        exit_code: That of the comparison.
        row: The metric that is followed, if it was compared.
        duration_s: With installation and warm-up.
        results: The folder of its runs.
    """

    commit: str
    subject: str
    answer: Answer
    reason: str
    exit_code: int
    row: GateRow | None
    duration_s: float
    results: str


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a bisection has found so far.

    Attributes:
        followed: The worst row of good against bad; None before it is known.
        suspects: Commits that may be the first bad one, the latest first.
    """

    good: str
    bad: str
    exit_code: int = Exit.TOO_LITTLE
    verdict: str = ""
    followed: GateRow | None = None
    suspects: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)


def print_outcome(outcome: Outcome, console: Console, overrides: Sequence[str]) -> None:
    """Print the answer, the steps that led to it, and the command that looks at the commit alone.

    Args:
        outcome: What was found.
        console: Where it is printed.
        overrides: What each run was given.
    """
    found = outcome.exit_code == Exit.PASS
    head, style = ("FOUND", "bold green") if found else ("NOT FOUND", "bold red")
    say(console, printable(f"{head}: {outcome.verdict}"), style)
    if any(step.row is not None for step in outcome.steps):
        console.print(_table(outcome))
    if found:
        short = outcome.suspects[0][:SHORT]
        words = ["python", "-m", "bench.ab", f"base={short}~1", f"head={short}"]
        words += ["--", *overrides] if overrides else []
        say(console, printable(f"to look at it alone: {shlex.join(words)}"))


def _table(outcome: Outcome) -> Table:
    """A row for each commit that was compared with good."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("commit", "subject", "counts as", "change [interval]", "n", "p", "minutes"):
        table.add_column(name, no_wrap=name != "subject", overflow="fold")
    for step in outcome.steps:
        texts = {} if step.row is None else cells(step.row)
        table.add_row(
            *(
                Text(safe_line(text))
                for text in (
                    step.commit[:SHORT],
                    step.subject,
                    step.answer,
                    texts.get("change", ""),
                    texts.get("runs", ""),
                    texts.get("p", ""),
                    f"{step.duration_s / 60:.1f}",
                )
            )
        )
    return table
