"""Tables for reading: a row per configuration, each value with the digits its interval supports.

A table consists of texts, so CSV, Markdown and LaTeX agree. The numbers behind it, with all digits,
are those of analysis.stats.summary.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame, Series

from analysis.load.once import settled
from analysis.load.values import rows_by_key, short_name
from analysis.stats.outcomes import refused
from analysis.stats.repeats import KEYS, run_counts
from analysis.stats.search_cost import search_cost
from analysis.stats.summary import as_estimate, summarise
from analysis.stats.table_columns import TOPICS, TableColumn, quality_column
from analysis.tables.digits import estimate_text, with_digits
from analysis.tables.files import Make, at_once, writing
from analysis.tables.notes import (
    CUT_OFF,
    INCOMPARABLE,
    INVALID,
    UNKNOWN,
    has_several_nodes,
    maintenance_notes,
    sample_notes,
    table_notes,
)
from analysis.tables.search import search_table
from analysis.tables.slack import slack_table
from analysis.tables.text_table import Cell, TextTable, frame_csv, to_csv, to_latex, to_markdown

_TITLES = {
    "time": "Time to the target",
    "energy": "Energy to the target",
    "factors": "Statistical and hardware efficiency: TTA = samples x time per sample",
    "cost": "Money and carbon to the target",
    "quality": "Quality: what the models can do",
    "utilization": "Utilization",
    "serving": "Serving: latency, throughput and size",
    "serving_cost": "Serving: energy, money and carbon",
    "maintenance": "Keeping a deployed model accurate",
    "program": "Programs that bench.measure has run",
}
_Row = Mapping[Any, Any]
_MOST_NODES = 2  # that a cell names
_OF_SAMPLES = ("factors", "serving")  # tables with quantities that count samples


def topic_table(
    summary: DataFrame,
    counts: DataFrame,
    topic: str,
    num_uncounted: int = 0,
    num_refused: int = 0,
) -> TextTable | None:
    """Make the table of one topic.

    Args:
        summary: Of summarise.
        counts: Of run_counts, of the same runs.
        topic: Of TOPICS.
        num_uncounted: Runs in neither because they were interrupted or measured again.
        num_refused: Runs in neither because they were refused.

    Returns:
        None if no run has any of its quantities. Joules of different labels or different parts have
        columns of their own; so does money for different things. If not all rows may be compared
        with one another, each names its group of peers.

    Raises:
        ValueError: There is no such topic.
    """
    if topic not in TOPICS:
        raise ValueError(f"topic={topic}: must be of {', '.join(TOPICS)}")
    rows = summary[summary["topic"] == topic]
    # Only configurations with a value in this topic have a row.
    known = set(rows[list(KEYS)].itertuples(index=False, name=None))
    keys = counts[list(KEYS)].itertuples(index=False, name=None)
    listed = counts[np.fromiter((key in known for key in keys), dtype=bool, count=len(counts))]
    if listed.empty:
        return None
    listed = _peers_together(listed)
    columns = list(_columns(rows, listed, topic))
    return TextTable(
        title=_TITLES[topic],
        columns=tuple(heading for heading, _ in columns),
        rows=tuple(zip(*(cells for _, cells in columns), strict=True)),
        notes=tuple(table_notes(summary, rows, listed, num_uncounted, num_refused)),
    )


def _peers_together(listed: DataFrame) -> DataFrame:
    """Sort the rows so that peers are next to one another: trainings and large groups first."""
    groups = rows_by_key(listed[["command", "peer_group"]])
    nums = listed["num_runs"].to_numpy()
    # A reader looks for the target first, and for the group with the most runs.
    ordered = sorted(groups, key=lambda key: (key[0] != "train", -nums[groups[key]].sum()))
    return listed.iloc[[row for key in ordered for row in groups[key]]]


def _columns(rows: DataFrame, listed: DataFrame, topic: str) -> Iterator[tuple[str, list[Cell]]]:
    """Heading and cells of each column."""
    counts = listed.to_dict("records")
    yield "configuration", list(map(_name_cell, counts))
    peers = _peer_texts(listed)
    # With one group, the column would hold the same text everywhere.
    if len(set(peers)) > 1:
        yield "compared within", list(map(_cell, peers))
    if has_several_nodes(listed):
        yield "node", [_cell(_nodes_text(nodes)) for nodes in listed["nodes"]]
    yield "runs", list(map(_cell, listed["num_runs"]))
    if listed["num_with_target"].any():
        # A serving has no target, which is not the same as 0 hits.
        pairs = zip(listed["num_hits"], listed["num_with_target"], strict=True)
        yield "hits", [_cell(hits if has_target else "-") for hits, has_target in pairs]
    by_metric: dict[str, list[_Row]] = {}
    for row in rows.to_dict("records"):
        by_metric.setdefault(row["metric"], []).append(row)
    # Columns of qualities follow from the runs.
    static = {column.name: column for column in TOPICS[topic]}
    qualities = {name: quality_column(name) for name in by_metric if name not in static}
    for column in (static | qualities).values():
        if column.name not in by_metric:
            continue
        values = Series([row["value"] for row in by_metric[column.name]], dtype=float)
        scale, title = column.suited_unit(values)
        for kind, part in _kinds(by_metric[column.name]):
            aligned = _aligned(part, listed)
            pairs = zip(aligned, counts, strict=True)
            cells = [_value_cell(row, count, column, scale) for row, count in pairs]
            yield f"{title}, {kind}" if kind else title, cells
            if not all(pd.isna(row["error_frac"]) for row in part):
                yield "systematic bound", list(map(_bound_cell, aligned))


def _cell(value: object) -> Cell:
    return Cell(text=str(value))


def _nodes_text(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= _MOST_NODES else f"{len(names)} nodes"


def _name_cell(count: Mapping[Any, Any]) -> Cell:
    kinds = (INCOMPARABLE, "num_incomparable"), (INVALID, "num_invalid"), (CUT_OFF, "num_cut_off")
    marks = "".join(mark for mark, name in kinds if count[name])
    return _cell(f"{short_name(count['configuration'])} {marks}".rstrip())


def _peer_texts(listed: DataFrame) -> list[str]:
    """The group of peers of each row, with the command if there are several."""
    has_several = listed["command"].nunique() > 1
    return [
        ", ".join(filter(None, (command if has_several else "", title)))
        for command, title in zip(listed["command"], listed["peer_group"], strict=True)
    ]


def _kinds(rows: Sequence[_Row]) -> Iterator[tuple[str, list[_Row]]]:
    """The rows of each kind of joules or money, with its name; parts only if they are needed."""
    by_kind: dict[tuple[str, str], list[_Row]] = {}
    for row in rows:
        kind = _text(row["label"]), _text(row["components"])
        by_kind.setdefault(kind, []).append(row)
    num = Counter(label for label, _ in by_kind)
    for label, parts in sorted(by_kind):
        yield f"{label} of {parts}" if num[label] > 1 else label, by_kind[label, parts]


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)


def _aligned(part: Sequence[_Row], listed: DataFrame) -> list[_Row | None]:
    """The row of the summary for each row of the table; None if it has none."""
    # A summary has a row only for configurations that have the quantity.
    by_key = {tuple(row[key] for key in KEYS): row for row in part}
    keys = zip(*(listed[key] for key in KEYS), strict=True)
    return [by_key.get(key) for key in keys]


def _value_cell(row: _Row | None, count: _Row, column: TableColumn, scale: float) -> Cell:
    if row is None:
        return _cell("-")
    estimate = as_estimate(row)
    # Without a hit the expected cost is infinite, whatever is unknown.
    if column.statistic == "expected" and row["num_missing"] and count["num_hits"]:
        text = UNKNOWN
    else:
        text = estimate_text(estimate, scale)
    # The column `runs` says n for every other cell.
    if estimate.num != count["num_runs"]:
        text += f" (n={estimate.num})"
    return Cell(text=text, best=bool(row["best"]))


def _bound_cell(row: Mapping[Any, Any] | None) -> Cell:
    if row is None or pd.isna(row["error_frac"]):
        return _cell("-")
    return _cell(f"±{with_digits(100 * row['error_frac'], 2)}%")


def tables(runs: DataFrame) -> dict[str, TextTable]:
    """Make all tables of some runs, by topic, and `slack` and `search`.

    Args:
        runs: Of load_runs.
    """
    runs = settled(runs)
    return summary_tables(summarise(runs), search_cost(runs), runs)


def summary_tables(
    summary: DataFrame, costs: DataFrame, runs: DataFrame, make: Make = at_once
) -> dict[str, TextTable]:
    """Make the same tables from an existing summary and costs, each by calling `make`."""
    counts = run_counts(runs)
    num_refused = int(refused(runs).sum())
    # Counted over all topics: a run is in the tables or in this number.
    num_uncounted = len(runs) - num_refused - int(counts["num_runs"].sum())
    missing = num_uncounted, num_refused
    functions: dict[str, Callable[[], TextTable | None]] = {
        topic: partial(topic_table, summary, counts, topic, *missing) for topic in TOPICS
    }
    functions["slack"] = partial(slack_table, summary, counts)
    functions["search"] = partial(search_table, costs, num_refused)
    made = {topic: make(f"table {topic}", function, None) for topic, function in functions.items()}
    notes = dict.fromkeys(_OF_SAMPLES, tuple(sample_notes(runs)))
    notes["maintenance"] = tuple(maintenance_notes(runs))
    return {
        topic: replace(table, notes=(*table.notes, *notes.get(topic, ())))
        for topic, table in made.items()
        if table is not None
    }


def write_tables(
    by_topic: Mapping[str, TextTable], summary: DataFrame, costs: DataFrame, folder: Path
) -> list[Path]:
    """Write tables as CSV, Markdown and LaTeX, and the numbers behind them with all digits.

    Args:
        by_topic: Of summary_tables.
        summary: Of summarise, of the same runs; written to `summary.csv`.
        costs: Of search_cost, likewise; written to `search_cost.csv`.
        folder: Created if it does not exist.

    Returns:
        The files written.

    Raises:
        CannotWrite: The folder cannot be written to.
    """
    texts = {"summary.csv": frame_csv(summary), "search_cost.csv": frame_csv(costs)}
    for topic, table in by_topic.items():
        texts[f"{topic}.csv"] = to_csv(table)
        texts[f"{topic}.md"] = to_markdown(table)
        texts[f"{topic}.tex"] = to_latex(table, reference=f"tab:{topic}")
    with writing(folder):
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]
