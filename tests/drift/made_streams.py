"""Streams and pools for tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.config.maintain import DriftConfig, StreamConfig
from bench.drift.samples import Index, Pool, Samples
from bench.drift.streams.build import DriftStream, make_stream

SYNTHETIC = {"num_features": 10, "num_classes": 3, "separation": 3.25}


def source_of(num_samples: int = 20_000, **keys: Any) -> dict[str, Any]:
    target = "bench.drift.streams.synthetic.synthetic"
    return {"_target_": target, "num_samples": num_samples, "seed": 0, **SYNTHETIC, **keys}


def stream_of(**keys: Any) -> StreamConfig:
    sizes = {"num_windows": 10, "window": 100, "initial_samples": 1000, "source": source_of()}
    return StreamConfig(**{**sizes, **keys})


def make(stream: dict[str, Any] | None = None, seed: int = 0, **drift: Any) -> DriftStream:
    """A synthetic stream with these keys of `stream` and of `drift`."""
    return make_stream(stream_of(**(stream or {})), DriftConfig(**drift), seed)


def made_pool(labels: Index, **keys: Any) -> Pool:
    """A pool of one feature, the place of each sample, with these labels."""
    ids = np.arange(len(labels))
    features = ids.astype(np.float32)[:, None]
    known_after = keys.pop("known_after", None)
    samples = Samples(ids=ids, features=features, labels=labels, known_after=known_after)
    return Pool(samples=samples, **{"num_classes": int(labels.max()) + 1, **keys})
