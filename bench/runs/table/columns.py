"""Columns of the tables that end a command, and the table of as many as a console has room for.

Each column has a rank: those of the lowest ranks are shown first. The text of every cell may come
from elsewhere (names, flags): it is never markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from bench.cli.terminal import in_ascii, plain_text
from bench.runs.table.medians import Median, Scale, Unit, spread_text, unit_for, value_text

_GAP = 2  # characters between two columns
_PROSE_WIDTH = 100  # characters; a pipe takes lines of any length, a reader does not
_LEAST_NAME = 16
_CUT = "..."
_WANTED = 3
# Like box.SIMPLE_HEAD, which rich would draw as a frame where there is only ASCII.
_ASCII_RULE = box.Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column.

    Attributes:
        heading: In lines.
        cells: One per row, in lines.
        rank: Columns of lower ranks are shown where not all of them fit; 0 is always shown.
        note: Sentence for the legend.
        is_text: Whether cells begin on the left, as words do; numbers end on the right.
    """

    heading: str
    cells: Sequence[str]
    rank: int
    note: str = ""
    is_text: bool = False

    @property
    def width(self) -> int:
        """Characters, so that no line is folded."""
        texts = (self.heading, *self.cells)
        return max(cell_len(line) for text in texts for line in text.split("\n"))


def number_column(
    heading: str,
    medians: Sequence[Median | None],
    scale: Scale,
    *,
    rank: int,
    note: str = "",
    suffixes: Sequence[str] = (),
) -> Column:
    """A column of medians, with their unit in the heading.

    Args:
        heading: Its first line.
        medians: In base units.
        scale: Units to choose from.
        rank: Of the column.
        note: For the legend.
        suffixes: What stands behind each number.
    """
    unit = unit_for(medians, scale)
    texts = [value_text(each, scale, unit) for each in medians]
    shown = suffixes or [""] * len(texts)
    cells = [f"{text} {extra}".rstrip() for text, extra in zip(texts, shown, strict=True)]
    return Column(heading=_with_unit(heading, unit), cells=cells, rank=rank, note=note)


def spread_column(
    heading: str,
    medians: Sequence[Median | None],
    scale: Scale,
    *,
    rank: int,
    single: Sequence[str] = (),
    single_note: str = "",
) -> Column:
    """A column of ranges and intervals, in the unit of the column of their medians.

    Args:
        heading: Its first line.
        medians: In base units.
        scale: As in number_column.
        rank: Of the column.
        single: What stands there for a single run.
        single_note: What that means, for the legend.
    """
    unit = unit_for(medians, scale)
    texts = [spread_text(each, scale, unit) for each in medians]
    instead = single or [""] * len(texts)
    cells = [text or other for text, other in zip(texts, instead, strict=True)]
    kinds = {e.estimate.kind for e, text in zip(medians, texts, strict=True) if e and text}
    is_single = any(other and not text for text, other in zip(texts, instead, strict=True))
    notes = {
        "single": single_note,
        "range": "a to b: smallest and largest, of fewer than 6 runs.",
        "interval": "[a, b]: the 95% interval of a median.",
    }
    shown = [notes[kind] for kind in notes if kind in kinds or (kind == "single" and is_single)]
    note = " ".join(shown)
    return Column(heading=_with_unit(heading, unit), cells=cells, rank=rank, note=note)


def _with_unit(heading: str, unit: Unit | None) -> str:
    return heading if unit is None or not unit.name else f"{heading}\n{unit.name}"


