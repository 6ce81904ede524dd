"""Units that fit the numbers: microseconds to hours, nanojoules to megajoules, bytes, counts.

Numbers to be compared share one unit, chosen for their median. Where they span more than four
orders of magnitude, each has its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

ABSENT = "-"
_SPAN = 1e4
_DIGITS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A unit: its name, its size in base units, and the quantity from which on it is used."""

    name: str
    size: float
    least: float = 0.0


Scale = tuple[Unit, ...]


def _scale(*units: tuple[str, float, float]) -> Scale:
    return tuple(Unit(name=name, size=size, least=least) for name, size, least in units)


# From the smallest unit up. 0.455 s reads better than 455 ms, and 119 s than 1.98 min.
TIME = _scale(
    ("ns", 1e-9, 0.0),
    ("µs", 1e-6, 1e-6),
    ("ms", 1e-3, 1e-3),
    ("s", 1.0, 0.1),
    ("min", 60.0, 600.0),
    ("h", 3600.0, 10800.0),
)
ENERGY = _scale(
    ("nJ", 1e-9, 0.0),
    ("µJ", 1e-6, 1e-6),
    ("mJ", 1e-3, 1e-3),
    ("J", 1.0, 0.1),
    ("kJ", 1e3, 1e4),
    ("MJ", 1e6, 1e7),
)
BYTES = _scale(("B", 1.0, 0.0), ("kB", 1e3, 1e3), ("MB", 1e6, 1e6), ("GB", 1e9, 1e9))
COUNT = _scale(("", 1.0, 0.0), ("k", 1e3, 1e4), ("M", 1e6, 1e6), ("G", 1e9, 1e9))
RATE = _scale(("/s", 1.0, 0.0), ("k/s", 1e3, 1e4), ("M/s", 1e6, 1e6))
PLAIN = _scale(("", 1.0, 0.0))


def unit_of(value: float, scale: Scale) -> Unit:
    """The unit that a quantity reads best in."""
    return next((unit for unit in reversed(scale) if abs(value) >= unit.least), scale[0])


def common_unit(values: Iterable[float | None], scale: Scale) -> Unit | None:
    """The unit of a column: that of its median.

    Args:
        values: In base units; None, 0 and infinite ones do not count.
        scale: Units to choose from.

    Returns:
        None where the values span too much for one unit: each then needs its own.
    """
    sizes = [abs(value) for value in values if value and math.isfinite(value)]
    if not sizes:
        return scale[0]
    # A single unit to choose from is no choice.
    if len(scale) > 1 and max(sizes) > _SPAN * min(sizes):
        return None
    return unit_of(float(np.median(sizes)), scale)


def digits(value: float) -> str:
    """Three significant digits, whole numbers from 1000 on; `inf` for a run that missed."""
    if not value or not math.isfinite(value):
        return f"{value:g}"
    if abs(value) >= 999.5:
        return f"{value:.0f}"
    if math.isclose(value, round(value), rel_tol=1e-12):
        return f"{value:.0f}"
    return f"{value:#.{_DIGITS}g}".rstrip(".")


def quantity(value: float | None, scale: Scale, unit: Unit | None = None) -> str:
    """A number in the unit of its column; in its own unit, which is then part of it, without.

    Args:
        value: In base units.
        scale: Units to choose from.
        unit: Of the column; None where every number has its own.
    """
    if value is None:
        return ABSENT
    if unit is not None:
        return digits(value / unit.size)
    own = unit_of(value, scale)
    text = digits(value / own.size)
    if not math.isfinite(value) or not own.name:
        return text
    return text + own.name if scale is COUNT else f"{text} {own.name}"


def quality_text(value: float, threshold: float) -> str:
    """A quality with as many digits as it takes not to look like a threshold that it is not."""
    for places in range(4, 10):
        text = f"{value:.{places}g}"
        if value == threshold or float(text) != threshold:
            break
    return text
