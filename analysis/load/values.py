"""Values of the runs as figures and tables take them: the one place that makes numbers.

A record's configuration and host have no fixed form: under one key, a run may hold a number and the
next run a text. A value that is no number counts as missing, in that run only.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
from pandas import DataFrame, Series
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from bench.core.arrays import Bools, Floats
from bench.core.printable import printable

# No quantity is measured beyond these limits. Within them, squares and products stay finite.
MOST, LEAST = 1e60, 1e-60
_MOST_WHOLE = 2**63  # what a column of whole numbers can hold
# How names of measured quantities end. A loss or a threshold may be as large as it likes.
_MEASURED = ("_s", "_ms", "_j", "_w", "_bytes", "_usd", "_gco2e", "_frac")
_LONGEST = 160  # characters of a name that has to fit into a legend
# Of a name that figures shorten by what all of the shown ones share: a folder of many sweeps has
# names of twenty keys, of which a figure shows three.
LONGEST_WHOLE = 600


def column(runs: DataFrame, name: str) -> Series:
    """Return a column of the runs; all missing if no run has it."""
    if name in runs:
        return runs[name]
    return Series(np.nan, index=runs.index, name=name, dtype=float)


def rows_by_key(keys: DataFrame) -> dict[tuple[Any, ...], list[int]]:
    """Find the rows that are equal in all columns, in the order of their first row.

    Args:
        keys: Of values that can be hashed.

    Returns:
        Numbers of rows by their values; a missing value is None, and equal to another one.
    """
    # Not groupby: with ten columns it takes milliseconds per call even for a few rows.
    whole = keys.astype(object).where(keys.notna(), None)
    rows: dict[tuple[Any, ...], list[int]] = {}
    for row, key in enumerate(zip(*(whole[name] for name in whole), strict=True)):
        rows.setdefault(key, []).append(row)
    return rows


def with_only(values: Series, by: Series | None = None) -> Series:
    """Fill in missing values where only one value is possible.

    Args:
        values: Of any type; objects in the result.
        by: Groups that share a value; by default all values are one group.

    Returns:
        A missing value becomes the only known one of its group; it stays missing if the group has
        several, or none.
    """
    values = values.astype(object)
    if values.notna().all():
        return values
    keys = [None] * len(values) if by is None else list(by.astype(object).where(by.notna(), None))
    known: dict[Any, set[Any]] = {}
    for key, value, is_known in zip(keys, values, values.notna(), strict=True):
        if is_known:
            known.setdefault(key, set()).add(value)
    only = {key: next(iter(several)) for key, several in known.items() if len(several) == 1}
    return values.fillna(Series([only.get(key) for key in keys], index=values.index, dtype=object))


def numbers(runs: DataFrame, name: str) -> Series:
    """A column as floats; NaN where it is missing, not finite, a truth value or a text."""
    values = column(runs, name)
    if is_bool_dtype(values) or not is_numeric_dtype(values):
        values = values.astype(object).map(_number)
    return bounded(values.astype(np.float64))


def bounded(values: Series) -> Series:
    """Floats within MOST and LEAST: NaN for an infinite one, 0 for one that is close to 0."""
    if not _out_of_bounds(values.to_numpy(dtype=np.float64, na_value=np.nan)).any():
        return values
    small = values.abs() < LEAST
    return values.mask(small, 0.0).where(np.isfinite(values)).clip(-MOST, MOST)


def bounded_floats(frame: DataFrame) -> DataFrame:
    """Bound the floats of a frame so that one can calculate: a diverged loss may be 1e300."""
    floats = [name for name, kind in frame.dtypes.items() if kind == "float64"]
    # All at once: there are hundreds of columns, and seldom one that is odd.
    found = _out_of_bounds(frame[floats].to_numpy(dtype=np.float64))
    odd = [name for name, values in zip(floats, found.T, strict=True) if values.any()]
    return frame.assign(**{str(name): bounded(frame[name]) for name in odd}) if odd else frame


def _out_of_bounds(values: Floats) -> Bools:
    size = np.abs(values)
    found: Bools = (size > MOST) | ((size < LEAST) & (size > 0))
    return found


def require_possible(name: str, value: object) -> None:
    """Refuse a number that no instrument can have read and no column can hold.

    Raises:
        ValueError: The value is such a number; the message names it.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    is_too_long = isinstance(value, int) and not -_MOST_WHOLE <= value < _MOST_WHOLE
    if is_too_long or (abs(value) > MOST and name.endswith(_MEASURED)):
        raise ValueError(f"{name}={str(value)[:25]}: an impossible value; measure the run again")


def _number(value: Any) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.number)):
        return math.nan
    try:
        return float(value)
    except OverflowError:  # whole numbers of free-form keys may have any length
        return math.nan


def short_name(text: str, longest: int = _LONGEST) -> str:
    """Shorten a name for a legend; a digest in the middle of a long one keeps it unique."""
    if len(text) <= longest:
        return text
    digest = hashlib.sha256(text.encode(errors="replace")).hexdigest()[:8]
    return f"{text[: longest // 2]}...{digest}...{text[-longest // 4 :]}"


def shown(name: str, text: str) -> str:
    """Replace what cannot be shown in a text of a record; one about an error keeps its lines."""
    if name.startswith("error."):
        return "\n".join(map(printable, text.splitlines()))
    return printable(text)
