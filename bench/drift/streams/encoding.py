"""Turns columns of numbers and texts into the features of a pool."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bench.drift.samples import Floats

_MISSING = "missing"
_OTHER = "other"
# A rarer category has no column of its own: standardised, its 1 would be an input above 10, and a
# single sample could undo a training.
_LEAST_SHARE = 0.01


def encode_columns(frame: pd.DataFrame) -> tuple[Floats, list[str]]:
    """Turn columns into raw features: numbers as they are, texts as columns of 0 and 1.

    The categories are those of the whole pool: the pipeline knows them, and none becomes unknown
    later. Those of less than 1% of the rows share the category `other`. A missing number stays NaN;
    a missing text is a category.

    Args:
        frame: The columns, with n rows.

    Returns:
        The features, float32 (n, num_features), numbers first; and their names, for a category
        `carrier=AA`.
    """
    numbers = frame.select_dtypes(["number", "bool"])
    parts, names = [numbers.astype(np.float32).to_numpy(np.float32)], list(numbers.columns)
    for name in frame.columns.drop(numbers.columns):
        encoded, categories = _encode_texts(frame[name])
        parts.append(encoded)
        names += [f"{name}={category}" for category in categories]
    return np.ascontiguousarray(np.concatenate(parts, axis=1)), names


def _encode_texts(column: pd.Series[Any]) -> tuple[Floats, list[str]]:
    """A column of 0 and 1 for each category, and the categories, in sorted order."""
    texts = column.astype(str).where(column.notna(), _MISSING)
    places, found = pd.factorize(texts)
    is_rare = np.bincount(places, minlength=len(found)) / len(texts) < _LEAST_SHARE
    names = np.where(is_rare, _OTHER, found.to_numpy(object))
    categories, merged = np.unique(names, return_inverse=True)
    return np.eye(len(categories), dtype=np.float32)[merged[places]], list(categories)
