"""Numbers at ticks: a unit that fits each axis, and as many digits as its ticks need.

A label gives the unit of what was drawn, such as `time per sample (s)`. The axis is then labelled
`time per sample (µs)`, with ticks at 20, 50 and 100. One that spans too much for a single unit has
a unit at each tick.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from copy import copy

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.ticker import Formatter, Locator, LogFormatter, LogLocator, ScalarFormatter

from bench.core.arrays import Floats
from bench.core.metric import CARBON, MONEY
from bench.core.scales import COUNT, SCALES, TIME, Scale, unit_of

# Rates are not among them: a rate of 20,000 samples a second is a count.
_UNITS = ("s", "ms", "J", "W", "bytes", MONEY, CARBON)
_UNIT = re.compile(rf"\(({'|'.join(_UNITS).replace(' ', chr(92) + 's')})(?=[),:;\s])")
_SPAN = 1e4  # of the ticks of a log axis, up to which one unit suits all
_MOST = 1e5  # from which on numbers are written with k or M
_MOST_LONG_TICKS = 4  # texts with units side by side
_PREFIXES = ((1e6, "M"), (1e3, "k"))
_MINUTE_S = 60.0
_SMALL = 1e-3  # dimensionless numbers below it get a power of ten, and so do all ticks below 1


def fit_units(panels: Sequence[Axes]) -> None:
    """Choose the units of all axes of a figure, the same for all that have the same label.

    Categories and ticks with texts of their own stay.
    """
    groups: dict[str, list[Axis]] = {}
    # Axes without a label come first: they may share the formatter of one that has a label.
    for axis in (each for axes in panels for each in (axes.xaxis, axes.yaxis)):
        if isinstance(axis.get_major_formatter(), ScalarFormatter | LogFormatter | TickNumbers):
            groups.setdefault(axis.label.get_text(), []).append(axis)
    for label, axes_alike in sorted(groups.items()):
        _fit(axes_alike, label)


def in_unit(values: Iterable[float], label: str) -> tuple[float, str]:
    """Choose a unit for numbers that are written into a figure, by the label of their axis.

    Returns:
        What to divide the values by, and the label with the unit: (0.001, `mean energy (mJ)`).
    """
    found = _UNIT.search(label)
    sizes = [abs(value) for value in values if np.isfinite(value) and value]
    if found is None or not sizes:
        return 1.0, label
    base, scale = SCALES[" ".join(found[1].split())]
    unit = unit_of(max(sizes) * base, scale)
    return unit.size / base, _with_unit(label, unit.name)


def short_quantity(value: float, scale: Scale) -> str:
    """A number with its unit, without digits that say nothing: `300 ms`, not `0.300 s`."""
    # The largest unit of which it is at least one: each text stands by itself.
    # Not minutes and hours, in which round numbers of seconds are not round.
    units = [each for each in scale if scale is not TIME or each.size < _MINUTE_S]
    unit = next((each for each in reversed(units) if abs(value) >= 0.999 * each.size), units[0])
    gap = "" if scale is COUNT else " "
    return f"{_in_full(float(f'{value / unit.size:.3g}'))}{gap}{unit.name}".strip()


def _fit(alike: Sequence[Axis], label: str) -> None:
    ticks = np.concatenate([_visible(axis) for axis in alike])
    found = _UNIT.search(label)
    if found is None or not ticks.any():
        for axis in alike:
            axis.set_major_formatter(TickNumbers(is_log=axis.get_scale() == "log"))
        return
    base, scale = SCALES[" ".join(found[1].split())]
    sizes = np.abs(ticks[ticks != 0]) * base
    is_log = alike[0].get_scale() == "log"
    unit = unit_of(float(np.median(sizes) if is_log else sizes.max()), scale)
    if is_log and sizes.max() > _SPAN * sizes.min():
        numbers, label = TickNumbers(base=base, scale=scale, is_log=True), _with_unit(label, "")
    else:
        numbers, label = TickNumbers(base / unit.size, is_log=is_log), _with_unit(label, unit.name)
    for axis in alike:
        # Round numbers of seconds are no round numbers of hours.
        if unit.size >= _MINUTE_S and scale is TIME and not numbers.scale:
            axis.set_major_locator(_Scaled(axis.get_major_locator(), numbers.factor))
        if numbers.scale and isinstance(axis, XAxis):
            axis.set_major_locator(LogLocator(10, numticks=_MOST_LONG_TICKS))
        axis.set_major_formatter(copy(numbers))  # a formatter knows the axis that it is on
        axis.set_label_text(label)


def _visible(axis: Axis) -> Floats:
    ticks: Floats = np.asarray(axis.get_majorticklocs(), dtype=float)
    low, high = sorted(axis.get_view_interval())
    return ticks[(ticks >= low) & (ticks <= high)]


def _with_unit(label: str, unit: str) -> str:
    if unit:
        return _UNIT.sub(f"({unit}", label, count=1)
    # What else was in the parentheses stays: `energy (J, modelled)` becomes `energy (modelled)`.
    return re.sub(r"\s*\(\)", "", re.sub(_UNIT.pattern + r"[,:;]?\s*", "(", label, count=1))


class TickNumbers(Formatter):
    """Writes the ticks of an axis alike: 0.5 and 1.0, never 0.001 beside 9e-4 or 1e5 beside 50000.

    Attributes:
        factor: What a place is multiplied by.
        base: How many base units one is.
        scale: If not empty, each tick has a unit of its own.
        is_log: Whether two ticks are a factor apart, not a step.
    """

    def __init__(
        self, factor: float = 1.0, *, base: float = 1.0, scale: Scale = (), is_log: bool = False
    ) -> None:
        """Write ticks in one unit or, with a scale, each in a unit of its own."""
        self.factor, self.base, self.scale, self.is_log = factor, base, scale, is_log

    def __call__(self, value: float, pos: int | None = None) -> str:
        """One number by itself, such as that of a cursor."""
        return self.format_ticks([value])[0]

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        """Write all ticks of an axis."""
        if self.scale:
            return [short_quantity(value * self.base, self.scale) for value in values]
        numbers = np.asarray(values, dtype=float) * self.factor
        shown = self._shown(numbers)
        largest = np.abs(shown).max(initial=0.0)
        if largest >= _MOST:
            return _thousands(numbers)
        if self._are_even(shown):
            decimals = max(0, -int(np.floor(np.log10(np.diff(shown).min()) + 1e-9)))
            # A step of 2.5 has one digit more than its size tells.
            decimals += any(abs(n * 10**decimals - round(n * 10**decimals)) > 1e-6 for n in shown)
            return [f"{number + 0.0:.{decimals}f}" for number in numbers]
        if 0 < np.abs(shown[shown != 0]).min(initial=np.inf) < _SMALL:
            return [_scientific(number) for number in numbers]
        return [_in_full(number) for number in numbers]

    def _are_even(self, numbers: Floats) -> bool:
        steps = np.diff(np.sort(numbers))
        return len(steps) > self.is_log and bool(np.allclose(steps, steps[0], rtol=1e-3))

    def _shown(self, numbers: Floats) -> Floats:
        if self.axis is None:
            return numbers
        low, high = sorted(np.asarray(self.axis.get_view_interval()) * self.factor)
        inside = numbers[(numbers >= low) & (numbers <= high)]
        return inside if len(inside) else numbers


class _Scaled(Locator):
    """Ticks at round numbers of another unit."""

    def __init__(self, inner: Locator, factor: float) -> None:
        self.inner, self.factor = inner, factor

    def __call__(self) -> Sequence[float]:
        assert self.axis is not None, "a locator belongs to an axis"
        return self.tick_values(*self.axis.get_view_interval())

    def tick_values(self, vmin: float, vmax: float) -> Sequence[float]:
        ticks = self.inner.tick_values(vmin * self.factor, vmax * self.factor)
        return list(np.asarray(ticks, dtype=float) / self.factor)


def _thousands(numbers: Floats) -> list[str]:
    """Whole numbers with k and M: `1k`, `100k`, `10M`; all in full if one of them gets longer."""
    texts = []
    for number in numbers:
        size, prefix = next((each for each in _PREFIXES if abs(number) >= each[0]), (1.0, ""))
        texts.append(f"{number / size:.6g}{prefix}")
    return texts if max(map(len, texts)) < 6 else [f"{number:.0f}" for number in numbers]


def _in_full(number: float) -> str:
    return f"{number:.0f}" if abs(number) >= 1000 else f"{number:.4g}"


def _scientific(number: float) -> str:
    if not 0 < abs(number) < 1:
        return _in_full(number)
    mantissa, exponent = f"{number:.2e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"
