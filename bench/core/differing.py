"""Which keys differ between configurations, and the values of each configuration in words.

All functions work on frames with a column per key, whose name begins with `config.`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from bench.core.identity import CHOICES, UNHASHED

if TYPE_CHECKING:  # the gate imports this module before it knows that it has work to do
    from pandas import DataFrame, Series

PREFIX = "config."
# Keys that name which part was chosen, the one that a user knows first: what follows from them is
# not repeated.
_NAMING = ("name", "method", "_target_")
# The option with which users give a class of their own.
_CUSTOM = "custom"
# What a run learns depends on its data first.
_DATA_KEY, _OF_TASK = "data", ("task", "target", "metrics")
# In the order that readers expect; other keys follow in the order of the configuration.
_FIRST = ("model", "data", "batch_size", "lr", "optimizer", "schedule", "precision", "target.value")


def texts_of(runs: DataFrame, keys: Sequence[str]) -> Series:
    """Join the values of the keys to one text per row, such as `model=cnn lr=0.1`.

    Args:
        runs: With a column per key.
        keys: Of differing_keys.
    """
    from pandas import Series

    parts: dict[str, Series] = {}
    for key in keys:
        known, values = key_of(key), _values(runs, key)
        # Two keys may name one part: `model._target_` and, for some models, `model.name`.
        parts.setdefault(known, (f"{known}=" + values).where(values.notna(), ""))
    rows = zip(*parts.values(), strict=True) if parts else [()] * len(runs)
    return Series([" ".join(filter(None, row)) for row in rows], index=runs.index, dtype=object)


def _values(runs: DataFrame, key: str) -> Series:
    group, _, leaf = key.removeprefix(PREFIX).rpartition(".")
    if group and leaf in _NAMING:
        return part_names(runs, group)
    return _texts(runs[key]).where(runs[key].notna(), None)


def part_names(runs: DataFrame, group: str) -> Series:
    """Name a part of each run's configuration as the user wrote it; None if it has no such part.

    The name is the part's `name` or `method`, else the option that was chosen for it (`cnn`), else
    its class. The class is used if it is the user's own (`custom`), if no record says which option
    was chosen, or if one option stands for two classes.

    Args:
        runs: With a column per key, and `config.choices.<group>` where records have it.
        group: Such as `model`.
    """
    from pandas import Series

    names = Series(None, index=runs.index, dtype=object)
    for leaf in _NAMING:
        column = f"{PREFIX}{group}.{leaf}"
        if column in runs:
            texts = _chosen(runs, group, column) if leaf == "_target_" else _texts(runs[column])
            names = names.where(names.notna(), texts.where(runs[column].notna(), None))
    return names


def _chosen(runs: DataFrame, group: str, column: str) -> Series:
    """The option that was chosen for each class; the class itself if that is ambiguous.

    Older records do not store options. They get the option that other runs have for the same class,
    because they are repeats of those.
    """
    from pandas import DataFrame

    texts, option = _texts(runs[column]), f"{PREFIX}{CHOICES}.{group}"
    if option not in runs:
        return texts
    pairs = DataFrame(
        {"target": runs[column].astype(object), "option": runs[option].astype(object)}
    )
    pairs = pairs.dropna().drop_duplicates()
    pairs = pairs[pairs["option"] != _CUSTOM]
    single = ~(pairs.duplicated("target", keep=False) | pairs.duplicated("option", keep=False))
    names = dict(zip(pairs["target"][single], pairs["option"][single], strict=True))
    named = runs[column].astype(object).map(names)
    return named.where(named.notna(), texts)


def differing_keys(runs: DataFrame, never: Sequence[str] = UNHASHED) -> list[str]:
    """Find the columns of the configuration that differ between runs, except seed and repeat.

    Four kinds are left out: keys that differ between runs of one config_hash, since they cannot
    change a result; copies of another key; keys that follow from a chosen part, such as the layers
    of a model that is named; and task and target where the data tell them apart.

    Args:
        runs: Of one command, with config_hash and `config.` columns.
        never: Keys and groups of keys to ignore.
    """
    candidates = [
        name
        for name in runs.columns
        if name.startswith(PREFIX) and runs[name].nunique(dropna=False) > 1
    ]
    ignored = [name for name in candidates if _is_within(name, never)]
    candidates = [name for name in candidates if name not in ignored]
    # Copies of a seed (`data.seed`) are dropped although the seed itself is ignored.
    sources = [name for name in ignored if not _is_within(name, (CHOICES,))]
    if candidates:
        within = runs.groupby("config_hash")[candidates].nunique(dropna=False).max()
        candidates = [name for name in candidates if within[name] == 1]
    kept = _without_copies(runs, sorted(candidates, key=_depth), sources)
    order = {name: place for place, name in enumerate(candidates)}
    kept = _without_task(runs, _without_consequences(runs, kept))
    return sorted(kept, key=lambda name: (_prominence(name), order[name]))


def _is_within(name: str, keys: Sequence[str]) -> bool:
    """Whether a column is that of one of the keys, or of a key in one of these groups."""
    return f"{name.removeprefix(PREFIX)}.".startswith(tuple(f"{key}." for key in keys))


def _depth(name: str) -> int:
    return name.count(".")


def _without_copies(runs: DataFrame, names: Sequence[str], sources: Sequence[str]) -> list[str]:
    """Drop keys with the name and the values of another key, or of one of the sources."""
    texts = {name: _texts(runs[name]) for name in (*sources, *names)}
    kept: list[str] = []
    for name in names:
        leaf = name.rpartition(".")[2]
        alike = [other for other in (*sources, *kept) if other.rpartition(".")[2] == leaf]
        if not any((texts[name] == texts[other]).all() for other in alike):
            kept.append(name)
    return kept


def _without_consequences(runs: DataFrame, names: Sequence[str]) -> list[str]:
    """Drop keys whose value is determined by the name of the part that they belong to."""

    def follows(name: str) -> bool:
        if name.endswith("._target_"):
            return False
        # A part may lie within another: backend.http.port follows from backend.name.
        groups = accumulate(name.split(".")[:-1], lambda above, part: f"{above}.{part}")
        chosen = [f"{group}.{n}" for group in groups for n in _NAMING if f"{group}.{n}" in names]
        return any(
            runs.groupby(key, dropna=False)[name].nunique(dropna=False).max() == 1
            for key in chosen
            if key != name
        )

    return [name for name in names if not follows(name)]


def _without_task(runs: DataFrame, names: Sequence[str]) -> list[str]:
    """Drop task, target and metrics if each data set among the runs has only one of them."""
    data = [name for name in names if key_of(name) == _DATA_KEY]
    about = [name for name in names if _is_within(name, _OF_TASK)]
    if not data or not about:
        return list(names)
    kinds = runs.groupby(data, dropna=False)[about].nunique(dropna=False)
    # All or none: the metric without its threshold would be half of a target.
    left_out = about if (kinds == 1).all(axis=None) else []
    return [name for name in names if name not in left_out]


def _prominence(name: str) -> int:
    key = key_of(name)
    return _FIRST.index(key) if key in _FIRST else len(_FIRST)


def key_of(name: str) -> str:
    """A key as people know it: without the prefix, and a part by its group's name alone."""
    key = name.removeprefix(PREFIX)
    head, _, leaf = key.rpartition(".")
    return head if leaf in _NAMING and head else key


def _texts(values: Series) -> Series:
    """Values as users write them: the last part of a dotted path, whole numbers without a point."""
    path = str(values.name).endswith("._target_")

    def text(value: object) -> str:
        if isinstance(value, float):
            return f"{value:g}"
        return str(value).rpartition(".")[2] if path else str(value)

    return values.astype(object).map(text)
