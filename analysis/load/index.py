"""A cache of what run folders hold, so that many runs load quickly; never stale.

It is one hidden file in the results folder, made once there are many runs. An entry is used only
while the files that it was made from have the size, the time stamps (to the nanosecond, with that
of the inode, which nobody can set) and the inode they had. A file that changed just before it was
read is not entered: a second change may fall into the same tick of the file system's clock. What
cannot be read is not entered either. Deleting the file loses nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.load.flatten import FREE_FORM, as_dicts, record_columns
from bench.core.printable import printable
from bench.core.records.run import SCHEMA_VERSION
from bench.core.store import read_record, record_path

INDEX_NAME = ".index.parquet"
# Fewer runs than this are read faster than a cache of them would be.
MIN_INDEXED = 200
# Coarser than the clock of any file system in use (FAT: 2 s).
_SETTLED_NS = 3_000_000_000
# Goes up when what is read from the same files changes.
_LAYOUT = 3
_KEY = b"operational-metrics-bench"

FOLDER, SIGNATURE = "folder", "signature"
# What an entry can fail with; each is a reason that is told.
Unreadable = dict[str, str]


@cache
def schema() -> pa.Schema:
    """Columns of a table of entries: the folder, its signature, the record."""
    free = [(f"{name}_json", pa.string()) for name in FREE_FORM]
    fields = [(column.name, column.type) for column in record_columns()]
    names = [(FOLDER, pa.string()), (SIGNATURE, pa.string()), *free, *fields]
    digest = hashlib.sha256(repr((_LAYOUT, SCHEMA_VERSION, names)).encode()).hexdigest()
    return pa.schema(names, metadata={_KEY: digest.encode()})


def signature(folder: Path) -> tuple[str, int]:
    """What identifies the content that a record is read from, and when that last changed.

    Returns:
        Name, times, size and inode of each file, as a text; the latest change in nanoseconds since
        the epoch.
    """
    usual = f"{folder}/run.json"  # a text: paths are slow to make, and there are many
    found = [stat] if (stat := _stamp(usual)) else _elsewhere_stamps(folder)
    return ";".join(text for text, _ in found), max((ns for _, ns in found), default=0)


def _elsewhere_stamps(folder: Path) -> list[tuple[str, int]]:
    """Of the record that did not fit into its folder, or of what an unfinished run is read from.

    A log tells that the run has begun.
    """
    record = record_path(folder)
    names = ("config.yaml", "curve.jsonl", "log.txt")
    files = [record] if record else [folder / name for name in names]
    return [stamp for path in files if (stamp := _stamp(str(path)))]


def _stamp(path: str) -> tuple[str, int] | None:
    try:
        stat = os.stat(path)
    except OSError:  # not there, or not to be read: reading the record says which
        return None
    text = f"{path}:{stat.st_mtime_ns}:{stat.st_ctime_ns}:{stat.st_size}:{stat.st_ino}"
    return text, max(stat.st_mtime_ns, stat.st_ctime_ns)


def read_entries(folders: Sequence[Path]) -> tuple[pa.Table, Unreadable]:
    """What the folders hold, from the cache where that is sure.

    Returns:
        The table of entries, in no particular order, and the reason by folder of those that could
        not be read.
    """
    tables, unreadable = [schema().empty_table()], Unreadable()
    by_root: dict[Path, list[Path]] = {}
    for folder in folders:
        by_root.setdefault(folder.parent.parent, []).append(folder)
    for root, members in by_root.items():
        table, failed = _read_root(root, members)
        tables.append(table)
        unreadable |= failed
    return pa.concat_tables(tables), unreadable


def _read_root(root: Path, folders: Sequence[Path]) -> tuple[pa.Table, Unreadable]:
    # Before anything is read: what changes from here on is noticed the next time.
    signatures = {str(folder): signature(folder) for folder in folders}
    index = root / INDEX_NAME
    cached = read_index(index) if len(folders) >= MIN_INDEXED else schema().empty_table()
    names, stamps = cached[FOLDER].to_pylist(), cached[SIGNATURE].to_pylist()
    current = [
        place
        for place, (name, stamp) in enumerate(zip(names, stamps, strict=True))
        if name in signatures and signatures[name][0] == stamp
    ]
    known = {names[place] for place in current}
    read_ns = time.time_ns()
    fresh, unreadable = _read_fresh({k: v[0] for k, v in signatures.items() if k not in known})
    kept = cached if len(current) == len(names) else cached.take(pa.array(current, pa.int64()))
    table = pa.concat_tables([kept, fresh])
    if len(folders) >= MIN_INDEXED and (fresh.num_rows or len(current) < len(names)):
        settled = {k for k, (_, ns) in signatures.items() if ns < read_ns - _SETTLED_NS}
        others = _not_asked(cached, names, signatures)
        lasting = [name in settled for name in table[FOLDER].to_pylist()]
        write_index(index, pa.concat_tables([others, table.filter(pa.array(lasting, pa.bool_()))]))
    return table, unreadable


def _not_asked(cached: pa.Table, names: Sequence[str], asked: Mapping[str, Any]) -> pa.Table:
    """Entries of folders that were not asked for this time and are still there."""
    kept = [n not in asked and os.path.isdir(n) for n in names]
    return cached.filter(pa.array(kept, pa.bool_()))


def _read_fresh(signatures: Mapping[str, str]) -> tuple[pa.Table, Unreadable]:
    columns = record_columns()
    values: list[list[Any]] = [[] for _ in schema()]
    unreadable = Unreadable()
    for name, stamp in signatures.items():
        try:
            record = as_dicts(read_record(Path(name)))
            free = [json.dumps(record[key]) for key in FREE_FORM]
            row = (name, stamp, *free, *(column.value_in(record) for column in columns))
        # Whatever a folder holds in place of a record, the others are still read, and this one is
        # reported with its reason.
        except Exception as error:
            unreadable[name] = reason_of(error)
            continue
        for column_values, value in zip(values, row, strict=True):
            column_values.append(value)
    arrays = [pa.array(v, field.type) for v, field in zip(values, schema(), strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema()), unreadable


def reason_of(error: Exception) -> str:
    """Why something could not be read, in one line."""
    text = printable(" ".join(str(error).split()))
    return text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}"


def read_index(path: Path) -> pa.Table:
    """The entries of a cache; none where it is not there, damaged, or of another form."""
    empty = schema().empty_table()
    try:
        table = pq.read_table(path, memory_map=False)
    except (OSError, pa.ArrowException):
        return empty
    found = (table.schema.metadata or {}).get(_KEY)
    expected = (schema().metadata or {})[_KEY]
    return table if found == expected and table.schema.equals(schema()) else empty


def write_index(path: Path, table: pa.Table) -> bool:
    """Replace a cache in one step.

    Returns:
        Whether that worked: a folder that cannot be written to only means that nothing is saved.
    """
    try:
        file, beside = tempfile.mkstemp(dir=path.parent, prefix=INDEX_NAME, suffix=".tmp")
        os.close(file)
        try:
            pq.write_table(table, beside, compression="zstd")
            os.chmod(beside, 0o644)
            os.replace(beside, path)
        except BaseException:
            os.unlink(beside)
            raise
    except OSError:
        return False
    return True
