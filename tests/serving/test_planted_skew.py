"""A fault of the serving path changes exactly what it should."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from bench.config.skew import SkewConfig
from bench.serving.planted_skew import PlantedSkew, plant_skew, refuse_impossible
from bench.tasks.feature_scale import FeatureScale

# Two numbers and a category; the numbers are a temperature of 68 +- 18 and a count of 4 +- 2.
TABLE = FeatureScale(
    mean=np.array([68.0, 4.0, 0.0]),
    std=np.array([18.0, 2.0, 1.0]),
    axis=0,
    num_features=2,
    names=["temp", "count"],
)
ROWS = np.array([[1.0, 0.5, 1.0], [-2.0, 0.0, 0.0]], dtype=np.float32)  # 86 and 32 degrees F
# Images of two channels and three rows.
IMAGE = FeatureScale(
    mean=np.repeat([[[10.0]], [[20.0]]], 3, axis=1),
    std=np.repeat([[[2.0]], [[4.0]]], 3, axis=1),
    axis=1,
    num_features=3,
)
PIXELS = np.arange(24, dtype=np.float32).reshape(2, 2, 3, 2)


def planted(scale: FeatureScale = TABLE, rows: Any = ROWS, **keys: Any) -> Any:
    return plant_skew(SkewConfig(**keys), scale, rows).apply(rows)


def test_celsius_is_a_unit_change_of_the_raw_value() -> None:
    served = planted(kind="celsius")
    # 86 F is 30 C and 32 F is 0 C, which are standardised as if they were degrees F.
    assert served[:, 0].tolist() == pytest.approx([(30 - 68) / 18, (0 - 68) / 18])
    assert served[:, 1:].tobytes() == ROWS[:, 1:].tobytes()
    assert planted(kind="celsius", feature="temp").tobytes() == served.tobytes()
    assert served.dtype == np.float32


def test_a_missing_value_is_filled_in() -> None:
    # The mean is 0 when it is standardised; a raw 0 is 4 / 2 = 2 deviations below it.
    assert planted(kind="missing", feature=1)[:, 1].tolist() == [0.0, 0.0]
    assert planted(kind="missing", feature="count", fill="zero")[:, 1].tolist() == [-2.0, -2.0]


def test_a_stale_scaler_moves_every_feature() -> None:
    np.testing.assert_allclose(planted(kind="stale_scaler"), (ROWS - 0.5) / 1.25, rtol=1e-5)


def test_swapped_columns_are_standardised_by_each_others_statistics() -> None:
    served = planted(kind="swapped")
    # The first row is 86 degrees and 0.5 * 2 + 4 = 5; the second 32 degrees and 4.
    assert served[:, 0].tolist() == pytest.approx([(5 - 68) / 18, (4 - 68) / 18])
    assert served[:, 1].tolist() == pytest.approx([(86 - 4) / 2, (32 - 4) / 2])
    assert served[:, 2].tolist() == [1.0, 0.0]


def test_a_feature_of_an_image_is_a_row_of_all_channels() -> None:
    served = planted(IMAGE, PIXELS, kind="swapped", feature=2)
    assert np.array_equal(served, PIXELS[:, :, [2, 1, 0]])
    filled = planted(IMAGE, PIXELS, kind="missing", feature=1, fill="zero")
    assert np.array_equal(filled[:, :, [0, 2]], PIXELS[:, :, [0, 2]])
    assert (filled[:, :, 1] == -5.0).all()  # -10 / 2 and -20 / 4


def test_a_server_reads_the_same_fault() -> None:
    skew = plant_skew(SkewConfig(kind="celsius"), TABLE, ROWS)
    again = PlantedSkew.from_json(skew.to_json())
    assert again.apply(ROWS).tobytes() == skew.apply(ROWS).tobytes()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"kind": "celsius", "feature": "tmp"}, "skew.feature=tmp: .*; did you mean temp?"),
        ({"kind": "missing", "feature": 2}, "skew.feature=2: the data has 2 features that are"),
        ({"kind": "missing", "feature": True}, "skew.feature=True: the data has 2 features"),
        ({"kind": "swapped", "feature": 1, "other_feature": 1}, "skew.other_feature=1: is the"),
    ],
)
def test_a_feature_that_is_not_there_is_refused(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("?", re.escape("?"))) as caught:
        planted(**keys)
    assert "\n" not in str(caught.value)


def test_data_that_does_not_tell_its_scale_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^skew=celsius: needs data whose attribute feature_scale"
    ):
        plant_skew(SkewConfig(kind="celsius"), None, ROWS)
    with pytest.raises(ValueError, match=r"^skew=missing: needs data"):
        plant_skew(SkewConfig(kind="missing"), TABLE, np.zeros((2, 3), dtype=np.int64))


def test_faults_that_data_cannot_have_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^skew=celsius: the data are images, and pixels have no"):
        planted(IMAGE, PIXELS, kind="celsius")
    with pytest.raises(ValueError, match=r"^skew=swapped: the data are tokens"):
        refuse_impossible(SkewConfig(kind="swapped"), "token")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"kind": "stale_scaler", "feature": 1}, "skew.feature=1: skew=stale_scaler ignores it"),
        ({"kind": "celsius", "fill": "zero"}, "skew.fill=zero: skew=celsius ignores it"),
        ({"kind": "celsius", "other_feature": 1}, "skew.other_feature=1: skew=celsius ignores it"),
        ({"kind": "kelvin"}, "skew.kind=kelvin: must be one of celsius"),
    ],
)
def test_keys_that_have_no_effect_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SkewConfig.from_dict(values, "skew.")
