"""The table `slack`: what joules a little more time saves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pandas import DataFrame, Series

from analysis.load.values import short_name
from analysis.stats.slack import ENERGY, TIME, least_energy
from analysis.stats.summary import is_modelled
from analysis.stats.table_columns import TOPICS
from analysis.tables.digits import estimate_text
from analysis.tables.notes import INCOMPARABLE
from analysis.tables.text_table import Cell, TextTable
from bench.core.stats.intervals import MIN_RUNS

_MOST_NAMES = 2  # in a cell
_COLUMNS = {column.name: column for topic in TOPICS.values() for column in topic}
_NOTES = (
    "The least median of joules among the configurations whose median time is at most that of the "
    "fastest and the stated share more.",
    "Cannot be told apart: by their intervals, these may be as fast as allowed and take no more "
    "joules.",
)


def slack_table(summary: DataFrame, counts: DataFrame) -> TextTable | None:
    """Make the table of the least joules for a share of more time.

    Args:
        summary: Of analysis.stats.summary.summarise.
        counts: Of analysis.stats.repeats.run_counts, of the same runs.

    Returns:
        None if no two peers have both time and joules to the target.
    """
    chosen = least_energy(summary)
    if chosen.empty:
        return None
    doubtful = counts.loc[counts["num_incomparable"] > 0, "configuration"]
    columns = list(_columns(chosen, set(doubtful)))
    notes = list(_NOTES)
    if chosen["alike"].isna().any():
        notes.append(f"Intervals need {MIN_RUNS} runs of each configuration.")
    if doubtful.isin(chosen["configuration"]).any():
        notes.append(f"{INCOMPARABLE} Some of its runs are not comparable.")
    if chosen["label"].map(is_modelled).any():
        notes.append("Modelled joules follow the time of the processor: nothing measured them.")
    return TextTable(
        title="Least joules with at most some percent more time",
        columns=tuple(heading for heading, _ in columns),
        rows=tuple(zip(*(cells for _, cells in columns), strict=True)),
        notes=tuple(notes),
    )


def _columns(chosen: DataFrame, doubtful: set[Any]) -> Iterator[tuple[str, list[Cell]]]:
    """Heading and cells of each column."""
    yield "more time allowed", _cells(f"{100 * frac:g}%" for frac in chosen["more_time_frac"])
    if chosen["peer_group"].nunique() > 1:
        yield "compared within", _cells(chosen["peer_group"])
    names = [
        f"{short_name(name)} {INCOMPARABLE}" if name in doubtful else short_name(name)
        for name in chosen["configuration"]
    ]
    yield "least joules", _cells(names)
    for name, metric, word in (("time", TIME, "more time"), ("energy", ENERGY, "joules saved")):
        scale, title = _COLUMNS[metric].suited_unit(
            Series([each.value for each in chosen[name]], dtype=float)
        )
        yield title, _cells(estimate_text(each, scale) for each in chosen[name])
        ratios = chosen[f"{name}_ratio"]
        changes = ratios - 1 if name == "time" else 1 - ratios
        yield word, _cells(f"{100 * change:.1f}%" for change in changes)
    kinds = [_kind(row) for row in chosen.to_dict("records")]
    yield "joules", _cells(kinds)
    yield "runs", _cells(min(*pair) for pair in _nums(chosen))
    yield "cannot be told apart from", _cells(map(_alike_text, chosen["alike"]))


def _nums(chosen: DataFrame) -> Iterator[tuple[int, int]]:
    for time, energy in zip(chosen["time"], chosen["energy"], strict=True):
        yield time.num, energy.num


def _kind(row: Mapping[Any, Any]) -> str:
    """How joules were obtained, and of which parts of the machine."""
    return " of ".join(str(each) for each in (row["label"], row["components"]) if each)


def _alike_text(names: list[str] | None) -> str:
    if names is None:
        return "too few runs"
    shown = ", ".join(map(short_name, names[:_MOST_NAMES])) or "none"
    more = len(names) - _MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


def _cells(texts: Any) -> list[Cell]:
    return [Cell(text=str(text)) for text in texts]
