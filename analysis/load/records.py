"""Records as rows of a frame: its columns, their types, and their values.

Column names are those of run.json, nested ones joined with dots. The columns come from the classes
of the record, so each exists even if no run has a value. A list of names becomes one text, and so
do the components that joules are of; a list of records (the ladder, energy rows, stages, rates) has
a frame of its own.
"""

from __future__ import annotations

import dataclasses
import itertools
import types
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pyarrow as pa
from pandas import DataFrame, Series, concat
from pydantic import TypeAdapter

from analysis.load.forked import Forked, Lost
from analysis.load.values import bounded_floats, require_possible, shown
from bench.core.flat import flat
from bench.core.labels import part_of, row_flags
from bench.core.printable import printable
from bench.core.qualities import CLASSES
from bench.core.records.model import Quality
from bench.core.records.run import RunRecord
from bench.core.regret import stream_hash
from bench.core.store import read_record

# Their keys are not fixed: the columns are what the runs hold.
FREE_FORM = ("config", "host")
# Parts with the qualities that the task of a run reports. Only those of CLASSES are columns always.
_QUALITY_PARTS = ("quality", "quality_test")
_QUALITIES = tuple(f"{part}." for part in _QUALITY_PARTS)
# Columns that exist even if no run has them, as when all were killed before writing a record.
_ALWAYS = ("host.name", "host.cpu_name")
_SEPARATORS = {"invalid_reasons": "; "}
FOLDER = "folder"
# Column with the hash of what a deployment met: runs that share it differ in their policy only.
STREAM = "stream_hash"
# Why a folder or file could not be read, by its path.
Unreadable = dict[str, str]
# Lists of records that have a frame of their own, by the folder of the run.
Lists = dict[str, dict[str, list[dict[str, Any]]]]
LISTS = ("ladder", "energy", "stages", "rate_search")
_MOST_PARTS, _LEAST_OF_A_PART = 8, 50  # folders that one process reads at a time
# Column with the flags of the joules that a run measured.
ENERGY_ROW_FLAGS = "energy_row_flags"
Text = Callable[[Any], str | None]
_TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


@dataclasses.dataclass(frozen=True, slots=True)
class Leaf:
    """One leaf of the record: its place, its column's name and type.

    Attributes:
        path: Keys down to the leaf.
        type: Of the column.
        name: Usually the path joined with dots.
        text: Function that makes one text of a list.
    """

    path: tuple[str, ...]
    type: pa.DataType
    name: str
    text: Text | None = None

    def value_in(self, record: Mapping[str, Any]) -> Any:
        """Read the leaf from a record as nested dicts; None if it or a dict around it is missing.

        Raises:
            ValueError: It is a number that cannot have been measured.
        """
        value: Any = record
        for key in self.path:
            if value is None:
                return None
            value = value.get(key)
        if self.text is not None and value is not None:
            value = self.text(value)
        if isinstance(value, str):
            return shown(self.name, value)
        require_possible(self.name, value)
        return value


