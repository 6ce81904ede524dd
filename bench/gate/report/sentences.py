"""Sentences on a comparison as a whole: its verdict, its legend, and where its sides come from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bench.core.printable import printable
from bench.core.stats.intervals import MIN_RUNS
from bench.gate.model import Comparison, Exit, GateRow, Problem, Verdict
from bench.gate.report.cells import change, configuration, medians, num_more

HEADLINES: dict[int, str] = {
    Exit.PASS: "PASS",
    Exit.REGRESSION: "REGRESSION",
    Exit.TOO_LITTLE: "TOO LITTLE TO COMPARE",
    Exit.INCOMPARABLE: "INCOMPARABLE",
    Exit.FAILED: "A RUN FAILED",
    Exit.NOT_INSTALLED: "NOT INSTALLED",
    Exit.WRONG: "NOT STARTED",
    Exit.INTERRUPTED: "INTERRUPTED",
}
_BROKEN = "THE COMMAND BROKE"  # exit code 5 where no run failed, but the command itself
FAILING: tuple[Verdict, ...] = ("regression", "underpowered")
_ORDER: tuple[Verdict, ...] = (*FAILING, "improvement", "no change", "not judged")
_COMMIT_DIGITS = 10


def verdict_line(comparison: Comparison) -> str:
    """The outcome in one line, which begins with the verdict in capitals."""
    code, rows = comparison.exit_code, comparison.rows
    # The first of the gravest problems: the one that decides the exit code.
    problem = min(comparison.problems, key=lambda each: each.exit_code != code, default=None)
    if code == Exit.REGRESSION:
        text = _regressions(rows)
    elif code == Exit.PASS:
        text = _passed(rows)
    else:
        text = _problem(problem, len(comparison.problems) - 1)
        if code == Exit.TOO_LITTLE:
            text = "; ".join(filter(None, [text, _too_few(rows)]))
        elif _with_verdict(rows, "regression"):
            text += f"; besides, a regression: {_regressions(rows)}"
    broken = code == Exit.FAILED and problem is not None and problem.kind == "broken"
    return printable(f"{_BROKEN if broken else HEADLINES[code]}: {text}")


def ordered(rows: Sequence[GateRow]) -> list[GateRow]:
    """Sort failing rows to the front, the worst regression first; the others keep their order."""

    def key(row: GateRow) -> tuple[int, float]:
        loss = math.inf if row.loss_frac is None else row.loss_frac
        return _ORDER.index(row.verdict), -loss if row.verdict == "regression" else 0.0

    return sorted(rows, key=key)


def legend(comparison: Comparison) -> str:
    """How to read the rows, in two lines."""
    return (
        f"change: of the median, as the value changes{_bounds_legend(comparison.rows)}; ~ not "
        "significant. n: runs, base/candidate. p: one-sided, by Holm.\n"
        "exact: the same work gives the same number, so no test is needed. Chance of any "
        f"false alarm in this comparison: at most {100 * comparison.alpha:.2g}%."
    )


def _bounds_legend(rows: Sequence[GateRow]) -> str:
    """Explain the kinds of bounds that the rows have."""
    ratios = [row.ratio for row in rows if row.ratio is not None and row.ratio.low is not None]
    texts = []
    if (one := next((each for each in ratios if each.kind == "interval"), None)) is not None:
        texts.append(f"[its {one.confidence:.0%} interval]")
    if any(each.kind == "range" for each in ratios):
        texts.append(f"(below {MIN_RUNS} runs, the range of single runs' ratios)")
    return f", with {' or '.join(texts)}" if texts else ""


def provenance_lines(comparison: Comparison) -> list[str]:
    """Where each side is from, a line each."""
    names = {"base": comparison.base_name, "candidate": comparison.candidate_name}
    return [
        f"{side}: {side_line(name, comparison.provenance.get(side, {}))}"
        for side, name in names.items()
    ]


def side_line(name: str, provenance: Mapping[str, Any]) -> str:
    """A side's name, commits, hosts, number of runs and times; what is not known is left out."""
    facts = dict(provenance)
    commits = [_short_commit(commit) for commit in facts.pop("commits", None) or []]
    first, last = facts.pop("first_started_utc", None), facts.pop("last_started_utc", None)
    num_runs = facts.pop("num_runs", None)
    # What is left after these is named by its key: a later version may add facts.
    texts = [
        name,
        _fact("commit", commits),
        _fact("host", facts.pop("hosts", None)),
        _fact("CPU", facts.pop("cpus", None)),
        "" if num_runs is None else f"{num_runs} run{'' if num_runs == 1 else 's'}",
        _fact("measured", first if first == last else f"{first} to {last}"),
        _fact("accepted", facts.pop("accepted_utc", None)),
        *(_fact(key, value) for key, value in facts.items()),
    ]
    return ", ".join(filter(None, texts))


def _short_commit(commit: str) -> str:
    digits, dash, state = commit.partition("-")  # the state is `dirty`
    return digits[:_COMMIT_DIGITS] + dash + state


def _fact(name: str, value: Any) -> str:
    several = isinstance(value, (list, tuple))
    text = " and ".join(map(str, value)) if several else "" if value is None else str(value)
    return f"{name} {text}" if text else ""


def _with_verdict(rows: Sequence[GateRow], verdict: Verdict) -> list[GateRow]:
    return [row for row in rows if row.verdict == verdict]


def _num_judged(rows: Sequence[GateRow]) -> str:
    num = len(rows) - len(_with_verdict(rows, "not judged"))
    return f"{num} row{'' if num == 1 else 's'}"


def _regressions(rows: Sequence[GateRow]) -> str:
    worst = ordered(rows)[0]
    num = len(_with_verdict(rows, "regression"))
    return (
        f"{num} of {_num_judged(rows)}, worst {worst.metric.name} "
        f"{change(worst) or medians(worst)} ({configuration(worst)})"
    )


def _passed(rows: Sequence[GateRow]) -> str:
    parts = [f"no regression in {_num_judged(rows)}"]
    if num := len(_with_verdict(rows, "improvement")):
        parts.append(f"{num} improved")
    if num := len(_with_verdict(rows, "not judged")):
        parts.append(f"{num} not judged")
    return ", ".join(parts)


def _too_few(rows: Sequence[GateRow]) -> str:
    underpowered = _with_verdict(rows, "underpowered")
    if not underpowered:
        return "" if len(_with_verdict(rows, "not judged")) < len(rows) else "no row was judged"
    # All rows share the runs, so the largest number decides.
    most = max(row.more_runs or 0 for row in underpowered)
    text = f"{len(underpowered)} of {_num_judged(rows)} underpowered"
    return f"{text}, {num_more(most, 'run')} per side needed" if most else text


def _problem(problem: Problem | None, num_others: int) -> str:
    """The problem that decides, and how many more there are."""
    if problem is None:
        return ""
    text = problem.message.partition("\n")[0]  # further lines are the end of a log
    return text + (f" (and {num_more(num_others, 'problem')})" if num_others else "")
