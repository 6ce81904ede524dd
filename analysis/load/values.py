"""Values of the runs as what a figure or a table takes them for: the one place that makes numbers.

A record's configuration and host are of free form: under any of their keys, one run may hold a
number and the next a text. What is no number is missing here, in that run alone.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
from pandas import DataFrame, Series
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from bench.core.printable import printable

# No quantity is measured beyond these. Within them, squares and products stay finite.
MOST, LEAST = 1e60, 1e-60
_MOST_WHOLE = 2**63  # of a column of whole numbers
# The ends of the names of what is measured; a loss or a threshold may be as large as it likes.
_MEASURED = ("_s", "_ms", "_j", "_w", "_bytes", "_usd", "_gco2e", "_frac")
_LONGEST = 160  # characters of a name, which has to fit into a legend


def column(runs: DataFrame, name: str) -> Series:
    """A column of the runs; all missing where no run has it."""
    if name in runs:
        return runs[name]
    return Series(np.nan, index=runs.index, name=name, dtype=float)


def with_only(values: Series, by: Series | None = None) -> Series:
    """Fill in missing values where only one value is possible.

    Args:
        values: Of any type; objects in the result.
        by: Groups that share a value; all belong together by default.

    Returns:
        A missing value is the only known one of its group; it stays missing where the group knows
        several, or none.
    """
    values = values.astype(object)
    if by is None:
        known = values.dropna().unique()
        return values.fillna(known[0]) if len(known) == 1 else values
    groups = values.groupby(by, dropna=False)
    return values.fillna(groups.transform("first").where(groups.transform("nunique") == 1))


def numbers(runs: DataFrame, name: str) -> Series:
    """A column as floats; NaN where it is missing, no finite number, a truth value or a text."""
    values = column(runs, name)
    if is_bool_dtype(values) or not is_numeric_dtype(values):
        values = values.astype(object).map(_number)
    return bounded(values.astype("float64"))


def bounded(values: Series) -> Series:
    """Floats within MOST and LEAST: NaN for an infinite one, 0 for one that is next to it."""
    if not _is_out_of_bounds(values):
        return values
    small = values.abs() < LEAST
    return values.mask(small, 0.0).where(np.isfinite(values)).clip(-MOST, MOST)


def bounded_floats(frame: DataFrame) -> DataFrame:
    """The frame with numbers that one can calculate with: a loss that diverged may be 1e300."""
    floats = [name for name, kind in frame.dtypes.items() if kind == "float64"]
    odd = {str(name): bounded(frame[name]) for name in floats if _is_out_of_bounds(frame[name])}
    return frame.assign(**odd) if odd else frame


def _is_out_of_bounds(values: Series) -> bool:
    """Whether any of the floats is beyond MOST, or next to 0."""
    size = np.abs(values.to_numpy(dtype=np.float64, na_value=np.nan))
    return bool(((size > MOST) | ((size < LEAST) & (size > 0))).any())


def require_possible(name: str, value: object) -> None:
    """Refuse a number that no instrument can have read, nor a column hold.

    Raises:
        ValueError: It is one; the message names it.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    whole = isinstance(value, int) and not -_MOST_WHOLE <= value < _MOST_WHOLE
    if whole or (abs(value) > MOST and name.endswith(_MEASURED)):
        raise ValueError(f"{name}={str(value)[:25]}: cannot be; measure the run again")


def _number(value: Any) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.number)):
        return math.nan
    try:
        return float(value)
    except OverflowError:  # a whole number of any length
        return math.nan


def short_name(text: str) -> str:
    """A name that fits into a legend: the middle of a long one is a digest, so it stays unique."""
    if len(text) <= _LONGEST:
        return text
    digest = hashlib.sha256(text.encode(errors="replace")).hexdigest()[:8]
    return f"{text[: _LONGEST // 2]}...{digest}...{text[-_LONGEST // 4 :]}"


def shown(name: str, text: str) -> str:
    """A text of a record in characters that can be shown; one about an error keeps its lines."""
    if name.startswith("error."):
        return "\n".join(map(printable, text.splitlines()))
    return printable(text)
