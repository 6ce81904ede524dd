"""Refuses streams and drifts that are impossible, or that would ignore a key."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from bench.config.maintain import DriftConfig, StreamConfig
from bench.core.checks import keys_of
from bench.drift.samples import UNKNOWN, Index, Pool

_USED_BY = {
    "feature": ("covariate", "concept"),
    "target_class": ("label", "concept"),
    "region": ("concept",),
}
_ANY_DRIFT = ("schedule", "at", "width", "period", "strength")


def refuse_ignored(drift: DriftConfig) -> None:
    """Refuse keys that this kind of drift ignores, and strengths without a meaning.

    Raises:
        ValueError: A key is superfluous or out of range.
    """
    defaults = DriftConfig()
    for key in keys_of(DriftConfig):
        kinds = _USED_BY.get(key, ("covariate", "label", "concept"))
        value = getattr(drift, key)
        if key != "kind" and drift.kind not in kinds and value != getattr(defaults, key):
            raise ValueError(
                f"drift.{key}={value}: drift={drift.kind} ignores it; leave it out, or choose "
                f"drift={' or '.join(kinds)}; if an experiment sets it, undo that with "
                f"drift.{key}={_written(getattr(defaults, key))}"
            )
    if drift.kind != "none" and not drift.strength > 0:
        raise ValueError("drift.strength=0: would change nothing; raise it, or choose drift=none")
    if drift.kind in ("label", "concept") and drift.strength > 1:
        raise ValueError(
            f"drift.strength={drift.strength:g}: is a share for drift={drift.kind}; at most 1"
        )
    if len(drift.region) != 2 or not drift.region[0] < drift.region[1]:
        raise ValueError(
            f"drift.region={drift.region}: must be two quantiles, the lower one first, such as "
            "[0.5,1]"
        )


def _written(default: object) -> object:
    """A default as it is written on a command line."""
    return "null" if default is None else default


def refuse_impossible(drift: DriftConfig, pool: Pool) -> None:
    """Refuse a drift that a pool cannot have.

    Raises:
        ValueError: The pool is ordered in time, or has no such class.
    """
    if pool.is_ordered and drift.kind in ("covariate", "label"):
        raise ValueError(
            f"drift={drift.kind}: would reorder a stream whose order is that of time; choose "
            "drift=none, drift=concept or a fault"
        )
    if drift.target_class >= pool.num_classes:
        raise ValueError(
            f"drift.target_class={drift.target_class}: the stream has classes 0 to "
            f"{pool.num_classes - 1}"
        )


def require_length(stream: StreamConfig, pool: Pool) -> None:
    """Refuse a stream that is longer than its pool.

    Raises:
        ValueError: It is; the message says how many windows there can be.
    """
    num = len(pool.samples)
    needed = stream.initial_samples + stream.num_predictions
    if needed > num:
        possible = (num - stream.initial_samples) // stream.window
        remedy = f"at most {possible}" if possible >= 2 else "fewer, or lower stream.window"
        raise ValueError(
            f"stream.num_windows={stream.num_windows}: {stream.initial_samples} initial samples "
            f"and {stream.num_windows} windows of {stream.window} need {needed} samples, and the "
            f"source has {num}; choose {remedy}"
        )


def require_classes(stream: StreamConfig, pool: Pool, labels: Index) -> None:
    """Refuse initial samples that lack a class.

    Args:
        stream: The configuration.
        pool: Where the samples come from.
        labels: Of the initial samples, (n,).

    Raises:
        ValueError: A class is missing; the message names it.
    """
    missing = np.setdiff1d(np.arange(pool.num_classes), labels)
    if len(missing):
        raise ValueError(
            f"stream.initial_samples={stream.initial_samples}: have no sample of class "
            f"{missing[0]}, so the first model could not learn it; take more"
        )


def require_pool(owner: str, pool: Any) -> None:
    """Refuse what a source returned if it is no pool that a stream can be made of.

    Args:
        owner: The key of the source with its value.
        pool: What it returned.

    Raises:
        ValueError: It is no such pool; the message names the attribute.
    """
    if not isinstance(pool, Pool):
        raise ValueError(f"{owner}: must return a bench.drift.samples.Pool, not {type(pool)}")
    samples, num = pool.samples, len(pool.samples)
    for field in fields(samples):
        array = getattr(samples, field.name)
        kind = np.float32 if field.name == "features" else np.int64
        if array is None:
            continue
        if not isinstance(array, np.ndarray) or array.dtype != kind or len(array) != num:
            raise ValueError(
                f"{owner}: samples.{field.name} must be an array of {kind.__name__} with one row "
                f"for each of the {num} ids"
            )
    if np.isinf(samples.features).any():
        raise ValueError(f"{owner}: samples.features has infinite values; use NaN for missing ones")
    if pool.feature_names and len(pool.feature_names) != samples.features[0].size:
        raise ValueError(
            f"{owner}: feature_names has {len(pool.feature_names)} names for "
            f"{samples.features[0].size} columns"
        )
    if (np.diff(np.sort(samples.ids, axis=None)) == 0).any():
        raise ValueError(f"{owner}: samples.ids has an id twice; each sample needs its own")
    if num and not (samples.labels.min() >= UNKNOWN and samples.labels.max() < pool.num_classes):
        raise ValueError(
            f"{owner}: samples.labels must be classes below num_classes={pool.num_classes}, or "
            f"{UNKNOWN} for an unknown one"
        )
    if samples.known_after is not None and num and samples.known_after.min() < 0:
        raise ValueError(f"{owner}: samples.known_after must not be negative")
