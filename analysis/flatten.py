"""A record as one row: which columns there are, of which type, and their values.

Names are those of run.json, nested ones joined with dots. The columns follow from the classes of
the record, so that every one is there whether or not any run has it. A list of names becomes one
text; a list of records (the ladder, energy rows, stages, rates) has a frame of its own.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pyarrow as pa
from pydantic import TypeAdapter

from bench.core.records import RunRecord

# Their keys are not fixed: they are flattened by what is in them.
FREE_FORM = ("config", "host")
_SEPARATORS = {"invalid_reasons": "; "}
_TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """One leaf of the record: where it is, and how it is stored."""

    path: tuple[str, ...]
    type: pa.DataType
    separator: str | None = None

    @property
    def name(self) -> str:
        """The path joined with dots."""
        return ".".join(self.path)

    def value_in(self, record: Mapping[str, Any]) -> Any:
        """The leaf of a record as nested dicts; None where it, or what it lies in, is not there."""
        value: Any = record
        for key in self.path:
            if value is None:
                return None
            value = value[key]
        return value if self.separator is None or value is None else self.separator.join(value)


@cache
def record_columns() -> tuple[Column, ...]:
    """The leaves of RunRecord in its order, but for what is of free form."""
    return tuple(_leaves(RunRecord, ()))


def _leaves(cls: type, path: tuple[str, ...]) -> Iterator[Column]:
    hints = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        if not path and field.name in FREE_FORM:
            continue
        yield from _leaf((*path, field.name), _required(hints[field.name]))


def _leaf(path: tuple[str, ...], hint: Any) -> Iterator[Column]:
    if dataclasses.is_dataclass(hint):
        yield from _leaves(hint, path)  # type: ignore[arg-type]  # a class, not an instance
    elif get_origin(hint) is Literal:
        yield Column(path, pa.string())
    elif get_origin(hint) is list:
        if get_args(hint)[0] is str:
            yield Column(path, pa.string(), _SEPARATORS.get(path[-1], ","))
    elif hint in _TYPES:
        yield Column(path, _TYPES[hint])
    else:
        raise TypeError(f"{'.'.join(path)}: no column for {hint}")


def _required(hint: Any) -> Any:
    """The hint without `| None`."""
    if get_origin(hint) in (Union, types.UnionType):
        return next(part for part in get_args(hint) if part is not types.NoneType)
    return hint


@cache
def _adapter() -> TypeAdapter[RunRecord]:
    return TypeAdapter(RunRecord)


def as_dicts(record: RunRecord) -> dict[str, Any]:
    """The record as nested dicts; ten times as quick as dataclasses.asdict."""
    dumped: dict[str, Any] = _adapter().dump_python(record)
    return dumped
