"""What the gate says of a comparison, in words: the same on the terminal and in every file."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from bench.core.printable import printable
from bench.core.stats.intervals import MIN_RUNS
from bench.gate.model import (
    EXIT_FAILED,
    EXIT_INCOMPARABLE,
    EXIT_INTERRUPTED,
    EXIT_NOT_INSTALLED,
    EXIT_PASS,
    EXIT_REGRESSION,
    EXIT_TOO_LITTLE,
    EXIT_WRONG,
    Comparison,
    Problem,
    Row,
    Verdict,
)
from bench.gate.words.row_words import change_frac, medians, num_more, percent, row_words

HEADLINES = {
    EXIT_PASS: "PASS",
    EXIT_REGRESSION: "REGRESSION",
    EXIT_TOO_LITTLE: "TOO LITTLE TO COMPARE",
    EXIT_INCOMPARABLE: "INCOMPARABLE",
    EXIT_FAILED: "A RUN FAILED",
    EXIT_NOT_INSTALLED: "NOT INSTALLED",
    EXIT_WRONG: "NOT STARTED",
    EXIT_INTERRUPTED: "INTERRUPTED",
}
BROKEN = "THE COMMAND BROKE"  # in place of a run that failed
FAILING: tuple[Verdict, ...] = ("regression", "underpowered")
_ORDER: tuple[Verdict, ...] = (*FAILING, "improvement", "no change", "not judged")
_PLAIN_PATH = re.compile(r"[\w./+-]+", re.ASCII)
_COMMIT_DIGITS = 10


def verdict_line(comparison: Comparison) -> str:
    """What came of it, in one line that begins with the verdict in capitals."""
    code, rows = comparison.exit_code, comparison.rows
    if code == EXIT_REGRESSION:
        told = _regressions(rows)
    elif code == EXIT_PASS:
        told = _passed(rows)
    elif code == EXIT_TOO_LITTLE:
        told = "; ".join(filter(None, [_gravest(comparison), _too_few(rows)]))
    else:
        told = _gravest(comparison)
        if _of(rows, "regression"):
            told += f"; besides, a regression: {_regressions(rows)}"
    problem = _deciding(comparison)
    broken = code == EXIT_FAILED and problem is not None and problem.kind == "broken"
    return printable(f"{BROKEN if broken else HEADLINES[code]}: {told}")


def ordered(rows: Sequence[Row]) -> list[Row]:
    """Failing rows first, the worst regression at the top; the others in their order."""

    def place(row: Row) -> tuple[int, float]:
        loss = float("inf") if row.loss_frac is None else row.loss_frac
        return _ORDER.index(row.verdict), -loss if row.verdict == "regression" else 0.0

    return sorted(rows, key=place)


def legend(comparison: Comparison) -> str:
    """How to read the rows; two lines."""
    return (
        f"change: of the median, as the value changes{_bounds_words(comparison.rows)}; ~ not "
        "significant. n: runs, base/candidate. p: one-sided, by Holm.\n"
        "exact: the same whenever the same work is done, so that no test is needed. Chance of any "
        f"false alarm in this comparison: at most {100 * comparison.alpha:.2g}%."
    )


def _bounds_words(rows: Sequence[Row]) -> str:
    """What the bounds of changes are, as far as the rows have any."""
    ratios = [row.ratio for row in rows if row.ratio is not None and row.ratio.low is not None]
    words = []
    if (one := next((each for each in ratios if each.kind == "interval"), None)) is not None:
        words.append(f"[its {one.confidence:.0%} interval]")
    if any(each.kind == "range" for each in ratios):
        words.append(f"(below {MIN_RUNS} runs, the range of single runs' ratios)")
    return f", with {' or '.join(words)}" if words else ""


def one_configuration(rows: Sequence[Row]) -> str | None:
    """The configuration of all rows; None where there are several, or no rows."""
    names = {row_words(row).configuration for row in rows}
    return names.pop() if len(names) == 1 else None


def provenance_lines(comparison: Comparison) -> list[str]:
    """Where each side is from, a line each."""
    names = {"base": comparison.base_name, "candidate": comparison.candidate_name}
    return [
        f"{side}: {side_words(name, comparison.provenance.get(side, {}))}"
        for side, name in names.items()
    ]


def side_words(name: str, provenance: Mapping[str, Any]) -> str:
    """Where a side is from: its name, commit, host, number of runs and when they were made."""
    return ", ".join([name, *_provenance(provenance)])


def accept_command(baseline: str, candidate: str) -> str:
    """What to type to store the candidate as the baseline."""
    return compare_command(baseline, candidate, "accept=true")


def compare_command(baseline: str, candidate: str, *others: str) -> str:
    """What to type to compare two sides, quoted for a shell and for Hydra.

    Args:
        baseline: A path.
        candidate: Likewise.
        others: More arguments, as Hydra takes them.
    """
    pairs = (("baseline", baseline), ("candidate", candidate))
    words = [f"{key}={hydra_quoted(path)}" for key, path in pairs]
    return " ".join(["python -m bench.compare", *map(shlex.quote, (*words, *others))])


def hydra_quoted(path: str) -> str:
    """Any text as a value of Hydra's grammar."""
    if _PLAIN_PATH.fullmatch(path):
        return path
    # Only what stands before a quote counts as an escape to Hydra.
    doubled = re.sub(r"(\\+)(?='|$)", r"\1\1", path)
    # Interpolation goes on inside of quotes.
    return "'" + doubled.replace("'", "\\'").replace("${", "\\${") + "'"


