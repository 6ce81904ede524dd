"""Faults: what the serving path sees, what retraining reads, and when."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.config.maintain import FaultConfig
from bench.drift.faults import Fault, build_fault
from bench.drift.preprocessing import Preprocessing
from bench.drift.samples import Floats, Pool, Samples

NAMES = ["temp", "dewp", "visib"]


def pool_of(features: Floats, names: list[str]) -> Pool:
    places = np.arange(len(features))
    samples = Samples(ids=places, features=features, labels=places % 2)
    return Pool(samples=samples, num_classes=2, feature_names=names)


TABLE = pool_of(np.full((4, 3), 50.0, dtype=np.float32), NAMES)
IMAGES = pool_of(np.ones((4, 1, 2, 2), dtype=np.float32), [])


def fault_of(pool: Pool = TABLE, num_predictions: int = 100, **keys: Any) -> Fault:
    return build_fault(FaultConfig(**keys), pool, num_predictions)


def test_fahrenheit_becomes_celsius_in_one_column_from_the_middle_on() -> None:
    """50 F is (50 - 32) / 1.8 = 10 C; `temp` is the column if none is named."""
    fault = fault_of(kind="celsius")
    features = np.full((4, 3), 50.0, dtype=np.float32)
    served = fault.served(features, first=48)
    np.testing.assert_allclose(served[:, 0], [50, 50, 10, 10], rtol=1e-6)
    assert (served[:, 1:] == 50).all()
    assert served.dtype == np.float32
    assert (features == 50).all(), "the log of the clean features must not change"
    other = fault_of(kind="celsius", feature="dewp").served(features, first=99)
    np.testing.assert_allclose(other[0], [50, 10, 50], rtol=1e-6)


def test_a_fault_of_serving_spares_the_log_and_a_fault_of_both_does_not() -> None:
    features = np.full((4, 3), 50.0, dtype=np.float32)
    serving = fault_of(kind="celsius", at=0)
    assert serving.logged(features, 0) is features
    both = fault_of(kind="celsius", at=0, where="both")
    np.testing.assert_array_equal(both.logged(features, 0), both.served(features, 0))
    np.testing.assert_array_equal(both.served(features, 0), serving.served(features, 0))


@given(
    at=st.integers(0, 99),
    length=st.integers(1, 100),
    first=st.integers(0, 99),
    num=st.integers(1, 40),
    keys=st.sampled_from(
        [
            {"kind": "celsius"},
            {"kind": "missing", "feature": ["temp", "visib"]},
            {"kind": "missing", "feature": 1, "fill": "zero"},
            {"kind": "stale_scaler"},
            {"kind": "none"},
        ]
    ),
)
def test_nothing_changes_outside_of_the_fault(
    at: int, length: int, first: int, num: int, keys: dict[str, Any]
) -> None:
    times: dict[str, Any] = (
        {} if keys["kind"] == "none" else {"at": at, "until": min(at + length, 100)}
    )
    fault = fault_of(**keys, **times)
    generator = np.random.default_rng(first)
    features = generator.standard_normal((num, 3), dtype=np.float32)
    features[generator.random(features.shape) < 0.1] = np.nan
    served = fault.served(features, first)
    numbers = first + np.arange(num)
    changes = (numbers >= fault.at) & (numbers < fault.until)
    changes &= keys["kind"] in ("celsius", "missing")
    assert served[~changes].tobytes() == features[~changes].tobytes()
    columns = list(fault.columns or ())
    for column in set(range(3)) - set(columns):
        assert served[:, column].tobytes() == features[:, column].tobytes()
    assert not fault.has_stale_scaler(first) or at <= first < at + length


def test_a_missing_value_becomes_the_mean_or_a_raw_zero() -> None:
    """Of 10, 20, 30 the mean is 20 and the deviation sqrt(200/3): a raw 0 is -20/8.165 = -2.449."""
    preprocessing = Preprocessing.fit(np.array([[10], [20], [30]], dtype=np.float32))
    features = np.array([[30.0]], dtype=np.float32)
    pool = pool_of(features, ["temp"])
    mean = fault_of(pool, kind="missing", feature=0, at=0).served(features, 0)
    assert np.isnan(mean).all()
    assert preprocessing.apply(mean) == 0
    zero = fault_of(pool, kind="missing", feature=0, at=0, fill="zero").served(features, 0)
    np.testing.assert_allclose(preprocessing.apply(zero), -2.449, atol=1e-3)


def test_a_missing_image_is_missing_as_a_whole() -> None:
    images = np.ones((3, 1, 2, 2), dtype=np.float32)
    served = fault_of(IMAGES, kind="missing", at=1, until=2).served(images, 0)
    assert np.isnan(served).all((1, 2, 3)).tolist() == [False, True, False]


def test_a_stale_scaler_leaves_features_alone_and_lasts_for_whole_windows() -> None:
    fault = fault_of(kind="stale_scaler", at=15, until=40)
    features = np.ones((4, 3), dtype=np.float32)
    assert fault.served(features, 20) is features
    stale = [first for first in range(0, 100, 10) if fault.has_stale_scaler(first)]
    assert stale == [20, 30]


def test_the_edges_of_a_fault_are_those_within_the_stream() -> None:
    assert fault_of(kind="celsius").edges(100) == [50]
    assert fault_of(kind="celsius", at=10, until=20).edges(100) == [10, 20]
    assert fault_of().edges(100) == []


@pytest.mark.parametrize(
    ("pool", "keys", "message"),
    [
        (TABLE, {"kind": "celsius", "feature": "tmp"}, r"fault.feature=tmp: no such .*mean temp\?"),
        (TABLE, {"kind": "celsius", "feature": 3}, "fault.feature=3: no such .*numbers 0 to 2"),
        (TABLE, {"kind": "missing"}, "fault.feature=null: fault=missing needs the name"),
        (IMAGES, {"kind": "celsius"}, "fault=celsius: images have no temperatures"),
        (IMAGES, {"kind": "missing", "feature": 0}, "fault.feature=0: images have no columns"),
        (TABLE, {"kind": "celsius", "at": 100}, "fault.at=100: the stream ends after 100"),
        (TABLE, {"kind": "celsius", "until": 50}, "fault.until=50: must be after fault.at=50"),
        (TABLE, {"kind": "celsius", "until": 101}, "fault.until=101: .* ends after 100"),
        (TABLE, {"kind": "none", "at": 1}, "fault.at=1: fault=none ignores it"),
        (TABLE, {"kind": "celsius", "fill": "zero"}, "fault.fill=zero: .*or choose fault=missing"),
        (TABLE, {"kind": "stale_scaler", "where": "both"}, "fault.where=both: fault=stale_scaler"),
    ],
)
def test_an_impossible_fault_is_refused(pool: Pool, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fault_of(pool, **keys)
