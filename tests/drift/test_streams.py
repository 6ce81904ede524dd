"""Streams: what windows consist of, and which streams are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bench.drift.streams.build import DriftStream
from tests.drift.made_streams import make

DRIFTS: dict[str, dict[str, Any]] = {
    "none": {},
    "covariate": {"strength": 0.5},
    "label": {"strength": 0.5},
    "concept": {"strength": 0.5},
}


def all_ids(stream: DriftStream) -> np.ndarray[Any, Any]:
    windows = [stream.samples(window).ids for window in range(stream.num_windows)]
    return np.concatenate([stream.initial.ids, *windows])


@given(
    num_windows=st.integers(2, 8),
    window=st.integers(10, 60),
    initial_samples=st.integers(50, 300),
    kind=st.sampled_from(sorted(DRIFTS)),
    schedule=st.sampled_from(["sudden", "gradual", "incremental", "seasonal", "burst"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_sample_is_used_twice(
    num_windows: int, window: int, initial_samples: int, kind: str, schedule: str, seed: int
) -> None:
    sizes = {"num_windows": num_windows, "window": window, "initial_samples": initial_samples}
    drift = {} if kind == "none" else {"schedule": schedule, **DRIFTS[kind]}
    stream = make(sizes, kind=kind, **drift, seed=seed)
    ids = all_ids(stream)
    assert len(ids) == initial_samples + num_windows * window
    assert len(np.unique(ids)) == len(ids)
