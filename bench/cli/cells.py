"""What the tables of the commands share: how runs are named, cells filled and tables fitted."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from bench.core.labels import EnergyLabel
from bench.core.records import RunRecord

ABSENT = "-"
_ENDLESS = 10_000
_NARROW_COLUMN = 26  # characters, as wide as a heading on one line


def fitting_tables(
    headings: Sequence[str], rows: Sequence[Sequence[str]], console: Console
) -> list[Table]:
    """Runs as rows; where the console is too narrow, as columns of as many tables as it takes.

    Args:
        headings: Of the columns; the first is that of the runs' names.
        rows: A cell for each heading.
        console: What the tables are for.
    """
    wide = _table(headings, rows)
    endless = console.options.update(width=_ENDLESS)
    if console.measure(wide, options=endless).maximum <= console.width:
        return [wide]
    num_columns = max(1, console.width // _NARROW_COLUMN - 1)
    chunks = [rows[first : first + num_columns] for first in range(0, len(rows), num_columns)]
    flat = [heading.replace("\n", " ") for heading in headings]
    return [_table(*_transposed(flat, chunk)) for chunk in chunks]


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(*headings, show_lines=True)
    for row in rows:
        table.add_row(*row)
    return table


def _transposed(
    headings: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    first, *others = zip(headings, *rows, strict=True)
    return first, others


def names_of_runs(overrides: Sequence[Sequence[str]]) -> list[str]:
    """What tells the runs apart: the overrides that they do not all share."""
    shared = set.intersection(*map(set, overrides)) if len(overrides) > 1 else set()
    return [
        "\n".join(item for item in items if item not in shared) or "defaults" for items in overrides
    ]


def number_cell(value: float | None, factor: float = 1.0) -> str:
    """Three significant digits, whole numbers from 1000 on."""
    if value is None:
        return ABSENT
    scaled = value * factor
    return f"{scaled:.3g}" if abs(scaled) < 999.5 else f"{scaled:.0f}"


def label_cell(joules: str, label: EnergyLabel | None, error_frac: float | None) -> str:
    """Joules with how they were obtained and how far they may be off."""
    if label is None:
        return joules
    # Two digits: it is a bound.
    bound = "" if error_frac is None else f" ±{float(f'{error_frac * 100:.2g}'):g}%"
    return f"{joules}\n({label}{bound})"


def health_cell(record: RunRecord) -> str:
    """Whether the run is fit to be compared, and why not."""
    if record.health is None:
        return ABSENT
    flags = ", ".join(record.health.flags)
    return ("yes" if record.health.fit else "no") + (f"\n{flags}" if flags else "")
