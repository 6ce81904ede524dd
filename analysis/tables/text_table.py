"""A table as texts, and written as Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass

from pandas import DataFrame

from bench.core.printable import csv_safe, markdown_safe, printable


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


_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "\u00b1": r"$\pm$",
    "\u00d7": r"$\times$",
    "\u2265": r"$\geq$",
    "\u2264": r"$\leq$",
    "\u2020": r"\dag{}",
    "\u2021": r"\ddag{}",
}


def escape(text: str) -> str:
    """The text as LaTeX sets it literally; `inf` as a bound becomes the sign."""
    escaped = "".join(_SPECIAL.get(character, character) for character in printable(text))
    return escaped.replace(", inf)", r", $\infty$)").replace(" to inf)", r" to $\infty$)")


def to_latex(table: TextTable, *, reference: str) -> str:
    r"""A `table` environment that needs the packages booktabs and graphicx.

    It is scaled to the width of the text where it is wider than that (\resizebox only shrinks
    through \ifdim). Notes stand below it.

    Args:
        table: A TextTable.
        reference: What \ref calls it.
    """
    rows = [
        " & ".join(
            rf"\textbf{{{escape(cell.text)}}}" if cell.best else escape(cell.text) for cell in row
        )
        + r" \\"
        for row in table.rows
    ]
    head = " & ".join(escape(column) for column in table.columns) + r" \\"
    alignment = "l" + "r" * (len(table.columns) - 1)
    notes = " ".join(escape(note) for note in table.notes)
    return "\n".join(
        [
            r"\begin{table}[t]",
            r"\centering",
            rf"\caption{{{escape(table.title)}}}",
            rf"\label{{{reference}}}",
            r"\sbox0{%",
            rf"\begin{{tabular}}{{{alignment}}}",
            r"\toprule",
            head,
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}}%",
            r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi",
            "",
            rf"\par\smallskip{{\footnotesize {notes}\par}}",
            r"\end{table}",
            "",
        ]
    )
