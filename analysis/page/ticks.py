"""The axes of the page's charts: where their ticks are, and in which unit they are labelled.

The script of the page writes the labels (`tick` and `quantity` in units.js).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, inf, log2
from typing import Any

import altair as alt

from analysis.page.titles import PAGE_SCALES, UNITS, title_of
from bench.core.scales import TIME

_MOST_TICKS = 10  # of an axis whose ticks are chosen here
# Above this, times are labelled in minutes and hours, in which 1000 s would be no round number.
_LONG_S = 600.0
_ROUND_TIMES_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)
_HOUR_S = 3600
# A logarithmic axis has ticks at every digit. The larger the ratio of its ends, the fewer of them
# have a label.
_DIGITS = ((10.0, [1, 2, 3, 4, 5, 7]), (1000.0, [1, 2, 5]), (inf, [1]))
_LABELLED = (
    "indexof({digits}, round(datum.value / pow(10, floor(log(datum.value) / LN10 + 1e-9)))) >= 0"
    " ? datum.label : ''"
)


def number_format(name: str, values: Sequence[float]) -> dict[str, Any]:
    """How a number of the page is written in a legend or on an axis of these values.

    Numbers of a linear axis share one prefix, that of the largest; on a logarithmic axis, each has
    its own.
    """
    unit = UNITS.get(name, "")
    if min(values) == max(values):  # the only tick is the value itself, with all its digits
        return {"format": unit, "formatType": "quantity"}
    of = {} if is_wide(values) else {"of": max(values, key=abs)}
    return {"format": {"unit": unit, **of}, "formatType": "tick"}


def is_wide(values: Sequence[float]) -> bool:
    """Whether a logarithmic axis suits the values."""
    return min(values) > 0 and max(values) / min(values) > 4


def axis_of(kind: Any, name: str, rows: Sequence[dict[str, Any]]) -> Any:
    """An axis for a number of the runs.

    Args:
        kind: alt.X or alt.Y.
        name: Of a column of the rows that has a value in one of them at least.
        rows: Of page_rows.
    """
    values = [row[name] for row in rows if row[name] is not None]
    scaled = {"type": "log", "nice": False} if is_wide(values) else {"zero": False}
    ticks = _ticks(name, values)
    chosen: dict[str, Any] = {} if ticks is None else {"values": ticks}
    if ticks is None and is_wide(values):
        labelled = next(digits for span, digits in _DIGITS if max(values) / min(values) < span)
        chosen = {"labelExpr": _LABELLED.format(digits=labelled)}
    axis = alt.Axis(
        labelSeparation=6,
        labelOverlap="greedy",
        tickCount=6,
        **number_format(name, values),
        **chosen,
    )
    scale = alt.Scale(padding=15, **scaled)
    return kind(f"{name}:Q", title=title_of(name, rows), scale=scale, axis=axis)


def _ticks(name: str, values: Sequence[float]) -> list[float] | None:
    """Ticks at sizes that double, and at round minutes and hours; None where Vega chooses well."""
    if name == "batch_size":
        return _sizes(sorted(set(values)))
    factor, scale = PAGE_SCALES.get(UNITS.get(name, ""), (1.0, None))
    if scale is not TIME or max(values) * factor < _LONG_S:
        return None
    low, high = min(values) * factor, max(values) * factor
    seconds = _round_times(low, high) if is_wide(values) else _even_times(low, high)
    return [each / factor for each in seconds]


def _sizes(sizes: list[float]) -> list[float]:
    """The sizes if they are few, else powers of two."""
    if len(sizes) <= _MOST_TICKS:
        return sizes
    powers = range(floor(log2(sizes[0])), ceil(log2(sizes[-1])) + 1)
    return [2.0**power for power in powers][:: ceil(len(powers) / _MOST_TICKS)]


def _round_times(low: float, high: float) -> list[float]:
    hours = (_HOUR_S * each * 10**power for power in range(5) for each in (3, 5, 10, 20))
    return [each for each in (*_ROUND_TIMES_S, *hours) if low / 2 <= each <= high * 2]


def _even_times(low: float, high: float) -> list[float]:
    """At most seven multiples of a round time, from below to above the values."""
    steps = (*_ROUND_TIMES_S[6:], *(_HOUR_S * 3 * 2**power for power in range(16)))
    step = next((each for each in steps if (high - low) / each <= 5), steps[-1])
    return [float(step * n) for n in range(floor(low / step), ceil(high / step) + 1)]