def _provenance(facts: Mapping[str, Any]) -> list[str]:
    """Commit, host, runs and time as words; what is not known is left out."""
    given = dict(facts)
    commits = [_short(commit) for commit in given.pop("commits", None) or []]
    first, last = given.pop("first_started_utc", None), given.pop("last_started_utc", None)
    when = first if first == last else f"{first} to {last}"
    texts = [
        _listed("commit", commits),
        _listed("host", given.pop("hosts", None)),
        _listed("CPU", given.pop("cpus", None)),
        *(_num_runs(num) for num in [given.pop("num_runs", None)] if num is not None),
        _listed("measured", when),
        _listed("accepted", given.pop("accepted_utc", None)),
        *(_listed(key, value) for key, value in given.items()),
    ]
    return [text for text in texts if text]


def _num_runs(num: int) -> str:
    return f"{num} run{'' if num == 1 else 's'}"


def _short(commit: str) -> str:
    """The first digits of a commit; whether it was dirty stays."""
    digits, dash, state = commit.partition("-")
    return digits[:_COMMIT_DIGITS] + dash + state


def _listed(name: str, value: Any) -> str:
    several = isinstance(value, (list, tuple))
    told = " and ".join(map(str, value)) if several else "" if value is None else str(value)
    return f"{name} {told}" if told else ""


def _of(rows: Sequence[Row], *verdicts: Verdict) -> list[Row]:
    return [row for row in rows if row.verdict in verdicts]


def _num_judged(rows: Sequence[Row]) -> str:
    num = len(rows) - len(_of(rows, "not judged"))
    return f"{num} row{'' if num == 1 else 's'}"


def _regressions(rows: Sequence[Row]) -> str:
    worst = ordered(rows)[0]
    change = change_frac(worst)
    told = medians(worst) if change is None else percent(change)
    where = row_words(worst).configuration
    num = len(_of(rows, "regression"))
    return f"{num} of {_num_judged(rows)}, worst {worst.metric.name} {told} ({where})"


def _passed(rows: Sequence[Row]) -> str:
    parts = [f"no regression in {_num_judged(rows)}"]
    if num := len(_of(rows, "improvement")):
        parts.append(f"{num} improved")
    if num := len(_of(rows, "not judged")):
        parts.append(f"{num} not judged")
    return ", ".join(parts)


def _too_few(rows: Sequence[Row]) -> str:
    open_rows = _of(rows, "underpowered")
    if not open_rows:
        return "" if len(_of(rows, "not judged")) < len(rows) else "no row was judged"
    most = max(row.more_runs or 0 for row in open_rows)
    told = f"{len(open_rows)} of {_num_judged(rows)} underpowered"
    return f"{told}, {num_more(most, 'run')} per side needed" if most else told


def _deciding(comparison: Comparison) -> Problem | None:
    """The first of the gravest problems; None where there is none at all."""
    code = comparison.exit_code
    return min(comparison.problems, key=lambda problem: problem.exit_code != code, default=None)


def _gravest(comparison: Comparison) -> str:
    """The problem that decides, and how many there are beside it."""
    problem = _deciding(comparison)
    if problem is None:
        return ""
    others = len(comparison.problems) - 1
    # What follows the first line is the end of a log.
    told = problem.message.partition("\n")[0]
    return told + (f" (and {num_more(others, 'problem')})" if others else "")
