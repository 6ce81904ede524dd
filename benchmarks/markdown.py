"""Prints the tables of benchmarks as Markdown, each row once it is measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def print_table(rows: Iterable[Sequence[str]]) -> None:
    """Print a table whose first row is its heading."""
    for place, row in enumerate(rows):
        print(f"| {' | '.join(row)} |", flush=True)
        if not place:
            print(f"| {' | '.join(['---'] * len(row))} |")
