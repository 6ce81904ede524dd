"""Which runs may be compared with one another.

Two trainings may be if they had the same task, target (metric, threshold, direction, rule), data
and kind of host; two servings if they served the same data in the same scenario on the same kind of
host. What only one group of runs shares is compared within that group and with nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame, Series

from analysis.load.values import numbers, short_name, with_only
from bench.core.identity import SAME_SAMPLES

# The key columns of `comparable_keys`. Runs that are equal in all of them may be compared.
KEYS = (
    "task",
    "metric",
    "mode",
    "value",
    "rule",
    "data",
    "data_settings",
    "processor",
    "num_cpus",
    "memory_gib",
    "gpus",
    "scenario",
)
NOT_RECORDED = "not recorded"
_NONE = "none"
_GIB = 2**30
_DATA, _TRAINED_ID = "config.data.", "trained.run_id"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Group:
    """Runs that may be compared with one another.

    Attributes:
        title: What tells this group from the others, such as `accuracy ≥ 0.8, digits`; empty where
            there is only one.
        runs: Rows of the runs, in their order.
    """

    title: str
    runs: DataFrame


def groups(
    runs: DataFrame,
    *,
    only: Series | None = None,
    ignore: Sequence[str] = (),
    more: Mapping[str, Series] | None = None,
) -> list[Group]:
    """The runs in groups that may be compared, the largest first.

    Args:
        runs: Of load_runs, trainings and servings alike: what data a model was served on is known
            from its training.
        only: Which of the runs to group, as booleans aligned with them; all by default.
        ignore: Of KEYS, what may differ within a group: `scenario` in a figure that has a panel for
            each.
        more: Further texts that have to be equal, aligned with the runs and shown in titles: the
            basis of a price, say.
    """
    keys = comparable_keys(runs).assign(**dict.fromkeys(ignore, ""), **(more or {}))
    if only is not None:
        runs, keys = runs[only], keys[only]
    if keys.empty:
        return []
    found = keys.groupby(list(keys.columns), sort=True, dropna=False).indices
    places = sorted(found.values(), key=lambda rows: -len(rows))  # stable: equal sizes by their key
    titles = _titles(keys.iloc[[rows[0] for rows in places]])
    return [
        Group(title=title, runs=runs.iloc[np.sort(rows)])
        for title, rows in zip(titles, places, strict=True)
    ]


def comparable_keys(runs: DataFrame) -> DataFrame:
    """What has to be equal for runs to be compared, as texts.

    What a run does not record (one that was killed before its record knows no host) is that of the
    only kind of run that its configuration has, else NOT_RECORDED: a kind of its own.

    Args:
        runs: Of load_runs. A column that no run has counts as not recorded by all of them.

    Returns:
        KEYS, a row per run under the runs' index; empty where a key does not apply: a serving has
        no target.
    """
    data, settings = _data(runs)
    keys = {
        "task": _filled(runs, _text(runs, "config.task")).replace(NOT_RECORDED, ""),
        **{name: _text(runs, f"target.{name}").fillna("") for name in ("metric", "mode", "value")},
        "rule": _rules(runs),
        "data": data,
        "data_settings": settings,
        **{name: _filled(runs, values) for name, values in _host(runs).items()},
        "scenario": _text(runs, "serving.scenario").fillna(""),
    }
    return DataFrame(keys, index=runs.index, columns=list(KEYS))


def target_words(runs: DataFrame) -> Series:
    """The target of each run, such as `accuracy ≥ 0.9, rule first`; empty where it had none."""
    rows = comparable_keys(runs).to_dict("records")
    words = [f"{_target_words(row)}, rule {row['rule']}" if row["metric"] else "" for row in rows]
    return Series(words, index=runs.index, dtype=object)


def host_words(runs: DataFrame) -> Series:
    """The kind of host of each run, such as `Made CPU, 2 CPUs, 16 GiB, no GPU`."""
    rows = comparable_keys(runs).to_dict("records")
    parts = ([_host_words(row), *(words(row) for words in _SIZES.values())] for row in rows)
    return Series([", ".join(filter(None, own)) for own in parts], index=runs.index, dtype=object)


def _column(runs: DataFrame, name: str) -> Series:
    return runs[name] if name in runs else Series(None, index=runs.index, dtype=object)


def _text(runs: DataFrame, name: str) -> Series:
    return _texts(_column(runs, name))


def _texts(values: Series) -> Series:
    """Values as texts, None where they are missing; numbers without a needless point."""
    codes, kinds = pd.factorize(values.astype(object))  # few kinds among many runs
    texts = np.array([*map(_as_text, kinds), None], dtype=object)
    return Series(texts[codes], index=values.index, dtype=object)  # -1, missing, is the last


def _as_text(value: Any) -> str:
    return f"{value:.12g}" if isinstance(value, (int, float)) else str(value)


def _filled(runs: DataFrame, values: Series) -> Series:
    """The values, missing ones from the only value that runs of the same configuration have."""
    if values.notna().all():
        return values
    return with_only(values, _column(runs, "config_hash").astype(object)).fillna(NOT_RECORDED)


def _rules(runs: DataFrame) -> Series:
    rule, num = _text(runs, "target.rule"), _text(runs, "target.consecutive").fillna("?")
    return rule.where(rule != "consecutive", num + " in a row").fillna("")


def _host(runs: DataFrame) -> dict[str, Series]:
    """The kind of host: machines of one kind can stand for one another."""
    allowed, there = _text(runs, "host.num_cpus_allowed"), _text(runs, "host.num_cpus")
    memory_gib = numbers(runs, "host.memory_bytes") / _GIB
    return {
        "processor": _text(runs, "host.cpu_name"),
        "num_cpus": allowed.fillna(there),
        # Rounded: virtual machines of one kind differ by some kilobytes.
        "memory_gib": _texts(memory_gib.round()),
        "gpus": _text(runs, "host.gpus.name").fillna(_text(runs, "host.gpus").replace("", _NONE)),
    }


def _data(runs: DataFrame) -> tuple[Series, Series]:
    """Name of the data, and the settings that decide which samples are in its splits.

    A served model was trained on the data that it is asked about: those of its training, where that
    is among the runs.
    """
    own_name, own = _configured_data(runs)
    run_id, trained_id = (_column(runs, name).astype(object) for name in ("run_id", _TRAINED_ID))
    name = own_name.fillna(trained_id.map(dict(zip(run_id, own_name, strict=True))))
    name = name.fillna(_text(runs, "trained.data"))
    settings = own.fillna(trained_id.map(dict(zip(run_id, own, strict=True))))
    # Servings of one training's configuration served the same data.
    same = _column(runs, "trained.config_hash").astype(object)
    alike = runs.assign(config_hash=same.fillna(_column(runs, "config_hash").astype(object)))
    return _filled(alike, name), _filled(alike, settings)


def _configured_data(runs: DataFrame) -> tuple[Series, Series]:
    """As the runs' own configurations have it; None where they have none."""
    target = _text(runs, f"{_DATA}_target_").fillna(_text(runs, "config.data"))
    settings = target.fillna("")
    for column in sorted(str(name) for name in runs if str(name).startswith(_DATA)):
        key = column.removeprefix(_DATA)
        if key not in SAME_SAMPLES and key != "_target_":
            setting = f"\n{key}=" + _text(runs, column)
            settings = settings.where(setting.isna(), settings + setting)
    settings = settings.where(settings != "", None)
    return target.map(lambda path: str(path).rpartition(".")[2], "ignore"), settings


