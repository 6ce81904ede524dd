"""Identifies configurations by a hash: runs with the same hash are repeats of one another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from bench.core.checks import value_at

# In a stored configuration, this key holds the option that was chosen for each group, such as
# `model: cnn`. Users cannot set it.
CHOICES = "choices"
# Prices and the carbon intensity of the grid change money and carbon, but nothing that is measured.
CHARGES = ("price", "grid", "codecarbon.country_iso_code")
# Keys that may differ between two runs of one configuration: paths, seed and repeat, how the run
# was watched, what a sweeper looks at and where it stops a run, names of options, and charges.
# Hashing them would separate runs that are repeats.
UNHASHED = (
    CHOICES,
    "results",
    "resume",
    "shared",
    "progress",
    "objective",
    "cutoff",
    "logger",
    "seed",
    "repeat",
    "data.root",
    "data_root",
    "stream.source.root",
    "keep_model",
    "check_skew",
    "trust",
    *CHARGES,
)
# Keys that did not always exist, with the value that runs had before. With this value they are not
# hashed, so that earlier runs of the same configuration are still repeats.
ADDED_LATER = {
    "trainer.num_nodes": 1,
    "trainer.loop": "lightning",
    "trainer.gpu_power_limit_w": None,
    "trainer.gpu_clock_mhz": None,
    "trainer.compile_mode": "default",
    "trainer.float32_matmul_precision": "highest",
    "trainer.data_memory": "host",
    "skew": {},
    "beside": {},
    "label_smoothing": 0.0,
}
# The same for keys of one class: a class of the user may have a key of the same name.
_ADDED_TO_CLASS: dict[str, dict[str, Any]] = {
    "bench.tasks.models.Cnn": {
        "growth": 2,
        "patch_size": 0,
        "patch_stride": 1,
        "whitening": False,
        "early_pooling": False,
        "batch_norm_momentum": 0.1,
    },
    "bench.tasks.schedules.one_cycle": {"anneal_strategy": "cos"},
}
# Keys of a data set that change neither the samples in its splits nor their content.
SAME_SAMPLES = frozenset(
    (
        *("batch_size", "seed", "root", "download", "in_memory", "num_workers", "eval_batch_size"),
        "group",
    )
)


def charges_of(config: Mapping[str, Any]) -> str:
    """The prices and the grid of a run as one text; repeats may be charged differently."""
    return json.dumps([config.get("price"), config.get("grid")], sort_keys=True)


def part_name(config: Mapping[str, Any], group: str) -> str:
    """The name of the chosen data or model: its option, or the class of one of the user's own.

    Args:
        config: The configuration of a record, with the options that were chosen.
        group: `data` or `model`.
    """
    choice = config.get(CHOICES, {}).get(group)
    if choice in (None, "custom"):
        choice = config[group]["_target_"].rpartition(".")[2]
    return str(choice)


def without_key(config: dict[str, Any], dotted: str) -> dict[str, Any]:
    """Copy a nested dict without one key, such as `data.root`; the key may be absent."""
    head, _, rest = dotted.partition(".")
    if head not in config:
        return config
    copy = dict(config)
    if rest:
        copy[head] = without_key(copy[head], rest) if isinstance(copy[head], dict) else copy[head]
    else:
        del copy[head]
    return copy


def without_copies(config: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a nested dict without the seed and the repeat, of which groups may hold copies."""
    return {
        key: without_copies(value) if isinstance(value, dict) else value
        for key, value in config.items()
        if key not in ("seed", "repeat")
    }


def _with_earlier_value(config: Mapping[str, Any]) -> list[str]:
    """The keys that have the value that runs had before there was such a key."""
    added = dict(ADDED_LATER)
    for group, node in config.items():
        target = node.get("_target_") if isinstance(node, Mapping) else None
        for name, before in _ADDED_TO_CLASS.get(str(target), {}).items():
            added[f"{group}.{name}"] = before
    return [key for key, before in added.items() if value_at(config, key) == before]


def config_hash(config: dict[str, Any]) -> str:
    """Hash everything in a configuration that can change a result.

    Args:
        config: The resolved configuration. Groups may contain copies of seed and repeat through
            interpolation, so the caller sets both keys to the same values for every run.

    Returns:
        12 hex digits.
    """
    for key in (*UNHASHED, *_with_earlier_value(config)):
        config = without_key(config, key)
    # Sorted, because the order of overrides decides the order of keys.
    text = json.dumps(config, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
