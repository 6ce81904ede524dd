"""Sentences on a history: what it holds, and each change point."""

from __future__ import annotations

from bench.gate.history.model import Change, History, Series
from bench.gate.report.cells import percent, value_with_unit

_DIGITS = 10


def history_lines(history: History) -> list[str]:
    """What the history holds, then a line for each change point, the latest first."""
    found = [(series, change) for series in history.series for change in series.changes]
    found.sort(key=lambda one: one[1].utc, reverse=True)
    num = len(found)
    tested = (
        f"{num} change point{'' if num == 1 else 's'} in {history.num_tested} series that vary, "
        f"each tested at {100 * history.level:.2g}%; chance of any if nothing changed: at most "
        f"{100 * history.alpha:.2g}%"
        if history.num_tested
        else "no series varies and has enough checks to be tested"
    )
    left_out = f"; left out: {', '.join(history.left_out)}" if history.left_out else ""
    checks = f"{history.num_checks} checks {history.order}{left_out}"
    return [
        f"history {history.folder}: {checks}; {tested}",
        *(_change_line(series, change) for series, change in found),
    ]


def _change_line(series: Series, change: Change) -> str:
    worse = change.loss_frac > 0
    bounds = change.ratio
    interval = (
        f" [{percent(bounds.low - 1)}, {percent(bounds.high - 1)}]"
        if bounds.kind == "interval" and bounds.low is not None and bounds.high is not None
        else ""
    )
    size = "" if change.ratio.value is None else f"{percent(change.ratio.value - 1)}{interval} "
    before, after = (
        value_with_unit(series.metric, value) for value in (change.base, change.candidate)
    )
    line = (
        f"history: {series.metric.name} of {series.configuration} got "
        f"{'worse' if worse else 'better'}: {size}({before} -> {after}) {_where(change)}, "
        f"p = {change.p:.2g}; {change.num_before} checks before, {change.num_after} after"
    )
    if worse and change.last_before and change.first_after != change.last_before:
        good, bad = change.last_before[:_DIGITS], (change.first_after or "")[:_DIGITS]
        line += f"; python -m bench.bisect good={good} bad={bad} finds the commit"
    return line


def _where(change: Change) -> str:
    if change.first_after is None:
        return f"on {change.utc[:10]}"
    commit, day = change.first_after[:_DIGITS], change.utc[:10]
    if change.last_before is None or change.last_before == change.first_after:
        return f"at {commit}, on {day}"
    return f"after {change.last_before[:_DIGITS]}, from {commit} ({day}) on"
