"""The user's own table as a stream, in the order of one of its columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bench.core.printable import printable
from bench.drift.samples import Index, Pool, Samples
from bench.drift.streams.encoding import encode_columns
from bench.tasks.tables import read_csv, require_column

_OWNER = "stream.source"


def csv_stream(
    *, path: str, target: str, time: str, root: str | None, separator: str, decimal: str
) -> Pool:
    """Read a CSV file with a header and a column of times.

    Args:
        path: The file.
        target: The column with the classes, which are texts or whole numbers.
        time: The column with the times, which are numbers or dates; it is no feature. Rows of the
            same time keep their order.
        root: The folder that the file is in; None if `path` says it.
        separator: What separates two values of a row.
        decimal: The decimal point of numbers.

    Raises:
        ValueError: The file, a column or a value cannot be used.
    """
    table = read_csv(path, root, separator, target, "classification", decimal=decimal, owner=_OWNER)
    require_column(f"{_OWNER}.time", time, table.features.columns)
    order = _order_of(table.features[time])
    columns = table.features.drop(columns=time)
    if columns.empty:
        raise ValueError(
            f"{_OWNER}.path={path}: needs a column to learn from besides {target} and {time}"
        )
    features, names = encode_columns(columns.iloc[order])
    labels = table.targets.astype(np.int64)
    samples = Samples(ids=order, features=features, labels=labels[order])
    return Pool(
        samples=samples,
        num_classes=int(labels.max()) + 1,
        feature_names=names,
        is_ordered=True,
    )


def _order_of(column: pd.Series[Any]) -> Index:
    """The places of rows in the order of their times, int64 (n,)."""
    is_number = pd.api.types.is_numeric_dtype(column)
    times = (
        column if is_number else pd.to_datetime(column, errors="coerce", utc=True, format="ISO8601")
    )
    if times.isna().any():
        row = int(times.isna().to_numpy().argmax())
        value = column.iloc[row]
        shown = "missing" if pd.isna(value) else printable(value)
        raise ValueError(
            f"{_OWNER}.time={column.name}: row {row + 1} is {shown}; each row needs a number, or a "
            "date such as 2026-01-31 or 2026-01-31T12:30"
        )
    order: Index = np.argsort(times.to_numpy(), kind="stable").astype(np.int64)
    return order
