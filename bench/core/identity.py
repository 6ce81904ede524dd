"""What makes runs repeats of one another: the hash of a configuration, and what it leaves out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

# The key under which a stored configuration tells which option of each group was chosen, as the
# user wrote it: `model: cnn`. It is no key of the command line.
CHOICES = "choices"
# What time and joules are charged with. It changes money and carbon, and nothing that is measured.
CHARGES = ("price", "grid", "codecarbon.country_iso_code")
# What may differ between two runs of the same configuration: where things lie, which repeat it is,
# how the run was watched, what its parts are called, and what its time and joules are charged with.
# Dotted names reach into groups.
UNHASHED = (
    CHOICES,
    "results",
    "resume",
    "shared",
    "progress",
    "logger",
    "seed",
    "repeat",
    "data.root",
    "data_root",
    "keep_model",
    "trust",
    *CHARGES,
)
# Keys of a data set that change neither which samples are in its splits nor what they look like.
SAME_SAMPLES = frozenset(
    ("batch_size", "seed", "root", "download", "in_memory", "num_workers", "eval_batch_size")
)


def charges_of(config: Mapping[str, Any]) -> str:
    """What a run is charged with, as one text: of two repeats it may differ."""
    return json.dumps([config.get("price"), config.get("grid")], sort_keys=True)


def without(config: dict[str, Any], dotted: str) -> dict[str, Any]:
    """A copy of a nested dict without one key, named like `data.root`; absent keys are fine."""
    head, _, rest = dotted.partition(".")
    if head not in config:
        return config
    copy = dict(config)
    if rest:
        copy[head] = without(copy[head], rest) if isinstance(copy[head], dict) else copy[head]
    else:
        del copy[head]
    return copy


def config_hash(config: dict[str, Any]) -> str:
    """Identity of a configuration: 12 hex digits over all that can change a result.

    Args:
        config: The resolved configuration, with seed and repeat set to the same values in every
            run to be compared (groups may hold copies of them through interpolation).
    """
    for key in UNHASHED:
        config = without(config, key)
    text = json.dumps(config, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
