"""The table `search`: what the runs cost altogether, and until the first one hit its target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from pandas import DataFrame

from analysis.tables.digits import with_digits
from analysis.tables.notes import UNKNOWN, search_notes
from analysis.tables.text_table import Cell, TextTable

_Row = Mapping[Any, Any]


def search_table(costs: DataFrame, num_refused: int = 0) -> TextTable | None:
    """Make the table of what the search cost, from search_cost; None without any training."""
    if costs.empty:
        return None
    several = costs["peer_group"].any()
    headings = ["quantity", "until the first hit", "in all", "runs", "of unknown cost"]
    rows = []
    for row in costs.to_dict("records"):
        # Not 0: without a hit nobody knows what it would have taken.
        until = "no hit"
        if not pd.isna(row["num_until_first_hit"]):
            until = _sum_text(row["until_first_hit"], row["num_unknown_until_first_hit"])
        in_all = _sum_text(row["in_all"], row["num_unknown"])
        texts = [_quantity_name(row, costs), until, in_all, row["num_runs"], row["num_unknown"]]
        rows.append(tuple(map(_cell, [row["peer_group"], *texts] if several else texts)))
    return TextTable(
        title="Cost of the search",
        columns=tuple(["search for", *headings] if several else headings),
        rows=tuple(rows),
        notes=tuple(search_notes(costs, num_refused)),
    )


def _quantity_name(row: _Row, costs: DataFrame) -> str:
    """The quantity with its label, and with the parts of the machine if these tell rows apart."""
    label, parts = (
        row[name] if isinstance(row[name], str) else "" for name in ("label", "components")
    )
    if not label:
        return str(row["quantity"])
    same = (costs["quantity"] == row["quantity"]) & (costs["label"] == label)
    num = costs.loc[same, "components"].nunique(dropna=False)
    return f"{row['quantity']}, {label}{f' of {parts}' if parts and num > 1 else ''}"


def _sum_text(value: float, num_unknown: float) -> str:
    """A sum; marked as a lower bound if parts of it are unknown."""
    if pd.isna(value):
        return UNKNOWN
    return f"> {with_digits(value)}" if num_unknown else with_digits(value)


def _cell(value: object) -> Cell:
    return Cell(text=str(value))
