"""A table as LaTeX: a table environment with booktabs' rules, ready to be included."""

from __future__ import annotations

from analysis.tables.text_table import TextTable
from bench.core.printable import printable

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