def _titles(keys: DataFrame) -> list[str]:
    """A title for each row: the words of what not all of them have in common."""
    # Among those that have it: next to servings, which have no target, trainings may share theirs.
    varies = {str(name) for name in keys if keys[name].replace("", None).nunique() > 1}
    rows = keys.to_dict("records")
    parts: list[list[str]] = [[] for _ in rows]
    for names, words in _WORDS:
        if varies & set(names):
            _append(parts, [words(row) for row in rows])
    if "data_settings" in varies:
        _append(parts, _differing_settings(keys))
    # The rest only where that is not enough.
    further = {name: [words(row) for row in rows] for name, words in _SIZES.items()}
    further |= {str(name): list(keys[name]) for name in keys if name not in KEYS}
    for name, texts in further.items():
        if name in varies and len({", ".join(own) for own in parts}) < len(parts):
            _append(parts, texts)
    kinds = ["trainings" if row.get("metric") else "servings" for row in rows]
    found = [", ".join(own) or kind for own, kind in zip(parts, kinds, strict=True)]
    return _distinct([short_name(name) for name in found])


def _append(parts: list[list[str]], words: Sequence[str]) -> None:
    for own, word in zip(parts, words, strict=True):
        if word:
            own.append(word)


def _differing_settings(keys: DataFrame) -> list[str]:
    """Of each row the settings, or the package, that others of the same name do not have."""
    settings = [set(text.split("\n")) for text in keys["data_settings"]]
    found = []
    for name, own in zip(keys["data"], settings, strict=True):
        alike = [each for data, each in zip(keys["data"], settings, strict=True) if data == name]
        found.append(" ".join(sorted(own - set.intersection(*alike))))
    return found