def parts_text(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Name the parts of the machine that a total of joules covers: `2 cpu + gpu`; None for none.

    Totals of different parts are not repeats of one another. Which of several cards was used makes
    no difference; constants are in no total.

    Args:
        rows: With `component` (such as `gpu0`) and `label`.
    """
    parts = Counter(part_of(row["component"]) for row in rows if row["label"] != "constant")
    texts = [part if num == 1 else f"{num} {part}" for part, num in sorted(parts.items())]
    return " + ".join(texts) or None


def _flags_text(rows: Sequence[Mapping[str, Any]]) -> str:
    return ",".join(row_flags(rows))


def _pairs_text(pairs: Mapping[str, str]) -> str:
    return ",".join(f"{name}:{value}" for name, value in pairs.items())


# Lists of components with joules, and the columns made from each.
_TEXTS: Mapping[tuple[str, ...], Sequence[tuple[str, Text]]] = {
    ("energy",): [("energy_components", parts_text), (ENERGY_ROW_FLAGS, _flags_text)],
    ("serving", "energy_per_prediction_components"): [("serving.energy_components", parts_text)],
}


@cache
def record_leaves() -> tuple[Leaf, ...]:
    """The leaves of RunRecord in its order, without the free-form parts."""
    return tuple(_leaves(RunRecord, ()))


def _leaves(cls: type, path: tuple[str, ...]) -> Iterator[Leaf]:
    hints = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        if not path and field.name in FREE_FORM:
            continue
        yield from _leaf((*path, field.name), _required(hints[field.name]))


def _leaf(path: tuple[str, ...], hint: Any) -> Iterator[Leaf]:
    name = ".".join(path)
    if hint is Quality:
        yield Leaf((*path, "at"), pa.string(), f"{name}.at")
        yield Leaf((*path, "num_samples"), pa.int64(), f"{name}.num_samples")
        yield from (Leaf((*path, each), pa.float64(), f"{name}.{each}") for each in CLASSES)
    elif dataclasses.is_dataclass(hint):
        yield from _leaves(hint, path)  # type: ignore[arg-type]  # a class, not an instance
    elif get_origin(hint) is Literal:
        yield Leaf(path, pa.string(), name)
    elif get_origin(hint) is list:
        if path in _TEXTS:
            yield from (Leaf(path, pa.string(), *each) for each in _TEXTS[path])
        elif get_args(hint)[0] is str:
            yield Leaf(path, pa.string(), name, _SEPARATORS.get(path[-1], ",").join)
    elif get_origin(hint) is dict:
        yield Leaf(path, pa.string(), name, _pairs_text)
    elif hint in _TYPES:
        yield Leaf(path, _TYPES[hint], name)
    else:
        raise TypeError(f"{name}: no column for {hint}")


def _required(hint: Any) -> Any:
    """The hint without `| None`."""
    if get_origin(hint) in (Union, types.UnionType):
        return next(part for part in get_args(hint) if part is not types.NoneType)
    return hint


@cache
def _adapter() -> TypeAdapter[RunRecord]:
    return TypeAdapter(RunRecord)


def as_dicts(record: RunRecord) -> dict[str, Any]:
    """Turn the record into nested dicts, with the free-form parts as in JSON.

    Raises:
        ValueError: A free-form part is nested too deeply, or too large.
    """
    # Free-form parts apart: a few lines of YAML with aliases may expand beyond any memory.
    dumped: dict[str, Any] = _adapter().dump_python(record, exclude=set(FREE_FORM))
    free = {name: _free(name, getattr(record, name)) for name in FREE_FORM}
    return dumped | free


_DEEPEST, _MOST_VALUES = 40, 50_000  # of a free-form part; real ones have 6 levels, 200 values


def _free(name: str, tree: Any) -> Any:
    """Reduce a free-form part to texts that can be shown and types that JSON has."""
    count = itertools.count()

    def plain(value: Any, level: int) -> Any:
        if level > _DEEPEST or next(count) > _MOST_VALUES:
            raise ValueError(f"{name}: more than {_DEEPEST} levels or {_MOST_VALUES} values")
        if isinstance(value, Mapping):
            return {printable(key): plain(item, level + 1) for key, item in value.items()}
        if isinstance(value, list | tuple | set):
            return [plain(item, level + 1) for item in value]
        if value is None or isinstance(value, bool | int | float):
            return value
        return printable(value)

    return plain(tree, 0)


@dataclasses.dataclass(slots=True)
class _Read:
    """What some folders hold: a list for each column, in the order of the folders' names."""

    names: list[str] = dataclasses.field(default_factory=list)
    columns: dict[str, list[Any]] = dataclasses.field(default_factory=dict)
    lists: Lists = dataclasses.field(default_factory=dict)
    unreadable: Unreadable = dataclasses.field(default_factory=dict)

    def append(self, name: str, row: Mapping[str, Any]) -> None:
        for key, value in row.items():
            self.column(key).append(value)
        self.names.append(name)

    def extend(self, other: _Read) -> None:
        for key, values in other.columns.items():
            self.column(key).extend(values)
        self.names += other.names
        self.lists |= other.lists
        self.unreadable |= other.unreadable

    def column(self, key: str) -> list[Any]:
        column = self.columns.setdefault(key, [])
        column += [None] * (len(self.names) - len(column))  # earlier runs have no such key
        return column


def read_records(
    folders: Sequence[Path], workers: int = 1, meanwhile: Callable[[], object] = lambda: None
) -> tuple[DataFrame, Lists, Unreadable]:
    """Read the record of each folder, in several processes if there are many; arguments: load_runs.

    Returns:
        A row for each record that could be read: `folder`, the leaves of RunRecord, and those of
        the free-form parts, such as `config.lr`. Its lists. For the others, the reason by folder.
    """
    size = max(_LEAST_OF_A_PART, -(-len(folders) // _MOST_PARTS))
    tasks = [partial(_read, folders[n : n + size]) for n in range(0, len(folders), size)]
    with Forked(tasks, workers) as forked:
        meanwhile()
        parts = dict(forked.outcomes())
    read = _Read()
    for (_, part), task in zip(sorted(parts.items()), tasks, strict=True):
        read.extend(task() if isinstance(part, Lost) else part)
    return _frame(read), read.lists, read.unreadable


def _read(folders: Sequence[Path]) -> _Read:
    read = _Read()
    for folder in folders:
        try:
            record = as_dicts(read_record(folder))
            row = _row(record)
        # Anything may be in the place of a record. It is reported with the reason, and must not
        # keep the other runs from being read.
        except Exception as error:
            read.unreadable[str(folder)] = reason_of(error)
            continue
        read.append(str(folder), row)
        read.lists[str(folder)] = {name: record[name] for name in LISTS}
    return read


def _frame(read: _Read) -> DataFrame:
    names = dict.fromkeys([*(leaf.name for leaf in record_leaves()), *read.columns])
    whole = {name: read.column(name) for name in names}
    typed = {leaf.name: pa.array(whole.pop(leaf.name), leaf.type) for leaf in record_leaves()}
    table = pa.table({FOLDER: pa.array(read.names, pa.string()), **typed})
    record = bounded_floats(table.to_pandas())
    # pandas infers the types of free-form columns from their values.
    free = DataFrame(whole, index=record.index)
    floats = {name: "float64" for name in whole if name.startswith(_QUALITIES)}
    free = bounded_floats(free.astype(floats))
    missing = {n: Series(None, index=free.index, dtype="str") for n in _ALWAYS if n not in free}
    # Copied, because converting columns one by one has fragmented the frame: pandas would warn.
    return concat([record, free.assign(**missing)], axis=1).copy()


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    row = {leaf.name: leaf.value_in(record) for leaf in record_leaves()}
    for name in _QUALITY_PARTS:
        for leaf, value in (record[name] or {}).items():
            require_possible(leaf, value)
            row.setdefault(f"{name}.{printable(leaf)}", value)
    if record["maintenance"] is not None:
        row[STREAM] = stream_hash(record["config"])
    for name in FREE_FORM:
        row |= flat(record[name], f"{name}.")
    return row


def reason_of(error: Exception) -> str:
    """Say in one line why something could not be read."""
    text = printable(" ".join(str(error).split()))
    return text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}"