def is_filled(column: Column) -> bool:
    """Whether any cell holds something."""
    return any(cell not in ("", "-") for cell in column.cells)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A table that fits its console, and the columns that it has."""

    table: Table
    shown: Sequence[Column]
    num_hidden: int


def fitted(
    naming: Sequence[Column],
    columns: Sequence[Column],
    console: Console,
    *,
    wanted: int = _WANTED,
) -> Fitted:
    """The table of as many columns as there is room for, a name before each row.

    Args:
        naming: Columns of names, the wordiest first; the last one where the others leave too
            little room. Without a name in any row, there is no such column.
        columns: In the order in which they are shown.
        console: What the table is for.
        wanted: Columns up to this rank are worth shorter names.
    """
    if console.options.ascii_only:
        columns = [_in_ascii(column) for column in columns]
    columns = [column for column in columns if column.rank == 0 or is_filled(column)]
    for names in naming:
        name, width, shown = _chosen(names, columns, console.width)
        if all(column in shown for column in columns if column.rank <= wanted):
            break
    table = Table(
        box=_ASCII_RULE if console.options.ascii_only else box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    rows = [column.cells for column in shown]
    if width:
        table.add_column(plain_text(name.heading), width=width, overflow="fold")
        rows = [[_wrappable(text, width) for text in name.cells], *rows]
    for column in shown:
        justify: JustifyMethod = "left" if column.is_text else "right"
        table.add_column(plain_text(column.heading), justify=justify, overflow="fold")
    for cells in zip(*rows, strict=True):
        table.add_row(*map(plain_text, cells))
    return Fitted(table=table, shown=shown, num_hidden=len(columns) - len(shown))


def _in_ascii(column: Column) -> Column:
    return replace(
        column,
        heading=in_ascii(column.heading),
        cells=[in_ascii(cell) for cell in column.cells],
        note=in_ascii(column.note),
    )


def _chosen(
    name: Column, columns: Sequence[Column], console_width: int
) -> tuple[Column, int, list[Column]]:
    """The column of names, its width (0 for none), and the columns of the lowest ranks that fit."""
    room = console_width + _GAP
    width = 0
    if any(name.cells):
        always = sum(column.width + _GAP for column in columns if column.rank == 0)
        most = max(_LEAST_NAME, min(console_width // 2, room - always - _GAP))
        width = min(name.width, most)
        room -= width + _GAP
    places: set[int] = set()
    for place in sorted(range(len(columns)), key=lambda place: columns[place].rank):
        needed = columns[place].width + _GAP
        if needed <= room or columns[place].rank == 0:
            places.add(place)
            room -= needed
    if width:
        width = min(name.width, width + max(0, room))
    return name, width, [columns[place] for place in sorted(places)]


def _wrappable(name: str, width: int) -> str:
    """The name with words no longer than a line: what is longer loses its middle."""
    return (
        name
        if cell_len(name) <= width
        else " ".join(shortened(word, width) for word in name.split(" "))
    )


def shortened(text: str, width: int) -> str:
    """The text without its middle where it is longer than that many characters."""
    room = width - len(_CUT)
    if cell_len(text) <= width or room < 2:
        return text
    tail = text[::-1]
    head = set_cell_size(text, room - room // 2).rstrip()
    return head + _CUT + set_cell_size(tail, room // 2).rstrip()[::-1]


def prose_width(console: Console) -> int:
    """Characters in a line of a paragraph."""
    return min(console.width, _PROSE_WIDTH)


def prose(text: str, console: Console) -> Text:
    """A paragraph under or above a table, broken at spaces."""
    shown = plain_text(in_ascii(text) if console.options.ascii_only else text)
    lines = shown.wrap(console, prose_width(console))
    return Text("\n").join(Text(line.plain.rstrip()) for line in lines)


def legend(fitted: Sequence[Fitted], console: Console, *more: str) -> list[Text]:
    """What the columns that are shown mean, and how to see the others.

    Args:
        fitted: The tables above it.
        console: Where.
        more: Paragraphs of their own, before it; empty ones are left out.
    """
    notes = dict.fromkeys(column.note for each in fitted for column in each.shown if column.note)
    hidden = sum(each.num_hidden for each in fitted)
    if hidden:
        columns = f"{hidden} more column{'s' * (hidden > 1)}"
        notes[f"{columns} in a wider terminal or a file."] = None
    return [prose(text, console) for text in (*more, " ".join(notes)) if text]
