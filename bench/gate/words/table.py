"""A comparison on the terminal: verdict first, then what failed, then the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from textwrap import fill

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.cli.terminal import say, shown
from bench.core.printable import printable
from bench.gate.model import EXIT_PASS, Comparison, Row
from bench.gate.words.row_words import HEADINGS, RowWords, row_words
from bench.gate.words.sentences import (
    legend,
    one_configuration,
    ordered,
    provenance_lines,
    verdict_line,
)

_STYLES = {"regression": "bold red", "underpowered": "yellow", "improvement": "green"}


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print all of a comparison.

    Args:
        comparison: What is shown.
        console: Where; the table is as wide as it is at most.
    """
    style = "bold green" if comparison.exit_code == EXIT_PASS else "bold red"
    verdict = verdict_line(comparison)
    _line(console, verdict, style)
    if comparison.rows:
        shared = one_configuration(comparison.rows)
        if shared is not None:
            _line(console, f"all rows: {shared}")
        table = gate_table(comparison.rows)
        unbounded = console.options.update_width(10_000)
        if console.measure(table, options=unbounded).maximum > console.width:
            table = gate_table(comparison.rows, grouped=True)
        console.print(table)
    for problem in comparison.problems:
        if printable(problem.message) not in verdict:
            _line(console, f"{problem.kind}: {problem.message}", "bold red")
    for remark in comparison.remarks:
        _line(console, f"note: {remark}")
    for line in provenance_lines(comparison):
        _line(console, line)
    if comparison.rows:
        say(console, legend(comparison), "dim")


def gate_table(rows: Sequence[Row], *, grouped: bool = False) -> Table:
    """Rows with what failed at the top; without the configuration where all have the same.

    Args:
        rows: What is shown.
        grouped: The configuration stands above its rows, not beside them: the table is narrower.
    """
    names = [field.name for field in fields(RowWords)]
    one = one_configuration(rows) is not None
    if one or grouped:
        names.remove("configuration")
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in names:
        whole = name in ("metric", "runs", "p")
        table.add_column(getattr(HEADINGS, name), no_wrap=whole, overflow="fold")
    longest = max(len(row.metric.name) for row in rows)
    above = None
    for row in ordered(rows):
        words = row_words(row)
        if grouped and not one and words.configuration != above:
            above = words.configuration
            # A column that does not wrap: it would become as wide as the configuration is long.
            table.add_row(Text(fill(shown(above), longest)), style="bold")
        # Text: brackets would be read as markup.
        cells = (Text(shown(getattr(words, name))) for name in names)
        table.add_row(*cells, style=_STYLES.get(row.verdict))
    return table


def _line(console: Console, text: str, style: str | None = None) -> None:
    """In one line, whatever names and messages hold: a second one would look like our own."""
    say(console, printable(text), style)
