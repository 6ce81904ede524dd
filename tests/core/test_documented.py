"""docs/metrics.md defines every field of a record and of a row of the curve."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from bench.core.records.curve import CurveRow
from bench.core.records.run import RunRecord

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
# `phases.train_s`, `train_s`, `energy[].label`, `recipe.source_*`, `_p90_ms`: all names in code.
NAMED = {
    part.removesuffix("[]")
    for quoted in re.findall(r"`([^`\n]+)`", PAGE)
    for part in re.split(r"[^\w*\[\]]+", quoted)
}


def names(schema: type) -> Iterator[str]:
    """Of all fields, those of the dataclasses in them included."""
    for name, hint in get_type_hints(schema).items():
        yield name
        for inner in (hint, *get_args(hint)):
            if is_dataclass(inner):
                assert isinstance(inner, type)
                yield from names(inner)


def is_named(name: str) -> bool:
    """By itself, by its beginning or end with a `*`, or by its end after others: `_p90_ms`."""
    if name in NAMED:
        return True
    stars = [part.partition("*") for part in NAMED if "*" in part]
    if any(
        name.startswith(head) and name.endswith(tail) for head, star, tail in stars if head or tail
    ):
        return True
    return any(part.startswith("_") and name.endswith(part) for part in NAMED)


@pytest.mark.parametrize("schema", [RunRecord, CurveRow])
def test_every_field_is_defined(schema: type) -> None:
    assert [name for name in names(schema) if not is_named(name)] == []


def test_a_field_that_is_not_defined_would_be_found() -> None:
    assert len(fields(RunRecord)) > 30
    assert not is_named("undefined_j")
