"""Colours and shapes of points by the keys in which their configurations differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.lines import Line2D

from analysis.figures.axes import wrapped
from analysis.figures.marks import dot
from analysis.figures.style import COLOURS, INK, MARKERS, name_parts, plain_name

_MOST_COLOURS = 8
_Values = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Looks:
    """Colour and shape of each configuration, and what they mean.

    Attributes:
        colours: By configuration.
        markers: By configuration.
        handles: Entries of the legend.
    """

    colours: dict[str, Any]
    markers: dict[str, str]
    handles: list[Line2D]


def shades(num: int) -> list[tuple[float, ...]]:
    """Colours of numbers in order, without the ends of the map, too light and too dark."""
    return [tuple(each) for each in colormaps["viridis_r"](np.linspace(0, 1, num + 3)[2:-1])[:, :3]]


def looks_of(names: Sequence[str], characters: int) -> Looks | None:
    """Give each configuration the colour of one key and the shape of all others.

    Args:
        names: Of analysis.load.names.
        characters: Of a line of the legend.

    Returns:
        None if the keys have more values than there are colours and shapes.
    """
    values = _by_key(names)
    keys = [key for key, column in values.items() if len(set(column)) > 1]
    few = [key for key in keys if len(set(values[key])) <= _MOST_COLOURS]
    if not few:
        return None
    # A number has an order, as colours have.
    first = max(few, key=lambda key: (_are_numbers(values[key]), len(set(values[key]))))
    rest = [key for key in keys if key != first]
    combined = list(zip(*(values[key] for key in rest or [first]), strict=True))
    shapes = dict(zip(sorted(set(combined)), MARKERS, strict=False))
    if len(shapes) < len(set(combined)):
        return None
    ordered = _ordered(values[first])
    shown = shades(len(ordered)) if _are_numbers(values[first]) else COLOURS
    colours = dict(zip(ordered, shown, strict=False))
    handles = [
        dot(_words([first], [value], characters), colour, marker="o" if rest else shapes[(value,)])
        for value, colour in colours.items()
    ]
    if rest:
        handles += [
            dot(_words(rest, combination, characters), INK, marker=marker)
            for combination, marker in shapes.items()
        ]
    return Looks(
        {name: colours[value] for name, value in zip(names, values[first], strict=True)},
        {name: shapes[each] for name, each in zip(names, combined, strict=True)},
        handles,
    )


def _by_key(names: Sequence[str]) -> dict[tuple[int, str], list[str]]:
    """The values of each key, in the order of the names; words without a key are one value."""
    rows: list[dict[tuple[int, str], str]] = []
    for name in names:
        row: dict[tuple[int, str], str] = {}
        for side, part in name_parts(name):
            key, equals, value = part.partition("=")
            place = (side, key if equals else "")
            row[place] = " ".join(filter(None, (row.get(place), value if equals else part)))
        rows.append(row)
    keys = dict.fromkeys(key for row in rows for key in row)
    return {key: [row.get(key, "") for row in rows] for key in keys}


def _are_numbers(values: Sequence[str]) -> bool:
    try:
        return all(np.isfinite(float(value)) for value in values)
    except ValueError:
        return False


def _ordered(values: Sequence[str]) -> list[str]:
    return sorted(set(values), key=float if _are_numbers(values) else str)


def _words(keys: Sequence[tuple[int, str]], values: Sequence[str], characters: int) -> str:
    parts = [
        (side, f"{key}={value}" if key else value)
        for (side, key), value in zip(keys, values, strict=True)
        if value
    ]
    return wrapped(plain_name(parts) or "others", characters)
