"""The columns of the tables that end a command, and the table of as many as the console can hold.

Each column has a rank, and those of the lowest ranks are shown first. Cells may hold names and
flags that come from elsewhere, so their text is never read as markup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import NamedTuple

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.cli.terminal import in_ascii, plain_text
from bench.core.scales import Scale, Unit
from bench.runs.table.medians import Median, spread_text, unit_for, value_text

_GAP = 2  # characters between two columns
_PROSE_WIDTH = 100  # characters; a pipe takes lines of any length, but a reader does not
_MIN_NAME_WIDTH = 16
_CUT = "..."
_WANTED_RANK = 3
NO_GAPS: Mapping[int, str] = MappingProxyType({})
# box.SIMPLE_HEAD in ASCII; rich itself would draw a frame on a console that has only ASCII.
_ASCII_RULE = box.Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table.

    Attributes:
        heading: Its heading, which may have several lines.
        cells: One text per row, which may have several lines.
        rank: If not all columns fit, those of lower ranks are shown; rank 0 is always shown.
        note: A sentence for the legend.
        is_text: Words are aligned to the left, numbers to the right.
    """

    heading: str
    cells: Sequence[str]
    rank: int
    note: str = ""
    is_text: bool = False

    @property
    def width(self) -> int:
        """Characters that the column needs if no line is folded."""
        texts = (self.heading, *self.cells)
        return max(cell_len(line) for text in texts for line in text.split("\n"))

    @property
    def is_filled(self) -> bool:
        """Whether any cell shows something."""
        return any(cell not in ("", "-") for cell in self.cells)


def number_column(
    heading: str,
    medians: Sequence[Median | None],
    scale: Scale,
    *,
    rank: int,
    note: str = "",
    suffixes: Sequence[str] = (),
) -> Column:
    """Make a column of medians, with their unit in the heading.

    Args:
        heading: The first line of the heading.
        medians: In base units.
        scale: Units to choose from.
        rank: The rank of the column.
        note: A sentence for the legend.
        suffixes: What follows each number; nothing by default.
    """
    unit = unit_for(medians, scale)
    texts = [value_text(each, scale, unit) for each in medians]
    if suffixes:
        texts = [f"{text} {suffix}".rstrip() for text, suffix in zip(texts, suffixes, strict=True)]
    return Column(heading=_with_unit(heading, unit), cells=texts, rank=rank, note=note)


def spread_column(
    heading: str,
    medians: Sequence[Median | None],
    scale: Scale,
    *,
    rank: int,
    single: Sequence[str] = (),
    single_note: str = "",
) -> Column:
    """Make a column of ranges and intervals, in the unit of the column of their medians.

    Args:
        heading: The first line of the heading.
        medians: In base units.
        scale: As in number_column.
        rank: The rank of the column.
        single: What a row with a single run shows instead; nothing by default.
        single_note: What that means, for the legend.
    """
    unit = unit_for(medians, scale)
    spreads = [spread_text(each, scale, unit) for each in medians]
    cells = [spread or text for spread, text in zip(spreads, single or spreads, strict=True)]
    kinds = {m.estimate.kind for m, spread in zip(medians, spreads, strict=True) if m and spread}
    notes = [
        single_note if cells != spreads else "",
        "a to b: smallest and largest, of fewer than 6 runs." if "range" in kinds else "",
        "[a, b]: the 95% interval of a median." if "interval" in kinds else "",
    ]
    note = " ".join(filter(None, notes))
    return Column(heading=_with_unit(heading, unit), cells=cells, rank=rank, note=note)


def _with_unit(heading: str, unit: Unit | None) -> str:
    return heading if unit is None or not unit.name else f"{heading}\n{unit.name}"


def shared_text(heading: str, texts: Sequence[str]) -> tuple[str, list[str]]:
    """Move what all rows have in common from their cells into the heading.

    Args:
        heading: The heading so far.
        texts: What each row adds to its number; empty texts do not count.

    Returns:
        The heading, and what is left for the cell of each row.
    """
    different = set(texts) - {""}
    if len(different) == 1:
        return f"{heading}\n{different.pop()}", [""] * len(texts)
    return heading, list(texts)


class FittedTable(NamedTuple):
    """A table that fits its console, the columns it shows, and how many had no room."""

    table: Table
    shown: Sequence[Column]
    num_hidden: int


