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
    texts = frame.drop(columns=numbers.columns)
    parts = [numbers.astype(np.float32)]
    parts += [_encode_texts(texts[name]) for name in texts]
    encoded = pd.concat(parts, axis="columns")
    return np.ascontiguousarray(encoded.to_numpy(np.float32)), list(encoded.columns)


def _encode_texts(column: pd.Series[Any]) -> pd.DataFrame:
    """A column of 0 and 1 for each category, in sorted order."""
    texts = column.astype(str).where(column.notna(), _MISSING)
    shares = texts.map(texts.value_counts(normalize=True))
    texts = texts.where(shares >= _LEAST_SHARE, _OTHER)
    return pd.get_dummies(texts, prefix=str(column.name), prefix_sep="=", dtype=np.float32)
