"""Finds a column of a pool that a key names."""

from __future__ import annotations

from typing import Any

from bench.core.printable import printable
from bench.core.suggest import did_you_mean
from bench.drift.samples import Pool

_MAX_LISTED = 30


def find_column(key: str, feature: Any, pool: Pool) -> int:
    """Find a column by its name or its number.

    Args:
        key: The key that names it, for messages.
        feature: The name, or the number from 0.
        pool: A table.

    Returns:
        The number of the column.

    Raises:
        ValueError: The pool has no such column, or its samples are images.
    """
    if len(pool.input_shape) != 1:
        raise ValueError(f"{key}={printable(feature)}: images have no columns; leave it out")
    names, (num_columns,) = list(pool.feature_names), pool.input_shape
    if str(feature) in names:
        return names.index(str(feature))
    if isinstance(feature, int) and not isinstance(feature, bool) and 0 <= feature < num_columns:
        return feature
    listed = ", ".join(names[:_MAX_LISTED])
    if len(names) > _MAX_LISTED:
        listed += f" and {len(names) - _MAX_LISTED} more"
    known = f"numbers 0 to {num_columns - 1}" + (f", and names {listed}" if names else "")
    raise ValueError(
        printable(
            f"{key}={feature}: no such feature; there are {known}"
            f"{did_you_mean(str(feature), names)}"
        )
    )
