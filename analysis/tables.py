"""Tables for reading: per configuration one row, each value with the digits its interval supports.

A table is made of texts, so that CSV, Markdown and LaTeX say the same. The numbers behind it, with
all digits, are those of analysis.summary.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pandas import DataFrame

from analysis.digits import estimate_text, of_digits
from analysis.latex import to_latex
from analysis.metrics import TOPICS, Metric
from analysis.search_cost import search_cost
from analysis.summary import NO_LABEL, as_estimate, counts, summarise
from bench.core.intervals import CONFIDENCE
from bench.core.rank_test import ALPHA

UNFIT, INVALID = "†", "‡"


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


def topic_table(summary: DataFrame, runs_of: DataFrame, topic: str) -> TextTable | None:
    """The table of one topic.

    Args:
        summary: Of summarise.
        runs_of: Of counts, of the same runs.
        topic: Of TOPICS.

    Returns:
        None where no run has any of its quantities. Joules of different labels are in columns of
        their own.

    Raises:
        ValueError: There is no such topic.
    """
    if topic not in TOPICS:
        raise ValueError(f"topic={topic}: must be of {', '.join(TOPICS)}")
    rows = summary[summary["topic"] == topic]
    keys = rows[["command", "configuration", "host"]].drop_duplicates()
    listed = runs_of.merge(keys, on=["command", "configuration", "host"])
    if listed.empty:
        return None
    heads, columns = _columns(rows, listed, topic)
    names = _names(listed)
    lines = zip(*columns, strict=True)
    return TextTable(
        title=_TITLES[topic],
        columns=("configuration", *heads),
        rows=tuple((Cell(text=name), *line) for name, line in zip(names, lines, strict=True)),
        notes=_notes(rows, listed),
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


def _names(listed: DataFrame) -> list[str]:
    several = listed["host"].nunique() > 1
    names = []
    for row in listed.itertuples():
        marks = (UNFIT if row.num_unfit else "") + (INVALID if row.num_invalid else "")
        place = f" @ {row.host}" if several else ""
        names.append(f"{row.configuration}{place}{' ' if marks else ''}{marks}")
    return names


def _columns(rows: DataFrame, listed: DataFrame, topic: str) -> tuple[list[str], list[list[Cell]]]:
    heads, columns = ["runs"], [[Cell(text=str(n)) for n in listed["num_runs"]]]
    if listed["num_with_target"].any():
        pairs = zip(listed["num_hits"], listed["num_with_target"], strict=True)
        heads.append("hits")
        columns.append([Cell(text=str(hits) if had else "-") for hits, had in pairs])
    for metric in TOPICS[topic]:
        of_metric = rows[rows["metric"] == metric.name]
        for label in sorted(of_metric["label"].fillna("").unique()):
            part = of_metric[of_metric["label"].fillna("") == label]
            heads.append(f"{metric.title}, {label}" if label else metric.title)
            columns.append(_cells(part, listed, metric))
            if part["error_frac"].notna().any():
                heads.append("systematic bound")
                columns.append(_bounds(part, listed))
    return heads, columns


def _aligned(part: DataFrame, listed: DataFrame) -> list[pd.Series | None]:
    keys = ["command", "configuration", "host"]
    by_key = {tuple(row[keys]): row for _, row in part.iterrows()}
    return [by_key.get(tuple(row[keys])) for _, row in listed.iterrows()]


def _cells(part: DataFrame, listed: DataFrame, metric: Metric) -> list[Cell]:
    cells = []
    for row, num_runs in zip(_aligned(part, listed), listed["num_runs"], strict=True):
        if row is None:
            cells.append(Cell(text="-"))
            continue
        estimate = as_estimate(row)
        text = estimate_text(estimate, metric.scale)
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


def _notes(rows: DataFrame, listed: DataFrame) -> tuple[str, ...]:
    notes = [
        f"Medians over runs with {CONFIDENCE:.0%} bootstrap intervals; n is the number of runs"
        " unless it is stated. A run that missed its target or failed counts as the worst; (inf)"
        " where that leaves no upper bound.",
        f"Bold: the best of its column, better than the second best by a one-sided rank test with"
        f" p < {ALPHA} (4 runs each at least).",
    ]
    if (rows["statistic"] == "expected").any():
        notes.append("ERT, expected with restarts: all that was spent / hits, misses included.")
    labels = sorted(set(rows["label"].dropna()))
    if labels:
        notes.append(
            f"How joules were obtained: {', '.join(labels)}. Only values of one label may be"
            " compared. The systematic bound is not scatter and is alike for runs on one machine."
        )
    if NO_LABEL in labels:
        notes.append(f"{NO_LABEL}: runs that failed before any meter was read.")
    if listed["num_unfit"].any():
        notes.append(f"{UNFIT} holds runs that were not fit to be compared (health.flags).")
    if listed["num_invalid"].any():
        notes.append(f"{INVALID} holds passes that the load generator calls invalid.")
    return tuple(notes)


def to_markdown(table: TextTable) -> str:
    """GitHub's Markdown: title, table with the best values in bold, notes as a list."""

    def text(cell: Cell) -> str:
        escaped = cell.text.replace("\\", "\\\\").replace("|", "\\|").replace("*", "\\*")
        return f"**{escaped}**" if cell.best else escaped

    head = [Cell(text=column) for column in table.columns]
    rule = ["---", *["---:"] * (len(table.columns) - 1)]
    lines = [_pipes(map(text, head)), _pipes(rule)]
    lines += [_pipes(map(text, row)) for row in table.rows]
    notes = [f"- {note}" for note in table.notes]
    return "\n".join([f"### {table.title}", "", *lines, "", *notes]) + "\n"


