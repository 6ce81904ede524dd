"""Where the time went that was lost, on the terminal and in Markdown."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.cli.terminal import safe_line, say
from bench.core.printable import markdown_safe
from bench.gate.explanation import Explanation, Part
from bench.gate.report.cells import percent

_MOST_ROWS = 8
_MS = 1e3
_HEADINGS = ("part", "base -> candidate ms", "change", "calls", "joules")


def print_explanation(explanation: Explanation, console: Console) -> None:
    """Print where the time went."""
    for title, parts in _titled(explanation).items():
        say(console, title)
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        for heading in _HEADINGS:
            table.add_column(heading, no_wrap=heading != _HEADINGS[0], overflow="fold")
        for part in parts[:_MOST_ROWS]:
            table.add_row(*(Text(safe_line(text)) for text in _cells(part)))
        console.print(table)
    if explanation.reason:
        say(console, f"note: {safe_line(explanation.reason)}")


def explanation_markdown(explanation: Explanation) -> str:
    """The same as Markdown, folded."""
    blocks = []
    for title, parts in _titled(explanation).items():
        lines = [list(_HEADINGS), ["---"] * len(_HEADINGS)]
        lines += [[markdown_safe(text) for text in _cells(part)] for part in parts[:_MOST_ROWS]]
        blocks += [title, "\n".join(f"| {' | '.join(line)} |" for line in lines)]
    if explanation.reason:
        blocks.append(f"- {markdown_safe(explanation.reason)}")
    body = "\n\n".join(blocks)
    return f"<details><summary>Where the time went</summary>\n\n{body}\n\n</details>"


def _titled(explanation: Explanation) -> dict[str, list[Part]]:
    titles = {
        "Phases, medians of the runs compared:": explanation.phases,
        "Operators of one traced run per side, by themselves; joules by share of time:": (
            explanation.operators
        ),
    }
    return {title: parts for title, parts in titles.items() if parts}


def _cells(part: Part) -> tuple[str, ...]:
    change = percent(part.lost_s / part.base_s) if part.base_s else "new"
    calls = (
        ""
        if part.base_calls is None or part.candidate_calls is None
        else f"{part.base_calls}"
        if part.base_calls == part.candidate_calls
        else f"{part.base_calls} -> {part.candidate_calls}"
    )
    joules = (
        ""
        if part.base_j is None or part.candidate_j is None
        else f"{part.base_j:.3g} -> {part.candidate_j:.3g}"
    )
    times = f"{part.base_s * _MS:.4g} -> {part.candidate_s * _MS:.4g}"
    return part.name, times, change, calls, joules