def fit_table(
    names: Sequence[Column],
    columns: Sequence[Column],
    console: Console,
    *,
    wanted_rank: int = _WANTED_RANK,
    gaps: Mapping[int, str] = NO_GAPS,
) -> FittedTable:
    """Make a table of as many columns as there is room for, with a name before each row.

    Args:
        names: Columns of names, the longest names first. A shorter one is taken if a longer one
            leaves too little room. If no row has a name, there is no such column.
        columns: In the order in which they are shown.
        console: Where the table is printed.
        wanted_rank: Names are shortened to make room for columns up to this rank.
        gaps: Texts that stand in lines of their own, each before the row of this number.
    """
    is_ascii = console.options.ascii_only
    if is_ascii:
        columns = [_in_ascii(column) for column in columns]
    columns = [column for column in columns if column.rank == 0 or column.is_filled]
    for name in names:
        width, shown = _choose_columns(name, columns, console.width)
        if all(column in shown for column in columns if column.rank <= wanted_rank):
            break
    table = Table(
        box=_ASCII_RULE if is_ascii else box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    rows = [column.cells for column in shown]
    if width:
        table.add_column(plain_text(name.heading), width=width, overflow="fold")
        rows = [[_shorten_words(text, width) for text in name.cells], *rows]
    for column in shown:
        justify = "left" if column.is_text else "right"
        table.add_column(plain_text(column.heading), justify=justify, overflow="fold")  # type: ignore[arg-type]
    for place, cells in enumerate(zip(*rows, strict=True)):
        if place in gaps:
            table.add_row(gaps[place])
        table.add_row(*map(plain_text, cells))
    return FittedTable(table, shown, len(columns) - len(shown))


def _in_ascii(column: Column) -> Column:
    return replace(
        column,
        heading=in_ascii(column.heading),
        cells=list(map(in_ascii, column.cells)),
        note=in_ascii(column.note),
    )


def _choose_columns(
    name: Column, columns: Sequence[Column], console_width: int
) -> tuple[int, list[Column]]:
    """Choose the width of the names (0 for none), and the columns of the lowest ranks that fit."""
    room = console_width + _GAP  # the last column is followed by no gap
    width = 0
    if any(name.cells):
        always = sum(column.width + _GAP for column in columns if column.rank == 0)
        most = max(_MIN_NAME_WIDTH, min(console_width // 2, room - always - _GAP))
        width = min(name.width, most)
        room -= width + _GAP
    places: set[int] = set()
    # A column that is too wide is left out alone: a narrower one of a higher rank may still fit.
    for place in sorted(range(len(columns)), key=lambda place: columns[place].rank):
        needed = columns[place].width + _GAP
        if needed <= room or columns[place].rank == 0:
            places.add(place)
            room -= needed
    if width:
        width = min(name.width, width + max(0, room))
    return width, [columns[place] for place in sorted(places)]


def _shorten_words(name: str, width: int) -> str:
    """Cut the middle out of words that are longer than a line; other names break at spaces."""
    if cell_len(name) <= width:
        return name
    return " ".join(shortened(word, width) for word in name.split(" "))


def shortened(text: str, width: int) -> str:
    """Cut the middle out of a text that is longer than `width` characters."""
    room = width - len(_CUT)
    if cell_len(text) <= width or room < 2:
        return text
    head = set_cell_size(text, room - room // 2).rstrip()
    return head + _CUT + set_cell_size(text[::-1], room // 2).rstrip()[::-1]


def prose_width(console: Console) -> int:
    """Characters in a line of a paragraph."""
    return min(console.width, _PROSE_WIDTH)


def prose(text: str, console: Console) -> Text:
    """Make a paragraph for above or below a table, broken at spaces."""
    shown = plain_text(in_ascii(text) if console.options.ascii_only else text)
    lines = shown.wrap(console, prose_width(console))
    return Text("\n").join(Text(line.plain.rstrip()) for line in lines)


def legend(tables: Sequence[FittedTable], console: Console, *paragraphs: str) -> list[Text]:
    """Explain the columns that are shown, and say how to see the others.

    Args:
        tables: The tables above the legend.
        console: Where it is printed.
        paragraphs: More paragraphs, which come first; empty ones are left out.
    """
    notes = dict.fromkeys(column.note for each in tables for column in each.shown if column.note)
    hidden = sum(each.num_hidden for each in tables)
    if hidden:
        columns = f"{hidden} more column{'s' * (hidden > 1)}"
        notes[f"{columns} in a wider terminal or a file."] = None
    return [prose(text, console) for text in (*paragraphs, " ".join(notes)) if text]
