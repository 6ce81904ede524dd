"""Which runs may be compared with one another: they are peers.

Two trainings are peers if they share task, target (metric, threshold, direction, rule), data in the
same version, and kind of host. Two servings are peers if they served the same task and data in the
same scenario on the same kind of host. A group of peers is compared within itself and with nothing
else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pandas import DataFrame, Series

from analysis.load.values import rows_by_key, short_name
from analysis.stats.peer_keys import KEYS, NO_GPU, NOT_RECORDED, peer_keys

_HASH_DIGITS = 8  # of the data's version, in a title


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Group:
    """Runs that may be compared with one another.

    Attributes:
        title: What tells this group from the others, such as `accuracy ≥ 0.8, digits`; empty if
            there is only one group.
        runs: Rows of the runs, in their order.
    """

    title: str
    runs: DataFrame


def peer_groups(
    runs: DataFrame,
    *,
    only: Series | None = None,
    ignore: Sequence[str] = (),
    more: Mapping[str, Series] | None = None,
    keys: DataFrame | None = None,
) -> list[Group]:
    """Split the runs into groups of peers, the largest first.

    Args:
        runs: Of load_runs, trainings and servings alike: the data that a model was served on is
            known from its training.
        only: Which of the runs to group, as booleans aligned with them; all by default.
        ignore: Of KEYS, what may differ within a group, such as `scenario` in a figure that has a
            panel for each.
        more: Further texts that have to be equal, such as the basis of a price, aligned with the
            runs and shown in titles.
        keys: Of peer_keys, of these runs; computed here by default.
    """
    keys = peer_keys(runs) if keys is None else keys
    keys = keys.assign(**dict.fromkeys(ignore, ""), **(more or {}))
    chosen = np.arange(len(runs)) if only is None else np.flatnonzero(only)
    return [
        Group(title=title, runs=runs.iloc[chosen[rows]])
        for title, rows in titled_rows(keys.iloc[chosen])
    ]


def titled_rows(keys: DataFrame) -> list[tuple[str, list[int]]]:
    """Find the rows that are equal in all keys, and a title for each such set, the largest first.

    Args:
        keys: Of peer_keys, perhaps with further columns of texts.
    """
    sets = rows_by_key(keys)
    # Sets of equal size are in the order of their keys, so that a figure is the same each time.
    ordered = [sets[key] for key in sorted(sets, key=lambda key: (-len(sets[key]), key))]
    titles = _titles(keys.iloc[[rows[0] for rows in ordered]])
    return list(zip(titles, ordered, strict=True))


def target_words(keys: DataFrame) -> Series:
    """Describe the target of each run, such as `accuracy ≥ 0.9, rule first`; empty without one.

    Args:
        keys: Of peer_keys.
    """
    rows = keys.to_dict("records")
    words = [f"{_target_words(row)}, rule {row['rule']}" if row["metric"] else "" for row in rows]
    return Series(words, index=keys.index, dtype=object)


def host_words(keys: DataFrame) -> Series:
    """Describe the kind of host of each run, such as `Made CPU, 2 CPUs, 16 GiB, no GPU`.

    Args:
        keys: Of peer_keys.
    """
    texts = [
        ", ".join(filter(None, (words(row) for words in (_host_words, *_SIZES.values()))))
        for row in keys.to_dict("records")
    ]
    return Series(texts, index=keys.index, dtype=object)


def _titles(keys: DataFrame) -> list[str]:
    """Title each row with the words for what the rows do not have in common."""
    if len(keys) < 2:
        return [""] * len(keys)
    # Empty values do not count: beside servings, which have no target, trainings may share theirs.
    # A title names only what differs: nobody reads a title of twelve keys.
    varying = {str(name) for name in keys if keys[name].replace("", None).nunique() > 1}
    rows = keys.to_dict("records")
    parts: list[list[str]] = [[] for _ in rows]
    for names, words in _WORDS:
        if varying & set(names):
            _append(parts, [words(row) for row in rows])
    if "data_settings" in varying:
        _append(parts, _differing_settings(keys))
    if "data_hash" in varying:
        _append(parts, _versions(keys))
    # Sizes of the host and what the figure adds are named only if titles would be equal without.
    further = {name: [words(row) for row in rows] for name, words in _SIZES.items()}
    further |= {str(name): list(keys[name]) for name in keys if name not in KEYS}
    for name, texts in further.items():
        if name in varying and len(set(map(tuple, parts))) < len(parts):
            _append(parts, texts)
    # If only this differs, it is the title.
    kinds = ["trainings" if row["metric"] else "servings" for row in rows]
    return _distinct(
        [short_name(", ".join(words) or kind) for words, kind in zip(parts, kinds, strict=True)]
    )


def _append(parts: list[list[str]], texts: Sequence[str]) -> None:
    for words, text in zip(parts, texts, strict=True):
        if text:
            words.append(text)


def _differing_settings(keys: DataFrame) -> list[str]:
    """For each row, the settings that the other rows of the same data do not all have."""
    rows = [
        (name, set(text.split("\n")))
        for name, text in zip(keys["data"], keys["data_settings"], strict=True)
    ]
    shared: dict[str, set[str]] = {}
    for name, settings in rows:
        shared[name] = shared.get(name, settings) & settings
    return [" ".join(sorted(settings - shared[name])) for name, settings in rows]


def _versions(keys: DataFrame) -> list[str]:
    """For each row, the version of its data if other rows have another version of the same data."""
    several = keys.groupby("data")["data_hash"].transform("nunique") > 1
    return [
        f"data version {digits[:_HASH_DIGITS] or NOT_RECORDED}" if differs else ""
        for digits, differs in zip(keys["data_hash"], several, strict=True)
    ]


def _distinct(titles: list[str]) -> list[str]:
    """Number equal titles: the difference may have no words of its own."""
    num = Counter(titles)
    seen: Counter[str] = Counter()
    numbered = []
    for title in titles:
        seen[title] += 1
        numbered.append(f"{title} ({seen[title]})" if num[title] > 1 else title)
    return numbered


def _target_words(row: Mapping[Any, Any]) -> str:
    if not row["metric"]:
        return ""
    sign = {"max": "≥", "min": "≤"}.get(row["mode"], "at")
    return f"{row['metric'].replace('_', ' ')} {sign} {row['value']}"


def _task_words(row: Mapping[Any, Any]) -> str:
    task = str(row["task"]).replace("_", " ")
    if task == NOT_RECORDED:
        return f"task {NOT_RECORDED}"
    # What is in words elsewhere: a loop of the user's own, and the kinds of a classification.
    words = {"own": "own training", "classification": f"{row['kind']} {task}"}
    return words.get(task, task)


def _data_words(row: Mapping[Any, Any]) -> str:
    return f"data {NOT_RECORDED}" if row["data"] == NOT_RECORDED else str(row["data"])


def _host_words(row: Mapping[Any, Any]) -> str:
    return f"host {NOT_RECORDED}" if row["processor"] == NOT_RECORDED else str(row["processor"])


def _length_words(row: Mapping[Any, Any]) -> str:
    lengths = (row["prompt_tokens"], row["output_tokens"])
    return "prompts of {} tokens, answers of {}".format(*lengths) if all(lengths) else ""


def _size_words(row: Mapping[Any, Any], name: str, unit: str) -> str:
    return f"{row[name]} {unit}" if row[name] != NOT_RECORDED else ""


def _gpu_words(row: Mapping[Any, Any]) -> str:
    if row["gpus"] == NOT_RECORDED:
        return ""
    if row["gpus"] == NO_GPU:
        return "no GPU"
    # The record has one name per card.
    counts = Counter(row["gpus"].split(","))
    return " + ".join(name if num == 1 else f"{num} x {name}" for name, num in counts.items())


# Columns of the keys, and a function from a row to the words for them, in the order of a title.
_WORDS: tuple[tuple[tuple[str, ...], Callable[[Mapping[Any, Any]], str]], ...] = (
    (("task", "kind"), _task_words),
    (("metric", "mode", "value"), _target_words),
    (("rule",), lambda row: row["rule"] and f"rule {row['rule']}"),
    (("data",), _data_words),
    (("scenario",), lambda row: row["scenario"].replace("_", " ")),
    (("prompt_tokens", "output_tokens"), _length_words),
    (("processor",), _host_words),
)
_SIZES: Mapping[str, Callable[[Mapping[Any, Any]], str]] = {
    "num_cpus": lambda row: _size_words(row, "num_cpus", "CPUs"),
    "memory_gib": lambda row: _size_words(row, "memory_gib", "GiB"),
    "gpus": _gpu_words,
}
