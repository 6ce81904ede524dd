"""Streams: what windows consist of, and which streams are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.config.maintain import DriftConfig
from bench.drift.samples import UNKNOWN, Index, Samples
from bench.drift.streams.build import DriftStream, make_stream
from tests.drift.made_streams import made_source, make, source_of, stream_of

DRIFTS: dict[str, dict[str, Any]] = {
    "none": {},
    "covariate": {"strength": 0.5},
    "label": {"strength": 0.5},
    "concept": {"strength": 0.5},
}
# A chunk of 8 windows of 60 has 587 samples, so a window has 3 times as many effective ones.
POOL = source_of(5000)
SCHEDULES = ["sudden", "gradual", "incremental", "seasonal", "burst"]


def windows_of(stream: DriftStream) -> list[Samples]:
    return [stream.samples(window) for window in range(stream.num_windows)]


@settings(max_examples=40)
@given(
    num_windows=st.integers(2, 8),
    window=st.integers(10, 60),
    initial_samples=st.integers(50, 300),
    kind=st.sampled_from(sorted(DRIFTS)),
    schedule=st.sampled_from(SCHEDULES),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_sample_is_used_twice(
    num_windows: int, window: int, initial_samples: int, kind: str, schedule: str, seed: int
) -> None:
    sizes: dict[str, Any] = {
        "num_windows": num_windows,
        "window": window,
        "initial_samples": initial_samples,
    }
    sizes["source"] = POOL
    drift = {} if kind == "none" else {"schedule": schedule, **DRIFTS[kind]}
    stream = make(sizes, kind=kind, **drift, seed=seed)
    parts = [stream.initial, *windows_of(stream)]
    assert [len(part) for part in parts] == [initial_samples, *[window] * num_windows]
    ids = np.concatenate([part.ids for part in parts])
    assert len(np.unique(ids)) == len(ids)


@pytest.mark.parametrize("kind", sorted(DRIFTS))
def test_a_seed_decides_every_bit_and_windows_can_be_read_in_any_order(kind: str) -> None:
    first, second, other = (make(kind=kind, **DRIFTS[kind], seed=seed) for seed in (3, 3, 4))
    backwards = list(reversed([second.samples(window) for window in reversed(range(10))]))
    for one, two in zip(windows_of(first), backwards, strict=True):
        assert one.features.tobytes() == two.features.tobytes()
        assert one.labels.tobytes() == two.labels.tobytes()
    assert first.initial.ids.tolist() == second.initial.ids.tolist()
    assert first.initial.ids.tolist() != other.initial.ids.tolist()


def test_a_stream_without_drift_does_not_change() -> None:
    stream = make()
    assert list(stream.changes) == []
    assert [stream.strength(window) for window in range(10)] == [0.0] * 10


def test_the_changes_and_the_strength_of_a_drift_are_those_of_its_schedule() -> None:
    stream = make(kind="label", strength=0.5, schedule="burst", at=250, width=200)
    assert list(stream.changes) == [250, 450]
    assert [stream.strength(window) for window in range(6)] == [0, 0, 0.5, 1, 0.5, 0]


def ordered(known_after: Index | None = None) -> dict[str, Any]:
    labels = np.arange(300) % 3
    return {
        "num_windows": 5,
        "window": 20,
        "initial_samples": 100,
        "source": made_source(labels, is_ordered=True, known_after=known_after),
    }


def test_an_ordered_pool_keeps_its_order_and_nobody_knows_its_changes() -> None:
    stream = make(ordered())
    assert stream.initial.ids.tolist() == list(range(100))
    ids = np.concatenate([window.ids for window in windows_of(stream)])
    assert ids.tolist() == list(range(100, 200))
    assert stream.strength(0) is None
    drifted = make(ordered(), kind="concept", strength=1.0, feature=0)
    assert list(drifted.changes) == []
    assert drifted.strength(4) is None
    changed = [a.labels.tolist() != b.labels.tolist() for a, b in both(drifted, stream)]
    assert changed == [False, False, True, True, True]  # it begins in the middle, at 50


def both(one: DriftStream, two: DriftStream) -> list[tuple[Samples, Samples]]:
    return list(zip(windows_of(one), windows_of(two), strict=True))


def test_initial_labels_that_are_known_too_late_are_unknown() -> None:
    """Known 10 predictions later: the last 10 initial samples wait for the stream."""
    stream = make(ordered(known_after=np.full(300, 10)))
    assert (stream.initial.labels == UNKNOWN).nonzero()[0].tolist() == list(range(90, 100))
    assert (stream.samples(0).labels != UNKNOWN).all()


def test_unknown_labels_stay_unknown_in_a_concept_drift() -> None:
    labels = np.arange(300) % 3
    labels[150:200] = UNKNOWN
    keys = {**ordered(), "source": made_source(labels, is_ordered=True)}
    stream = make(keys, kind="concept", strength=1.0, region=[0.0, 1.0], at=0)
    assert all(
        (drifted.labels[plain.labels == UNKNOWN] == UNKNOWN).all()
        for drifted, plain in both(stream, make(keys))
    )


LABELS = np.arange(300) % 3
RARE = np.where(np.arange(300) < 250, np.arange(300) % 2, 2)
TIED = {**ordered(), "source": made_source(LABELS, features=LABELS % 2)}


@pytest.mark.parametrize(
    ("stream", "drift", "message"),
    [
        ({"num_windows": 191}, {}, "stream.num_windows=191: 1000 initial .* choose at most 190"),
        ({"window": 10_000}, {}, "stream.num_windows=10: .* choose fewer, or lower stream.window"),
        (
            {"source": made_source(RARE, is_ordered=True), "window": 10, "initial_samples": 100},
            {},
            "stream.initial_samples=100: have no sample of class 2",
        ),
        (ordered(), {"kind": "covariate", "strength": 1}, "drift=covariate: would reorder a stre"),
        (ordered(), {"kind": "label", "strength": 0.5}, "drift=label: would reorder a stream"),
        ({}, {"kind": "concept", "strength": 0.5, "feature": "y1"}, "drift.feature=y1: no such"),
        ({}, {"kind": "covariate", "strength": 0.5, "feature": 10}, "drift.feature=10: no such"),
        (TIED, {"kind": "concept", "strength": 1, "feature": 0}, r"drift.region=\[0.5, 1.0\]: man"),
        (
            {**TIED, "source": made_source(LABELS, features=LABELS * 0)},
            {"kind": "covariate", "strength": 1},
            "drift.feature=null: is the same in all initial samples",
        ),
        (
            {},
            {"kind": "label", "strength": 0.5, "target_class": 3},
            "drift.target_class=3: the stream has classes 0 to 2",
        ),
        ({}, {"kind": "label", "strength": 0.5, "at": 1000}, "drift.at=1000: the stream ends"),
        ({}, {"kind": "label", "strength": 1.5}, "drift.strength=1.5: is a share"),
        ({}, {"kind": "covariate"}, "drift.strength=0: would change nothing"),
        (
            {},
            {"kind": "none", "strength": 1.0},
            "drift.strength=1.0: .* undo that with drift.strength=0.0",
        ),
        ({}, {"kind": "none", "schedule": "burst"}, "drift.schedule=burst: drift=none ignores it"),
        (
            {},
            {"kind": "label", "feature": "x0"},
            "drift.feature=x0: drift=label ignores it; .* or .*feature=null",
        ),
        (
            {},
            {"kind": "covariate", "strength": 1.0, "target_class": 1},
            "drift.target_class=1: drift=covariate ignores it",
        ),
        (
            {},
            {"kind": "concept", "strength": 1.0, "region": [0.9, 0.5]},
            r"drift.region=\[0.9, 0.5\]: must be two quantiles",
        ),
        (
            {"source": source_of(num_classes=11)},
            {},
            "stream.source.num_features=10: must be at least 11",
        ),
    ],
)
def test_an_impossible_stream_is_refused(
    stream: dict[str, Any], drift: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        make(stream, **drift)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            {"_target_": "builtins.dict"},
            "stream.source._target_=builtins.dict: must return a bench.drift.sampl",
        ),
        (
            {"_target_": "no_such_module.f"},
            "stream.source._target_=no_such_module.f: No module named",
        ),
        (made_source(LABELS.astype(np.int32)), "samples.labels must be an array of int64"),
        (made_source(LABELS, num_classes=2), "labels must be classes below num_classes=2, or -1"),
        (made_source(LABELS, ids=LABELS), "samples.ids has an id twice"),
        (made_source(LABELS, ids=LABELS[:, None]), "samples.ids has an id twice"),
        (made_source(LABELS, known_after=LABELS - 1), "known_after must not be negative"),
        (made_source(LABELS, known_after=LABELS[:9]), "known_after must be an array of int64 with"),
        (
            made_source(LABELS, features=np.where(LABELS, 1.0, np.inf)),
            "has infinite values; use NaN",
        ),
        (made_source(LABELS, feature_names=("a", "b")), "feature_names has 2 names for 1 columns"),
    ],
)
def test_a_source_that_returns_no_pool_is_refused(source: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make({"source": source})


def test_make_stream_reads_the_configuration_as_it_is() -> None:
    stream = make_stream(stream_of(num_windows=3), DriftConfig(), seed=0)
    assert (stream.num_windows, stream.window) == (3, 100)
    assert stream.pool.feature_names[:2] == ["x0", "x1"]
