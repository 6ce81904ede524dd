"""Letters beside the points of a front, and of the others if there are few.

If configurations differ in one key with short values, the values take the place of the letters.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D
from pandas import DataFrame, concat

from analysis.figures.axes import once_height_is_known, wrapped
from analysis.figures.marks import dot, write_beside
from analysis.figures.style import COLOURS
from bench.core.arrays import Floats

MOST_LETTERS = 8  # points of the front with a letter, and others
_OF_FRONT, _OF_OTHERS = "ABCDEFGH", "abcdefgh"
_GREY = "0.4"
_POINTS_PER_INCH = 72
_AWAY_PT = 8.0  # from the middle of a point to that of its letter
_ONE_PLACE_PT = 3.0  # points so near to one another have their letters side by side
_WIDE_PT = 5.5  # of a letter
_APART_PT = 4.0  # from the middle of a character to that of the next; a space is between letters
_MOST_CHARACTERS = 6  # of a value beside a point


def values_of_key(names: Collection[str]) -> tuple[str, dict[str, str]] | None:
    """The one key in which configurations differ, and its value by the name of each.

    Args:
        names: As style.short_names shortens them.

    Returns:
        None if they differ in several keys, or if a value is too long to stand beside a point.
    """
    pairs = {name: name.partition("=") for name in names if " " not in name}
    keys = {key for key, equals, _ in pairs.values() if equals}
    values = {name: value for name, (_, _, value) in pairs.items()}
    longest = max(map(len, values.values()), default=0)
    if len(values) < max(2, len(names)) or len(keys) != 1 or longest > _MOST_CHARACTERS:
        return None
    return (keys.pop(), values) if all(values.values()) else None


def draw_letters(
    axes: Axes,
    front: DataFrame,
    others: DataFrame,
    characters: int,
    values: Mapping[str, str] | None = None,
) -> list[Line2D]:
    """Write letters where no point and no other letter is, and explain them.

    Args:
        axes: Axes with all points, and with their final limits.
        front: Rows with `configuration`, `x`, `y`, `front`, `beaten_by`, `front_share`, `num_runs`.
        others: Those that are not on the front.
        characters: Of a line of the legend.
        values: What to write instead of letters, by configuration; it needs no legend.

    Returns:
        An entry of the legend for each letter.
    """
    # Letters on some of many beaten points would look like a choice.
    few = others if len(others) <= MOST_LETTERS else others.iloc[:0]
    named = concat([front.iloc[:MOST_LETTERS], few]).to_dict("records")
    letters = [*_OF_FRONT[: len(front)], *_OF_OTHERS[: len(few)]]
    colours = [COLOURS[0]] * min(len(front), MOST_LETTERS) + [_GREY] * len(few)
    texts = letters if values is None else [values[row["configuration"]] for row in named]
    once_height_is_known(lambda: _write(axes, concat([front, others]), named, texts, colours))
    if values is not None:
        return []
    by_name = {row["configuration"]: each for row, each in zip(named, letters, strict=True)}
    return [
        _entry(row, letter, colour, by_name, characters)
        for row, letter, colour in zip(named, letters, colours, strict=True)
    ]


def _write(
    axes: Axes,
    rows: DataFrame,
    named: Sequence[dict[Any, Any]],
    letters: Sequence[str],
    colours: Sequence[str],
) -> None:
    axes.get_xlim(), axes.get_ylim()  # limits that are still to be computed
    points = _places_pt(axes, rows)
    ends = axes.transAxes.transform([(0, 0), (1, 1)]) * _POINTS_PER_INCH / axes.figure.dpi
    taken = list(points)
    mine = _places_pt(axes, DataFrame(named, columns=list(rows)))
    done: set[int] = set()
    for n, place in enumerate(mine):
        if n in done:
            continue
        alike = [m for m in range(n, len(mine)) if np.hypot(*(mine[m] - place)) <= _ONE_PLACE_PT]
        alike = [m for m in alike if m not in done and colours[m] == colours[n]]
        done.update(alike)
        text = " ".join(letters[m] for m in alike)
        # Middles of the characters, from the middle of the text.
        places = np.arange(len(text), dtype=float) - (len(text) - 1) / 2
        spread: Floats = places[[each != " " for each in text]] * _APART_PT
        offset = _free(place, np.array(taken), ends, spread)
        taken += [place + offset + (each, 0.0) for each in spread]
        style = {"fontsize": 7, "fontweight": "bold", "color": colours[n], "zorder": 4}
        style |= {"ha": "center", "va": "center_baseline"}
        where = named[n]["x"], named[n]["y"]
        write_beside(axes, text, where, (float(offset[0]), float(offset[1])), **style)


def _places_pt(axes: Axes, rows: DataFrame) -> Floats:
    """Places of points in typographic points; shape (n, 2)."""
    if rows.empty:
        return np.empty((0, 2))
    places: Floats = axes.transData.transform(rows[["x", "y"]].to_numpy(float))
    return places * _POINTS_PER_INCH / axes.figure.dpi


def _free(place: Floats, taken: Floats, ends: Floats, spread: Floats) -> Floats:
    """The offset of some letters: the direction in which the nearest mark is farthest."""
    more_pt = float(spread.max())
    angles = np.deg2rad([45, 135, 315, 225, 90, 270, 0, 180])
    offsets = np.stack([(_AWAY_PT + more_pt) * np.cos(angles), _AWAY_PT * np.sin(angles)], axis=1)
    spots = place + offsets
    others = taken[np.hypot(*(taken - place).T) > _ONE_PLACE_PT]
    gaps = np.full(len(spots), np.inf)
    if len(others):
        letters = spots[:, None] + np.stack([spread, 0 * spread], axis=1)
        apart = letters[:, :, None] - others
        gaps = np.hypot(apart[..., 0], apart[..., 1]).min(axis=(1, 2))
    room = np.array([_WIDE_PT / 2 + more_pt, _WIDE_PT / 2])
    inside = ((spots >= ends[0] + room) & (spots <= ends[1] - room)).all(axis=1)
    # Beyond twice the distance, more room is no better: then the first direction is as good.
    chosen: Floats = offsets[np.argmax(np.where(inside, np.minimum(gaps, 2 * _AWAY_PT), -1.0))]
    return chosen


def _entry(
    row: dict[Any, Any], letter: str, colour: str, by_name: dict[str, str], characters: int
) -> Line2D:
    share = row["front_share"] if row["front"] else np.nan
    text = f"{row['configuration'] or 'all runs'}  n = {row['num_runs']}"
    if not np.isnan(share):
        text += f", {100 * share:.0f}%"
    other = by_name.get(row["beaten_by"]) if isinstance(row["beaten_by"], str) else None
    if other:
        text += f", beaten by {other}"
    handle = dot(wrapped(text, characters), colour, marker=letter_marker(letter))
    handle.set(markeredgewidth=0, markersize=6)  # an edge would fill the holes of small letters
    return handle


def letter_marker(letter: str) -> Path:
    """A letter as a marker of the legend. `$A$` would be a formula, and the style has none."""
    shape = TextPath((0, 0), letter, prop=FontProperties(weight="bold"))
    box = shape.get_extents()
    across, down = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    return Affine2D().translate(-across, -down).transform_path(shape)
