"""Nested dicts as one row, and the fields of a record by their dotted names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = dict[str, Any]


def value_of(record: object, name: str) -> Any:
    """A field such as `target.time_to_target_s`; None where the record has no such part."""
    found: Any = record
    for part in name.split("."):
        if found is None:
            return None
        found = getattr(found, part)
    return found


def flat(tree: Mapping[str, Any], prefix: str) -> Row:
    """Every leaf of nested dicts by its dotted name.

    Args:
        tree: Such as a resolved configuration, as JSON has it.
        prefix: What names begin with, its dot included.

    Returns:
        Numbers, texts, booleans and None as they are; a list as one text, joined with commas; a
        list of dicts (`gpus`) as such a text for each of their leaves (`gpus.name`); nothing for
        an empty dict.
    """
    row: Row = {}
    for key, value in tree.items():
        # Not isinstance: this is the innermost loop of loading, and JSON has no subclasses.
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
