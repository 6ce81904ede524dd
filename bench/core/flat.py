"""Nested dicts as one row, and fields of a record by dotted name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.core.records.model import RESERVED, Quality

Row = dict[str, Any]


def value_of(record: object, name: str) -> Any:
    """Get a field such as `target.time_to_target_s`; None if the record has no such part.

    The keys of a mapping, such as `host`, are not fixed, so one that is not there is None, too.
    """
    first, _, rest = name.partition(".")
    value: Any = record.get(first) if isinstance(record, Mapping) else getattr(record, first)
    if isinstance(value, Quality) and rest not in RESERVED:
        return value.values.get(rest)  # the name of a user's metric may have dots in it
    return value_of(value, rest) if rest and value is not None else value


def flat(tree: Mapping[str, Any], prefix: str) -> Row:
    """Flatten nested dicts to one row by dotted names.

    Args:
        tree: Of types that JSON has, such as a resolved configuration.
        prefix: Beginning of all names, including its dot.

    Returns:
        Numbers, texts, booleans and None unchanged; a list as one text, joined with commas; a list
        of dicts (`gpus`) as such a text for each of their leaves (`gpus.name`); nothing for an
        empty dict.
    """
    row: Row = {}
    for key, value in tree.items():
        # type() is faster than isinstance in this innermost loop, and JSON has no subclasses.
        if type(value) is dict:
            row.update(flat(value, f"{prefix}{key}."))
        elif type(value) is list:
            row.update(_flat_list(value, prefix + key))
        else:
            row[prefix + key] = value
    return row


def _flat_list(values: list[Any], name: str) -> Row:
    if not values or not all(type(value) is dict for value in values):
        return {name: ",".join(map(str, values))}
    rows = [flat(value, "") for value in values]
    leaves = dict.fromkeys(leaf for row in rows for leaf in row)
    return {f"{name}.{leaf}": ",".join(str(row.get(leaf, "")) for row in rows) for leaf in leaves}
