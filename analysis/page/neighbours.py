"""The configurations most like a run's own: which keys differ, and their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pandas import DataFrame, Series, to_numeric

from analysis.load.values import column
from analysis.stats.repeats import KEYS, counted_with_keys
from bench.core.arrays import Floats, Ints
from bench.core.differing import differing_keys, key_of, texts_of
from bench.core.identity import UNHASHED

_NEAREST = 4
_MOST_KEYS = 8  # of one neighbour
# The key of the run that is served. Where several are, the name of each begins with it, up to this.
_SERVED, _BESIDE_MODEL = "run", " | "
_PEERS = ["command", "host", "peer_group"]
Neighbour = dict[str, Any]


def neighbours(runs: DataFrame) -> dict[str, list[Neighbour]]:
    """Find the nearest configurations that a run may be compared with.

    The nearest ones differ in the fewest keys. Of those, the first are the ones whose values lie
    beside the run's own among all values of these keys, such as the next batch size.

    Args:
        runs: As loaded.

    Returns:
        For each run that counts, by its ID: at most four neighbours, each with the `name` of the
        configuration, `run_id` (of one of its runs), `keys` (triples of key, own value and the
        neighbour's; None where a configuration lacks the key) and `more`, how many other keys
        differ.
    """
    found: dict[str, list[Neighbour]] = {}
    counted = counted_with_keys(runs)
    for _, group in counted.groupby(_PEERS, sort=False):
        first = group.drop_duplicates(list(KEYS))
        if len(first) < 2:
            continue
        near = _of_group(group, first)
        for run_id, name in zip(group["run_id"], group["configuration"], strict=True):
            found[str(run_id)] = near[name]
    return found


def _of_group(group: DataFrame, first: DataFrame) -> Mapping[str, list[Neighbour]]:
    """The neighbours of each configuration of a group.

    Args:
        group: Runs that may be compared.
        first: One run of each configuration.
    """
    keys = differing_keys(group, (*UNHASHED, _SERVED))
    texts = {key_of(key): _values(first, key) for key in keys}
    models = first["configuration"].str.partition(_BESIDE_MODEL)
    if column(first, "trained.config_hash").nunique() > 1:
        texts = {"trained": models[0], **texts}
    values = DataFrame(texts, index=first.index)
    codes = np.array([_codes(values[key]) for key in values]).reshape(-1, len(first))
    ranks = np.array([_ranks(values[key]) for key in values]).reshape(-1, len(first))
    names, run_ids = first["configuration"].tolist(), first["run_id"].tolist()
    near = {}
    for own in range(len(first)):
        differs = codes != codes[:, [own]]
        steps = np.abs(ranks - ranks[:, [own]]).sum(axis=0)
        order = [each for each in np.lexsort((steps, differs.sum(axis=0))) if each != own]
        near[names[own]] = [
            _neighbour(names[each], run_ids[each], values, own, each, differs[:, each])
            for each in order[:_NEAREST]
        ]
    return near


def _neighbour(
    name: str, run_id: str, values: DataFrame, own: int, other: int, differs: Sequence[bool]
) -> Neighbour:
    keys = [key for key, is_other in zip(values, differs, strict=True) if is_other]
    triples = [[key, values[key].iloc[own], values[key].iloc[other]] for key in keys[:_MOST_KEYS]]
    return {"name": name, "run_id": run_id, "keys": triples, "more": max(0, len(keys) - _MOST_KEYS)}


def _values(runs: DataFrame, key: str) -> Series:
    """The values of a key as users write them; None if a configuration lacks it."""
    known = key_of(key)
    texts = texts_of(runs, [key]).str.removeprefix(f"{known}=")
    return texts.where(texts != "", None)


def _codes(values: Series) -> Ints:
    codes: Ints = np.asarray(values.astype(object).factorize()[0], dtype=np.int64)
    return codes


def _ranks(values: Series) -> Floats:
    """The place of each value among the values of its key; equal for names, which have no order."""
    numbers = to_numeric(values, errors="coerce")
    return np.asarray(numbers.rank(method="dense").fillna(0.0), dtype=np.float64)
