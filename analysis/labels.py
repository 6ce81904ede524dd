"""A short name in words for each configuration among the runs that are looked at together.

It is made of the keys that differ between them. Repeats have the same name, whatever their seeds,
and different configurations have different names.
"""

from __future__ import annotations

from pandas import DataFrame, Series

from bench.core.config import UNHASHED
from bench.core.differing import differing_keys, texts_of

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
    keys = differing_keys(runs, _NEVER)
    if not keys:
        return runs["model.name"].fillna(runs["command"]).astype(object)
    return texts_of(runs, keys)


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
