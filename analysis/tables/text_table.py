"""A table of texts, and how it is written as Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass

from pandas import DataFrame

from bench.core.printable import csv_safe, markdown_safe, printable


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A text, and whether it is marked as the best of its column."""

    text: str
    best: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTable:
    """The content of a table, whatever its format.

    Attributes:
        title: What it is about.
        columns: Headings; the first is that of the rows' names.
        rows: A cell for each column.
        notes: What a reader must know, a sentence or two each.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()


def to_markdown(table: TextTable) -> str:
    """Write GitHub's Markdown: title, table with the best values in bold, notes as a list."""

    def text(cell: Cell) -> str:
        escaped = markdown_safe(cell.text)
        return f"**{escaped}**" if cell.best else escaped

    head = [Cell(text=column) for column in table.columns]
    # The first column holds names, the others hold numbers.
    rule = ["---", *["---:"] * (len(table.columns) - 1)]
    lines = [_pipes(map(text, head)), _pipes(rule)]
    lines += [_pipes(map(text, row)) for row in table.rows]
    notes = [f"- {markdown_safe(note)}" for note in table.notes]
    return "\n".join([f"### {markdown_safe(table.title)}", "", *lines, "", *notes]) + "\n"


def _pipes(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def to_csv(table: TextTable) -> str:
    """Write the cells as CSV, without notes; the best values end in ` *`."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(map(csv_safe, table.columns))
    for row in table.rows:
        writer.writerow([csv_safe(f"{cell.text} *" if cell.best else cell.text) for cell in row])
    return file.getvalue()


def frame_csv(data: DataFrame) -> str:
    """Write a frame as CSV with all digits; no text in it is a formula for a spreadsheet."""
    # A negative number also begins with a sign that a spreadsheet takes for a formula, but is safe.
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
    "\u00b2": r"$^2$",
    "\u00b5": r"$\mu$",
    "\u2022": r"\textbullet{}",
    "\u201c": "``",
    "\u201d": "''",
    "\u00d7": r"$\times$",
    "\u2265": r"$\geq$",
    "\u2264": r"$\leq$",
    "\u2020": r"\dag{}",
    "\u2021": r"\ddag{}",
}


def escape(text: str) -> str:
    """Escape a text so that LaTeX prints it literally; `inf` as a bound becomes the sign."""
    escaped = "".join(_SPECIAL.get(character, character) for character in printable(text))
    return escaped.replace(", inf)", r", $\infty$)").replace(" to inf)", r" to $\infty$)")


def _latex_row(cells: Iterable[Cell]) -> str:
    texts = [
        rf"\textbf{{{escape(cell.text)}}}" if cell.best else escape(cell.text) for cell in cells
    ]
    return " & ".join(texts) + r" \\"


def to_latex(table: TextTable, *, reference: str) -> str:
    r"""Write a `table` environment; it needs the packages booktabs and graphicx.

    A table wider than the text is scaled down to it (\ifdim keeps \resizebox from enlarging a
    narrow one). Notes are below it.

    Args:
        table: A TextTable.
        reference: What \ref calls it.
    """
    rows = [_latex_row(row) for row in table.rows]
    alignment = "l" + "r" * (len(table.columns) - 1)
    notes = " ".join(escape(note) for note in table.notes)
    return "\n".join(
        [
            r"\begin{table}[t]",
            r"\centering",
            rf"\caption{{{escape(table.title)}}}",
            rf"\label{{{reference}}}",
            # A box of TeX, so that its width is known before it is set.
            r"\sbox0{%",
            rf"\begin{{tabular}}{{{alignment}}}",
            r"\toprule",
            _latex_row([Cell(text=column) for column in table.columns]),
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
