"""Tables for reading: per configuration one row, each value with the digits its interval supports.

A table is made of texts, so that CSV, Markdown and LaTeX say the same. The numbers behind it, with
all digits, are those of analysis.stats.summary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from pandas import DataFrame

from analysis.stats.outcomes import refused
from analysis.stats.repeats import KEYS
from analysis.stats.search_cost import search_cost
from analysis.stats.summary import as_estimate, counts, summarise
from analysis.stats.table_columns import TOPICS, TableColumn
from analysis.tables.digits import estimate_text, of_digits
from analysis.tables.files import Make, at_once, writing
from analysis.tables.notes import INCOMPARABLE, INVALID, UNKNOWN, search_notes, table_notes
from analysis.tables.text_table import Cell, TextTable, frame_csv, to_csv, to_latex, to_markdown


def topic_table(
    summary: DataFrame, runs_of: DataFrame, topic: str, num_uncounted: int = 0, num_refused: int = 0
) -> TextTable | None:
    """The table of one topic.

    Args:
        summary: Of summarise.
        runs_of: Of counts, of the same runs.
        topic: Of TOPICS.
        num_uncounted: Runs that were interrupted or measured again, and are in neither.
        num_refused: Runs that were refused, and are in neither.

    Returns:
        None where no run has any of its quantities. Joules of different labels or of different
        parts are in columns of their own; so is money for different things. Rows that may not be
        compared with one another name what they may be compared in.

    Raises:
        ValueError: There is no such topic.
    """
    if topic not in TOPICS:
        raise ValueError(f"topic={topic}: must be of {', '.join(TOPICS)}")
    rows = summary[summary["topic"] == topic]
    listed = runs_of.merge(rows[list(KEYS)].drop_duplicates(), on=list(KEYS))
    if listed.empty:
        return None
    listed = _by_group(listed)
    heads, columns = _columns(rows, listed, topic)
    names = _names(listed)
    lines = zip(*columns, strict=True)
    return TextTable(
        title=_TITLES[topic],
        columns=("configuration", *heads),
        rows=tuple((Cell(text=name), *line) for name, line in zip(names, lines, strict=True)),
        notes=tuple(table_notes(summary, rows, listed, num_uncounted, num_refused)),
    )


_TITLES = {
    "time": "Time to the target",
    "energy": "Energy to the target",
    "factors": "Statistical and hardware efficiency: TTA = samples x time per sample",
    "cost": "Money and carbon to the target",
    "utilization": "Utilization",
    "serving": "Serving: latency, throughput and size",
    "serving_cost": "Serving: energy, money and carbon",
}


def _by_group(listed: DataFrame) -> DataFrame:
    """The rows that may be compared with one another side by side, the largest group first."""
    sizes = listed.groupby(["command", "compared"])["num_runs"].transform("sum")
    order = listed.assign(size=-sizes, first=range(len(listed)))
    first = order.groupby(["command", "compared"])["first"].transform("min")
    trained_first = listed["command"] != "train"
    order = order.assign(group=first, served=trained_first)
    return listed.loc[order.sort_values(["served", "size", "group", "first"]).index]


def _names(listed: DataFrame) -> list[str]:
    names = []
    for row in listed.itertuples():
        marks = (INCOMPARABLE if row.num_incomparable else "") + (
            INVALID if row.num_invalid else ""
        )
        names.append(f"{row.configuration}{' ' if marks else ''}{marks}")
    return names


def _group_texts(listed: DataFrame) -> list[str]:
    """What each row may be compared within; the command is part of it where there are several."""
    several = listed["command"].nunique() > 1
    return [
        ", ".join(filter(None, (command if several else "", title)))
        for command, title in zip(listed["command"], listed["compared"], strict=True)
    ]


def _columns(rows: DataFrame, listed: DataFrame, topic: str) -> tuple[list[str], list[list[Cell]]]:
    heads: list[str] = []
    columns: list[list[Cell]] = []
    groups = _group_texts(listed)
    if len(set(groups)) > 1:
        heads.append("compared within")
        columns.append([Cell(text=text) for text in groups])
    heads.append("runs")
    columns.append([Cell(text=str(n)) for n in listed["num_runs"]])
    if listed["num_with_target"].any():
        pairs = zip(listed["num_hits"], listed["num_with_target"], strict=True)
        heads.append("hits")
        columns.append([Cell(text=str(hits) if had else "-") for hits, had in pairs])
    for column in TOPICS[topic]:
        for head, part in _kinds(rows[rows["metric"] == column.name]):
            heads.append(f"{column.title}, {head}" if head else column.title)
            columns.append(_cells(part, listed, column))
            if part["error_frac"].notna().any():
                heads.append("systematic bound")
                columns.append(_bounds(part, listed))
    return heads, columns


def _kinds(rows: DataFrame) -> Iterator[tuple[str, DataFrame]]:
    """The rows of each kind of joules or money with its name; parts where they tell kinds apart."""
    kinds = DataFrame({name: rows[name].fillna("") for name in ("label", "components")})
    for (label, components), part in kinds.groupby(["label", "components"], sort=True):
        alike = kinds.loc[kinds["label"] == label, "components"].nunique()
        yield f"{label} of {components}" if alike > 1 else str(label), rows.loc[part.index]


def _aligned(part: DataFrame, listed: DataFrame) -> list[dict[Any, Any] | None]:
    by_key = {tuple(row[key] for key in KEYS): row for row in part.to_dict("records")}
    keys = zip(*(listed[key] for key in KEYS), strict=True)
    return [by_key.get(key) for key in keys]


def _cells(part: DataFrame, listed: DataFrame, column: TableColumn) -> list[Cell]:
    cells = []
    columns = (_aligned(part, listed), listed["num_runs"], listed["num_hits"])
    for row, num_runs, num_hits in zip(*columns, strict=True):
        if row is None:
            cells.append(Cell(text="-"))
            continue
        estimate = as_estimate(row)
        if column.statistic == "expected" and row["num_missing"] and num_hits:
            text = UNKNOWN
        else:
            text = estimate_text(estimate, column.scale)
        if estimate.num != num_runs:
            text += f" (n={estimate.num})"
        cells.append(Cell(text=text, best=bool(row["best"])))
    return cells


def _bounds(part: DataFrame, listed: DataFrame) -> list[Cell]:
    return [
        Cell(text="-" if row is None or pd.isna(row["error_frac"]) else _percent(row["error_frac"]))
        for row in _aligned(part, listed)
    ]


def _percent(fraction: float) -> str:
    return f"±{of_digits(100 * fraction, 2)}%"


def tables(runs: DataFrame) -> dict[str, TextTable]:
    """All tables that some runs give, by topic, and `search` with what the runs cost in all.

    Args:
        runs: Of load_runs.
    """
    return tables_of(summarise(runs), search_cost(runs), runs)


def tables_of(
    summary: DataFrame, costs: DataFrame, runs: DataFrame, make: Make = at_once
) -> dict[str, TextTable]:
    """The same from a summary and costs that are there already, each table made by `make`."""
    runs_of = counts(runs)
    num_refused = int(refused(runs).sum())
    num_uncounted = len(runs) - num_refused - int(runs_of["num_runs"].sum())
    functions: dict[str, Callable[[], TextTable | None]] = {
        topic: partial(topic_table, summary, runs_of, topic, num_uncounted, num_refused)
        for topic in TOPICS
    }
    functions["search"] = partial(search_table, costs, num_refused)
    found = {topic: make(f"table {topic}", function, None) for topic, function in functions.items()}
    return {topic: table for topic, table in found.items() if table is not None}


def search_table(costs: DataFrame, num_refused: int = 0) -> TextTable | None:
    """What the search itself cost, from the frame of search_cost; None where there was none."""
    if costs.empty:
        return None
    several = costs["compared"].any()
    heads = ["quantity", "until the first hit", "in all", "runs", "of unknown cost"]
    rows = []
    for row in costs.to_dict("records"):
        texts = [
            _quantity_name(row, costs),
            "no hit"
            if pd.isna(row["num_until_first_hit"])
            else _sum_text(row["until_first_hit"], row["num_unknown_until_first_hit"]),
            _sum_text(row["in_all"], row["num_unknown"]),
            str(row["num_runs"]),
            str(row["num_unknown"]),
        ]
        rows.append(tuple(map(_cell, [row["compared"], *texts] if several else texts)))
    return TextTable(
        title="Cost of the search",
        columns=tuple(["search for", *heads] if several else heads),
        rows=tuple(rows),
        notes=tuple(search_notes(costs, num_refused)),
    )


def _cell(text: str) -> Cell:
    return Cell(text=text)


def _quantity_name(row: Mapping[Any, Any], costs: DataFrame) -> str:
    """The quantity with its label; with the parts of the machine where they tell rows apart."""
    label, parts = (row[name] if isinstance(row[name], str) else "" for name in _KIND)
    if not label:
        return str(row["quantity"])
    same = (costs["quantity"] == row["quantity"]) & (costs["label"] == label)
    alike = costs.loc[same, "components"].nunique(dropna=False)
    return f"{row['quantity']}, {label}{f' of {parts}' if parts and alike > 1 else ''}"


_KIND = ("label", "components")


def _sum_text(value: float, num_unknown: float) -> str:
    """A sum; a lower bound where parts of it are not known."""
    if pd.isna(value):
        return UNKNOWN
    return f"> {of_digits(value)}" if num_unknown else of_digits(value)


def write_tables(
    found: Mapping[str, TextTable], summary: DataFrame, costs: DataFrame, folder: Path
) -> list[Path]:
    """Tables as CSV, Markdown and LaTeX, and the numbers behind them with all digits.

    Args:
        found: Of tables_of.
        summary: Of summarise, of the same runs.
        costs: Of search_cost, likewise.
        folder: Made where it is not there. `summary.csv` and `search_cost.csv` hold the numbers.

    Returns:
        The files written.

    Raises:
        CannotWrite: The folder cannot be written to.
    """
    texts = {"summary.csv": frame_csv(summary), "search_cost.csv": frame_csv(costs)}
    for topic, table in found.items():
        texts[f"{topic}.csv"] = to_csv(table)
        texts[f"{topic}.md"] = to_markdown(table)
        texts[f"{topic}.tex"] = to_latex(table, reference=f"tab:{topic}")
    paths = []
    with writing(folder):
        for name, text in texts.items():
            path = folder / name
            path.write_text(text, encoding="utf-8")
            paths.append(path)
    return paths
