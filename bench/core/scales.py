"""Units that fit a quantity: ns to h, nJ to MJ, and what numbers in them look like.

The terminal, the page and the figures choose units here. Times above ten minutes are in minutes and
hours; all other units have SI prefixes. A number has three significant digits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from bench.core.metric import CARBON as CARBON_UNIT
from bench.core.metric import MONEY as MONEY_UNIT

ABSENT = "-"
_SPAN = 1e4
_DIGITS = 3


class Unit(NamedTuple):
    """A unit: its name, its size in base units, and the smallest quantity it is used for."""

    name: str
    size: float
    least: float = 0.0


Scale = tuple[Unit, ...]

# From the smallest unit up. A unit may start below or above 1: 0.455 s reads better than 455 ms,
# and 119 s better than 1.98 min.
TIME = (
    Unit("ns", 1e-9),
    Unit("µs", 1e-6, 1e-6),
    Unit("ms", 1e-3, 1e-3),
    Unit("s", 1.0, 0.1),
    Unit("min", 60.0, 600.0),
    Unit("h", 3600.0, 10800.0),
)
ENERGY = (
    Unit("nJ", 1e-9),
    Unit("µJ", 1e-6, 1e-6),
    Unit("mJ", 1e-3, 1e-3),
    Unit("J", 1.0, 0.1),
    Unit("kJ", 1e3, 1e4),
    Unit("MJ", 1e6, 1e7),
)
BYTES = (Unit("B", 1.0), Unit("kB", 1e3, 1e3), Unit("MB", 1e6, 1e6), Unit("GB", 1e9, 1e9))
COUNT = (Unit("", 1.0), Unit("k", 1e3, 1e4), Unit("M", 1e6, 1e6), Unit("G", 1e9, 1e9))
RATE = (Unit("/s", 1.0), Unit("k/s", 1e3, 1e4), Unit("M/s", 1e6, 1e6))
MONEY = (
    Unit("nUSD", 1e-9),
    Unit("µUSD", 1e-6, 1e-6),
    Unit("mUSD", 1e-3, 1e-3),
    Unit("USD", 1.0, 0.1),
    Unit("kUSD", 1e3, 1e4),
)
POWER = (Unit("µW", 1e-6), Unit("mW", 1e-3, 1e-3), Unit("W", 1.0, 0.1), Unit("kW", 1e3, 1e4))
CARBON = (
    Unit("ng CO2e", 1e-9),
    Unit("µg CO2e", 1e-6, 1e-6),
    Unit("mg CO2e", 1e-3, 1e-3),
    Unit("g CO2e", 1.0, 0.1),
    Unit("kg CO2e", 1e3, 1e4),
)
PERCENT = (Unit("%", 0.01),)
PLAIN = (Unit("", 1.0),)
# For units of the catalogue (bench/core/metrics.py) that have prefixes: how many base units one is,
# and the scale.
SCALES: dict[str, tuple[float, Scale]] = {
    "s": (1.0, TIME),
    "ms": (1e-3, TIME),
    "J": (1.0, ENERGY),
    "W": (1.0, POWER),
    "bytes": (1.0, BYTES),
    "1/s": (1.0, RATE),
    CARBON_UNIT: (1.0, CARBON),
    MONEY_UNIT: (1.0, MONEY),
}


def unit_of(value: float, scale: Scale) -> Unit:
    """Choose the unit in which a quantity reads best."""
    return next((unit for unit in reversed(scale) if abs(value) >= unit.least), scale[0])


def common_unit(values: Iterable[float | None], scale: Scale) -> Unit | None:
    """Choose the unit of a column, which is the unit of its median.

    Args:
        values: In base units. None, 0 and infinite values are ignored.
        scale: Units to choose from.

    Returns:
        None if the values span too many orders of magnitude for one unit. The base unit if there
        is no value to choose by.
    """
    sizes = [abs(value) for value in values if value and math.isfinite(value)]
    if not sizes:
        return next((unit for unit in scale if unit.size == 1.0), scale[0])
    # With a single unit to choose from, the span makes no difference.
    if len(scale) > 1 and max(sizes) > _SPAN * min(sizes):
        return None
    return unit_of(float(np.median(sizes)), scale)


def digits(value: float) -> str:
    """Format a number: three significant digits, whole numbers in full; `inf` is a miss."""
    if not value or not math.isfinite(value):
        return f"{value:g}"
    if abs(value) >= 999.5:
        return f"{value:.0f}"
    if math.isclose(value, round(value), rel_tol=1e-12):
        return f"{value:.0f}"
    return f"{value:#.{_DIGITS}g}".rstrip(".")


def quantity(value: float | None, scale: Scale, unit: Unit | None = None) -> str:
    """Format a number in the unit of its column, or with a unit of its own.

    Args:
        value: In base units.
        scale: Units to choose from.
        unit: The unit of the column. If None, the number chooses its unit and shows it.
    """
    if value is None:
        return ABSENT
    if unit is not None:
        return digits(value / unit.size)
    unit = unit_of(value, scale)
    text = digits(value / unit.size)
    if not math.isfinite(value) or not unit.name:
        return text
    return text + unit.name if scale is COUNT else f"{text} {unit.name}"
