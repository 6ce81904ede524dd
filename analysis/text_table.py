"""A table as texts, and written as Markdown and CSV; analysis.latex writes it as LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A text, and whether it is marked as the best of its kind."""

    text: str
    best: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTable:
    """What a table shows, whatever it is written as.

    Attributes:
        title: What it is about.
        columns: Heads; the first is of the rows' names.
        rows: As many cells each as there are columns.
        notes: What a reader must know, a sentence each.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()


def to_markdown(table: TextTable) -> str:
    """GitHub's Markdown: title, table with the best values in bold, notes as a list."""

    def text(cell: Cell) -> str:
        escaped = cell.text.replace("\\", "\\\\").replace("|", "\\|").replace("*", "\\*")
        return f"**{escaped}**" if cell.best else escaped

    head = [Cell(text=column) for column in table.columns]
    rule = ["---", *["---:"] * (len(table.columns) - 1)]
    lines = [_pipes(map(text, head)), _pipes(rule)]
    lines += [_pipes(map(text, row)) for row in table.rows]
    notes = [f"- {note}" for note in table.notes]
    return "\n".join([f"### {table.title}", "", *lines, "", *notes]) + "\n"


def _pipes(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def to_csv(table: TextTable) -> str:
    """CSV of the texts; the best values end in ` *`. The notes are not in it."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(table.columns)
    for row in table.rows:
        writer.writerow([f"{cell.text} *" if cell.best else cell.text for cell in row])
    return file.getvalue()
