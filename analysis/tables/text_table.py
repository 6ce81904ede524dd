"""A table as texts, and written as Markdown and CSV; analysis.tables.latex writes it as LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass

from pandas import DataFrame

from bench.core.printable import csv_safe, markdown_safe


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
        escaped = markdown_safe(cell.text)
        return f"**{escaped}**" if cell.best else escaped

    head = [Cell(text=column) for column in table.columns]
    rule = ["---", *["---:"] * (len(table.columns) - 1)]
    lines = [_pipes(map(text, head)), _pipes(rule)]
    lines += [_pipes(map(text, row)) for row in table.rows]
    notes = [f"- {markdown_safe(note)}" for note in table.notes]
    return "\n".join([f"### {markdown_safe(table.title)}", "", *lines, "", *notes]) + "\n"


def _pipes(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def to_csv(table: TextTable) -> str:
    """CSV of the texts; the best values end in ` *`. The notes are not in it."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(map(csv_safe, table.columns))
    for row in table.rows:
        writer.writerow([csv_safe(f"{cell.text} *" if cell.best else cell.text) for cell in row])
    return file.getvalue()


def frame_csv(data: DataFrame) -> str:
    """CSV of a frame with all digits; no text of it is a formula for a spreadsheet."""
    texts = data.select_dtypes(exclude="number")
    safe = texts.map(lambda value: csv_safe(value) if isinstance(value, str) else value)
    named = data.assign(**{str(name): safe[name] for name in safe})
    return named.rename(columns=csv_safe).to_csv(index=False)