def _pipes(cells: Sequence[str] | map[str]) -> str:
    return f"| {' | '.join(cells)} |"


def to_csv(table: TextTable) -> str:
    """CSV of the texts; the best values end in ` *`. The notes are not in it."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(table.columns)
    for row in table.rows:
        writer.writerow([f"{cell.text} *" if cell.best else cell.text for cell in row])
    return file.getvalue()


def tables(runs: DataFrame) -> dict[str, TextTable]:
    """All tables that some runs give, by topic, and `search` with what the runs cost in all.

    Args:
        runs: Of load_runs.
    """
    return tables_of(summarise(runs), runs)


def tables_of(summary: DataFrame, runs: DataFrame) -> dict[str, TextTable]:
    """The same from a summary that is there already."""
    runs_of = counts(runs)
    found = {topic: topic_table(summary, runs_of, topic) for topic in TOPICS}
    found["search"] = search_table(search_cost(runs))
    return {topic: table for topic, table in found.items() if table is not None}


def search_table(costs: DataFrame) -> TextTable | None:
    """What the search itself cost, from the frame of search_cost; None where there was none."""
    if costs.empty:
        return None
    rows = []
    for row in costs.to_dict("records"):
        label = f", {row['label']}" if isinstance(row["label"], str) else ""
        until = "no hit" if pd.isna(row["until_first_hit"]) else of_digits(row["until_first_hit"])
        texts = (until, of_digits(row["in_all"]), str(row["num_runs"]), str(row["num_unknown"]))
        rows.append(tuple(Cell(text=text) for text in (f"{row['quantity']}{label}", *texts)))
    return TextTable(
        title="Cost of the search",
        columns=("quantity", "until the first hit", "in all", "runs", "of unknown cost"),
        rows=tuple(rows),
        notes=(
            "Over all training runs in the order of their start, failed and missed ones among them;"
            " the sum of the runs' own times, not that of a clock on the wall. Time is that on the"
            " clock of each run; time with launch adds what lies before it.",
        ),
    )


def write_tables(runs: DataFrame, summary: DataFrame, folder: Path) -> list[Path]:
    """All tables as CSV, Markdown and LaTeX, and the numbers behind them with all digits.

    Args:
        runs: Of load_runs.
        summary: Of summarise, of these runs.
        folder: Made where it is not there. `summary.csv` and `search_cost.csv` hold the numbers.

    Returns:
        The files written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "summary.csv": summary.to_csv(index=False),
        "search_cost.csv": search_cost(runs).to_csv(index=False),
    }
    for topic, table in tables_of(summary, runs).items():
        texts[f"{topic}.csv"] = to_csv(table)
        texts[f"{topic}.md"] = to_markdown(table)
        texts[f"{topic}.tex"] = to_latex(table, reference=f"tab:{topic}")
    paths = []
    for name, text in texts.items():
        path = folder / name
        path.write_text(text)
        paths.append(path)
    return paths
