"""One colour, line and mark for each configuration, the same in all figures of a report.

Places in the palette follow the sorted names, so a further run of a known configuration changes
nothing. If there are more trainings than colours, those that figures highlight come first, so that
the lines of one chart differ in colour, not only in line and mark.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from pandas import DataFrame

from analysis.figures.prepare import HIGHLIGHTED, NothingToDraw, ranked, training_runs
from analysis.figures.style import COLOURS, LINES, MARKERS
from analysis.load.values import column

# Without grey, which means `another configuration`, and without two that are faint on white.
_HUES = tuple(colour for n, colour in enumerate(COLOURS) if n not in (6, 7, 8))
_NUMBER = re.compile(r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)")
_PLACES: ContextVar[Mapping[str, int] | None] = ContextVar("places", default=None)


@dataclass(frozen=True, slots=True)
class Look:
    """How a configuration is drawn."""

    colour: str
    line: Any
    marker: str


@contextmanager
def assigned(places: Mapping[str, int]) -> Iterator[None]:
    """Let `looks` use these places, of `places_of`, while the context lasts."""
    token = _PLACES.set(places)
    try:
        yield
    finally:
        _PLACES.reset(token)


def looks(names: Iterable[object]) -> dict[str, Look]:
    """The look of each configuration, by its name in a chart.

    Variants of one configuration, such as joules by another label, have its colour and the next
    line and mark. Without `assigned`, the places are those among these names.

    Args:
        names: Of all configurations of the chart.
    """
    distinct = sorted(set(map(str, names)), key=_natural)
    places = _PLACES.get() or _numbered(map(identity, distinct))
    seen: dict[str, int] = {}
    chosen = {}
    for name in distinct:
        key = identity(name)
        place = places.get(key, len(places))
        # Shifted in each round of the colours, so that the same colour has another line and mark.
        shape = place + place // len(_HUES) + seen.get(key, 0)
        seen[key] = seen.get(key, 0) + 1
        line, marker = LINES[shape % len(LINES)], MARKERS[shape % len(MARKERS)]
        chosen[name] = Look(_HUES[place % len(_HUES)], line, marker)
    return chosen


def identity(name: str) -> str:
    """The name of a configuration without what figures add to it, and without the scenario."""
    plain = re.sub(r" \[[^\]]*\]$", "", name).partition(" @ ")[0]
    return " ".join(part for part in plain.split(" ") if not part.startswith("scenario="))


def places_of(runs: DataFrame, trainings: Iterable[DataFrame] = ()) -> dict[str, int]:
    """The place of each configuration in the palette, from 0 in each command.

    Args:
        runs: As loaded.
        trainings: The groups of trainings that have a panel each.
    """
    best: set[str] = set()
    for group in trainings:
        with suppress(NothingToDraw):  # no run of the group counts, so no figure shows it
            best |= set(map(identity, ranked(training_runs(group))[:HIGHLIGHTED]))
    places: dict[str, int] = {}
    commands = column(runs, "command").astype(object).fillna("")
    for _, part in runs.groupby(commands, sort=True):
        keys = set(map(identity, part["configuration"].astype(str)))
        first = keys & best if len(keys) > len(_HUES) else keys
        places = _numbered([*_sorted(first), *_sorted(keys - first)]) | places
    return places


def _sorted(names: Iterable[str]) -> list[str]:
    return sorted(names, key=_natural)


def _numbered(names: Iterable[str]) -> dict[str, int]:
    return {name: n for n, name in enumerate(dict.fromkeys(names))}


def _natural(name: str) -> list[tuple[float, str]]:
    """Sorts numbers by their value: batch_size=32 before batch_size=256."""
    parts = _NUMBER.split(name)
    return [(float(part), "") if n % 2 else (0.0, part) for n, part in enumerate(parts)]
