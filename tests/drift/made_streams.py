"""Streams and pools for tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.config.maintain import DriftConfig, StreamConfig
from bench.drift.samples import Index, Pool, Samples
from bench.drift.streams.build import DriftStream, make_stream


def source_of(num_samples: int = 20_000, **keys: Any) -> dict[str, Any]:
    """The source of a synthetic pool."""
    target = "bench.drift.streams.synthetic.synthetic"
    sizes = {"num_samples": num_samples, "num_features": 10, "num_classes": 3}
    return {"_target_": target, **sizes, "separation": 3.25, "seed": 0, **keys}


def stream_of(**keys: Any) -> StreamConfig:
    sizes = {"num_windows": 10, "window": 100, "initial_samples": 1000, "source": source_of()}
    return StreamConfig(**{**sizes, **keys})


def make(stream: dict[str, Any] | None = None, seed: int = 0, **drift: Any) -> DriftStream:
    """A synthetic stream with these keys of `stream` and of `drift`."""
    return make_stream(stream_of(**(stream or {})), DriftConfig(**drift), seed)


def made_source(labels: Index, **keys: Any) -> dict[str, Any]:
    """The source of a pool that is given as arrays."""
    return {"_target_": f"{__name__}.made_pool", "_convert_": "object", "arrays": [labels, keys]}


def made_pool(arrays: Any) -> Pool:
    labels, keys = arrays
    return _pool(labels, **keys)


def _pool(
    labels: Index,
    *,
    ids: Index | None = None,
    features: Any = None,
    known_after: Index | None = None,
    num_classes: int = 3,
    is_ordered: bool = False,
    feature_names: tuple[str, ...] = (),
) -> Pool:
    places = np.arange(len(labels))
    values = places if features is None else features
    samples = Samples(
        ids=places if ids is None else ids,
        features=values.astype(np.float32)[:, None],
        labels=labels,
        known_after=known_after,
    )
    return Pool(
        samples=samples,
        num_classes=num_classes,
        is_ordered=is_ordered,
        feature_names=feature_names,
    )
