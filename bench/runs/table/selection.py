"""The rows of a large table: the best and the worst configurations, by the quantity it is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bench.runs.table.columns import NO_GAPS
from bench.runs.table.groups import Group
from bench.runs.table.medians import Median

MOST_ROWS = 40  # a table of more configurations than this shows only some of them
ENDS = 10  # the number of the best rows, and of the worst ones


class Rank(NamedTuple):
    """The place of a configuration among those that are judged by the same quantity.

    Attributes:
        quantity: The title of the quantity.
        is_bound: Whether only a bound is known, because most runs missed; such ranks come last.
        badness: The quantity, or its bound, in base units; the smaller, the better.
    """

    quantity: str
    is_bound: bool
    badness: float


class Selection(NamedTuple):
    """The rows that a table shows.

    Attributes:
        groups: Their configurations, in the order in which they are shown.
        gaps: For rows that follow a gap, a text that says how many rows were left out before it.
        note: Says what is shown and what is left out; empty if all is shown.
    """

    groups: Sequence[Group]
    gaps: Mapping[int, str]
    note: str


def rank_of(quantity: str, median: Median | None) -> Rank | None:
    """Rank a configuration by a median; None if its runs have no value and no bound."""
    if median is None:
        return None
    sign = 1.0 if median.worst else -1.0  # the worst is 0 if larger values are better
    if median.estimate.value is not None:
        return Rank(quantity, False, sign * median.estimate.value)
    if median.beyond is None or median.beyond == median.worst:
        return None
    return Rank(quantity, True, sign * median.beyond)


def select_rows(groups: Sequence[Group], ranks: Sequence[Rank | None]) -> Selection:
    """Choose the rows of a table.

    A small table shows all configurations in their order. A large one shows, for each quantity, the
    best and the worst, the best first. Configurations without a rank failed, or were stopped or
    refused, and are only counted, unless there is no other.

    Args:
        groups: The configurations.
        ranks: The rank of each.
    """
    if len(groups) <= MOST_ROWS:
        return Selection(groups, NO_GAPS, "")
    by_quantity: dict[str, list[tuple[Rank, int]]] = {}
    for place, rank in enumerate(ranks):
        if rank is not None:
            by_quantity.setdefault(rank.quantity, []).append((rank, place))
    if not by_quantity:
        num = 2 * ENDS
        note = f"Shown: the first {num} of {len(groups)} configurations. {_REST}"
        return Selection(groups[:num], NO_GAPS, note)
    shown: list[Group] = []
    gaps: dict[int, str] = {}
    sentences = []
    for quantity, places in by_quantity.items():
        ordered = [groups[place] for _, place in sorted(places)]
        num_hidden = max(0, len(ordered) - 2 * ENDS)
        if num_hidden:
            gaps[len(shown) + ENDS] = f"... {num_hidden} more"
            ordered = ordered[:ENDS] + ordered[-ENDS:]
            sentences.append(_ends_note(quantity, len(places)))
        shown += ordered
    num_unranked = ranks.count(None)
    if num_unranked:
        sentences.append(_unranked_note(" or ".join(by_quantity), num_unranked))
    return Selection(shown, gaps, " ".join([*sentences, _REST]))


_REST = "The file or the folder named below has all runs."


def _ends_note(quantity: str, num: int) -> str:
    return f"Shown: the {ENDS} best and the {ENDS} worst of {num} configurations by {quantity}."


def _unranked_note(quantities: str, num: int) -> str:
    what = f"{num} configuration{'s' * (num != 1)} without {quantities}"
    return f"Not shown: {what} (failed, invalid, stopped or refused)."
