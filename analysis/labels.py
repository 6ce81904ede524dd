"""A short name in words for each configuration among the runs that are looked at together.

It is made of the keys that differ between them. Repeats have the same name, whatever their seeds,
and different configurations have different names.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from pandas import DataFrame, Series

from bench.core.config import UNHASHED

_PREFIX = "config."
# A key that names which part was chosen: what follows from it is not told again.
_NAMING = ("_target_", "name", "method")
# In the order people expect; others follow in that of the configuration.
_FIRST = ("model", "data", "batch_size", "lr", "optimizer", "schedule", "precision", "target.value")
# Which training run was served is told by that run's own label.
_NEVER = (*UNHASHED, "run")


def configurations(runs: DataFrame) -> Series:
    """The label of each run, in the order of the rows.

    Args:
        runs: With command, config_hash, model.name, trained.run_id, trained.config_hash and every
            `config.` column.
    """
    labels = Series("", index=runs.index, dtype=object, name="configuration")
    for _, group in runs.groupby("command", sort=True):
        labels[group.index] = _labels(group)
    served = runs["trained.config_hash"].notna()
    if served.any():
        labels[served] = _with_trained(runs[served], labels[served], _of_trained(runs, labels))
    return _told_apart(runs, labels).astype("str")


def _labels(runs: DataFrame) -> Series:
    keys = differing_keys(runs)
    if not keys:
        return runs["model.name"].fillna(runs["command"]).astype(object)
    parts = [(f"{_short(key)}=" + _texts(runs[key])).where(runs[key].notna(), "") for key in keys]
    rows = zip(*parts, strict=True)
    return Series([" ".join(filter(None, row)) for row in rows], index=runs.index, dtype=object)


def differing_keys(runs: DataFrame) -> list[str]:
    """Columns of the configuration that tell these runs apart, the seed and repeat aside.

    Left out is what differs between runs of one config_hash (it cannot change a result), what is a
    copy of another key, and what follows from the part that was chosen (the layers of a model whose
    name is told).

    Args:
        runs: Of one command, with config_hash and `config.` columns.
    """
    candidates = [
        name
        for name in runs.columns
        if name.startswith(_PREFIX) and runs[name].nunique(dropna=False) > 1
    ]
    seeds = [name for name in candidates if _is_never(name)]
    candidates = [name for name in candidates if name not in seeds]
    if candidates:
        within = runs.groupby("config_hash")[candidates].nunique(dropna=False).max()
        candidates = [name for name in candidates if within[name] == 1]
    kept = _without_copies(runs, sorted(candidates, key=_depth), seeds)
    order = {name: place for place, name in enumerate(candidates)}
    kept = _without_consequences(runs, kept)
    return sorted(kept, key=lambda name: (_prominence(name), order[name]))


def _is_never(name: str) -> bool:
    key = name.removeprefix(_PREFIX)
    return any(key == never or key.startswith(f"{never}.") for never in _NEVER)


def _depth(name: str) -> int:
    return name.count(".")


def _without_copies(runs: DataFrame, names: Sequence[str], seeds: Sequence[str]) -> list[str]:
    codes = {name: _texts(runs[name]) for name in (*seeds, *names)}
    kept: list[str] = []
    for name in names:
        leaf = name.rpartition(".")[2]
        sources = [other for other in (*seeds, *kept) if other.rpartition(".")[2] == leaf]
        if not any((codes[name] == codes[other]).all() for other in sources):
            kept.append(name)
    return kept


def _without_consequences(runs: DataFrame, names: Sequence[str]) -> list[str]:
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


def _prominence(name: str) -> int:
    short = _short(name)
    return _FIRST.index(short) if short in _FIRST else len(_FIRST)


def _short(name: str) -> str:
    key = name.removeprefix(_PREFIX)
    head, _, leaf = key.rpartition(".")
    return head if leaf in _NAMING and head else key


def _texts(values: Series) -> Series:
    """As people write them: the last part of a dotted path, whole numbers without a point."""
    path = str(values.name).endswith("._target_")

    def text(value: object) -> str:
        if isinstance(value, float):
            return f"{value:g}"
        return str(value).rpartition(".")[2] if path else str(value)

    return values.astype(object).map(text)


def _of_trained(runs: DataFrame, labels: Series) -> dict[str, str]:
    training = runs["trained.config_hash"].isna()
    found = zip(runs["config_hash"][training], labels[training], strict=True)
    return dict(found)


def _with_trained(runs: DataFrame, labels: Series, known: dict[str, str]) -> Series:
    """What was served in front of how it was served, where several were."""
    hashes = runs["trained.config_hash"]
    if hashes.nunique() == 1:
        return labels
    names = runs["trained.model"].fillna("model")
    of = [known.get(h, f"{name} {h[:6]}") for h, name in zip(hashes, names, strict=True)]
    return Series(of, index=labels.index, dtype=object) + " | " + labels


def _told_apart(runs: DataFrame, labels: Series) -> Series:
    """Adds the beginning of the hash where two configurations would have one name."""
    keys = DataFrame({"label": labels, "command": runs["command"], "hash": runs["config_hash"]})
    several = keys.groupby(["command", "label"])["hash"].transform("nunique") > 1
    return labels.where(~several, labels + " #" + runs["config_hash"].str[:6])
