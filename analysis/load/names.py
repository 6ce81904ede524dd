"""A short name for each configuration among the runs that are analysed together.

It consists of the keys that differ between them. Repeats have the same name, whatever their seeds;
different configurations have different names.
"""

from __future__ import annotations

from collections.abc import Iterator

from pandas import DataFrame, Series

from analysis.load.values import LONGEST_WHOLE, short_name
from bench.core.differing import differing_keys, part_names, texts_of
from bench.core.identity import UNHASHED

# A served training run is named by its own label, so the key `run` is not needed.
_NEVER = (*UNHASHED, "run")
_ENVIRONMENT = "host.environment."
_THREADS = ("num_threads", "num_interop_threads")


def configurations(runs: DataFrame) -> Series:
    """Label each run, in the order of the rows.

    Runs of one configuration get different labels if they ran with different numbers of threads, or
    with different environment variables that affect speed or results: they are not repeats.

    Args:
        runs: With command, config_hash, model.name, trained.run_id, trained.config_hash and every
            `config.` and `host.` column.
    """
    labels = Series("", index=runs.index, dtype=object, name="configuration")
    for _, group in runs.groupby("command", sort=True):
        labels[group.index] = _labels(group)
    served = runs["trained.config_hash"].notna()
    if served.any():
        labels[served] = _with_trained(runs[served], labels[served], _trained_labels(runs, labels))
    labels = _with_hashes(runs, labels)
    for suffix in (*_thread_words(runs), *_environment_words(runs)):
        labels = labels + suffix
    return labels.astype("str").map(lambda name: short_name(name, LONGEST_WHOLE))


def _labels(runs: DataFrame) -> Series:
    keys = differing_keys(runs, _NEVER)
    if keys:
        return texts_of(runs, keys)
    # The policy of a deployment says more than the model that it trains.
    names = part_names(runs, "policy").fillna(part_names(runs, "model"))
    names = names.fillna(runs["model.name"].astype(object))
    # A run that was killed early does not record its model, but its repeats do.
    names = names.groupby(runs["config_hash"]).transform("first")
    return names.fillna(runs["command"]).astype(object)


def _trained_labels(runs: DataFrame, labels: Series) -> dict[str, str]:
    """The label of each training by its configuration's hash."""
    is_training = runs["trained.config_hash"].isna()
    return dict(zip(runs["config_hash"][is_training], labels[is_training], strict=True))


def _with_trained(runs: DataFrame, labels: Series, known: dict[str, str]) -> Series:
    """Put the served model in front of how it was served, if several models were.

    Where nothing differs in how they were served, that is the name of the model once more.
    """
    hashes = runs["trained.config_hash"]
    if hashes.nunique() == 1:
        return labels
    names = runs["trained.model"].fillna("model")
    models = [known.get(h, f"{name} {h[:6]}") for h, name in zip(hashes, names, strict=True)]
    hows = labels.where(labels != names, "")
    full = [f"{model} | {how}" if how else model for model, how in zip(models, hows, strict=True)]
    return Series(full, index=labels.index, dtype=object)


def _with_hashes(runs: DataFrame, labels: Series) -> Series:
    """Add the start of the hash if two configurations would share a name."""
    places = list(zip(runs["command"], labels, strict=True))
    hashes: dict[tuple[str, str], set[str]] = {}
    for place, digits in zip(places, runs["config_hash"], strict=True):
        hashes.setdefault(place, set()).add(digits)
    several = [len(hashes[place]) > 1 for place in places]
    marked = labels + " #" + runs["config_hash"].str[:6]
    return labels.mask(Series(several, index=labels.index, dtype=bool), marked)


def _thread_words(runs: DataFrame) -> Iterator[Series]:
    """Yield ` num_threads=2` for runs of one configuration that differ in it."""
    for name in _THREADS:
        column = f"host.{name}"
        if column in runs:
            by = [runs["command"], runs["config_hash"]]
            several = runs[column].groupby(by).transform("nunique") > 1
            yield _suffix(name, runs[column].where(several))


def _environment_words(runs: DataFrame) -> Iterator[Series]:
    """Yield ` OMP_NUM_THREADS=1` for runs with the variable if runs of the command differ in it."""
    for column in [str(name) for name in runs if str(name).startswith(_ENVIRONMENT)]:
        values = runs[column].astype(object)
        kinds = values.fillna("").groupby(runs["command"]).transform("nunique")
        yield _suffix(column.removeprefix(_ENVIRONMENT), values.where(kinds > 1))


def _suffix(name: str, values: Series) -> Series:
    """` name=value`, or nothing if the value is missing."""
    texts = values.map(lambda value: f"{value:g}" if isinstance(value, float) else str(value))
    return (f" {name}=" + texts).where(values.notna(), "").astype(object)
