"""The catalogue's rows of qualities, also of those that a user's own metric reports."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from bench.core.metric import Better, Metric, metric_of
from bench.core.qualities import QUALITIES
from bench.core.records.model import RESERVED
from bench.core.target import FLOAT32_ROUNDING

VALIDATION, TEST = "quality", "quality_test"
_WORDS = {VALIDATION: "validation", TEST: "test"}
_LEAST_EFFECT_FRAC = 0.01
# In tables with little room.
_SHORT = {"worst_class_recall": "worst recall"}


def is_quality(path: str) -> bool:
    """Whether a dotted name is that of a quality: `quality.accuracy`, `quality_test.val/f1`."""
    split, _, name = path.partition(".")
    return split in _WORDS and bool(name) and name not in RESERVED


def quality_rows(split: str) -> Iterator[Metric]:
    """The rows of all qualities that built-in tasks report on one split of their data."""
    for name, facts in QUALITIES.items():
        title = f"{_WORDS[split]} {facts.title or name.replace('_', ' ')}"
        row = {"title": title, "unit": facts.unit, "lower": facts.lower, **_judged(split)}
        row |= {"heading": f"{_WORDS[split]} {name.replace('_', ' ')}"}
        row |= {"short": _SHORT[name]} if name in _SHORT else {}
        row |= {"shown": ("", 1.0)} if facts.unit == "fraction" else {}
        row |= {"name": f"{split}.{name}"} if split == VALIDATION else {}
        if (split, name) == (TEST, "accuracy"):
            row["rounding_frac"] = FLOAT32_ROUNDING  # older records hold it in float32
        yield metric_of(f"{split}.{name}", facts.mode, **row)


def own_row(path: str, better: Better | None = None) -> Metric:
    """Make the row of a quality that no built-in task reports; its name is the whole path.

    Args:
        path: A name for which is_quality holds.
        better: Direction, if it is known.
    """
    split, _, name = path.partition(".")
    row: dict[str, Any] = {"name": path, "title": f"{_WORDS[split]} {name}", "unit": ""}
    return metric_of(path, better, lower=-math.inf, **row, **_judged(split))


def _judged(split: str) -> dict[str, Any]:
    """How the gate judges a quality: on the test split only, on which nothing was chosen."""
    facts: dict[str, Any] = {"least_effect_frac": _LEAST_EFFECT_FRAC}
    return facts | ({"kind": "exact", "topics": ("quality",)} if split == TEST else {})