def _distinct(titles: list[str]) -> list[str]:
    """The titles, numbered where two are equal: the difference may have no words of its own."""
    if len(titles) < 2:
        return [""] * len(titles)
    again = {title for title in titles if titles.count(title) > 1}
    seen: dict[str, int] = {}
    found = []
    for title in titles:
        seen[title] = seen.get(title, 0) + 1
        found.append(f"{title} ({seen[title]})" if title in again else title)
    return found


def _target_words(row: Mapping[Any, Any]) -> str:
    if not row["metric"]:
        return ""
    sign = {"max": "≥", "min": "≤"}.get(row["mode"], "at")
    return f"{row['metric'].replace('_', ' ')} {sign} {row['value']}"


def _data_words(row: Mapping[Any, Any]) -> str:
    return f"data {NOT_RECORDED}" if row["data"] == NOT_RECORDED else str(row["data"])


def _host_words(row: Mapping[Any, Any]) -> str:
    unknown = row["processor"] == NOT_RECORDED
    return f"host {NOT_RECORDED}" if unknown else str(row["processor"])


def _cpu_words(row: Mapping[Any, Any]) -> str:
    return f"{row['num_cpus']} CPUs" if row["num_cpus"] != NOT_RECORDED else ""


def _memory_words(row: Mapping[Any, Any]) -> str:
    return f"{row['memory_gib']} GiB" if row["memory_gib"] != NOT_RECORDED else ""


def _gpu_words(row: Mapping[Any, Any]) -> str:
    if row["gpus"] == NOT_RECORDED:
        return ""
    if row["gpus"] == _NONE:
        return "no GPU"
    counts = Counter(row["gpus"].split(","))
    return " + ".join(name if num == 1 else f"{num} x {name}" for name, num in counts.items())


# Key columns, and the words of a row for them, in the order of a title.
_WORDS: tuple[tuple[tuple[str, ...], Callable[[Mapping[Any, Any]], str]], ...] = (
    (("task",), lambda row: row["task"]),
    (("metric", "mode", "value"), _target_words),
    (("rule",), lambda row: row["rule"] and f"rule {row['rule']}"),
    (("data",), _data_words),
    (("scenario",), lambda row: row["scenario"].replace("_", " ")),
    (("processor",), _host_words),
)
_SIZES = {"num_cpus": _cpu_words, "memory_gib": _memory_words, "gpus": _gpu_words}
