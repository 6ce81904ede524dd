from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.serving.http.features import FeatureStore, read_features, write_features
from bench.serving.planted_skew import PlantedSkew
from bench.tasks.input_arrays import joined_array
from bench.tasks.loaders import standardise


def test_pixels_come_back_as_the_tests_of_the_model_had_them(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, size=(5, 3, 4, 6), dtype=np.uint8)
    mean = random.uniform(90, 150, size=(3, 1, 1)).astype(np.float32)
    std = random.uniform(20, 80, size=(3, 1, 1)).astype(np.float32)
    write_features(tmp_path / "f", pixels, mean=mean, std=std)
    store = FeatureStore(tmp_path / "f")
    wanted = standardise(
        torch.from_numpy(pixels), torch.from_numpy(mean), torch.from_numpy(std)
    ).numpy()
    assert store.example.shape == (3, 4, 6)
    assert store.example.dtype == np.float32
    for index in range(5):
        raw = store.fetch(index)
        image = store.preprocess(raw)
        assert raw == pixels[index].tobytes()
        assert image.dtype == np.float32
        # To the last bit: the same operations in the same precision.
        assert image.tobytes() == wanted[index].tobytes()
    store.close()


def test_floats_come_back_unchanged(tmp_path: Path) -> None:
    images = np.random.default_rng(0).normal(size=(2, 1, 3, 3)).astype(np.float32)
    write_features(tmp_path / "f", images)
    store = FeatureStore(tmp_path / "f")
    assert np.array_equal(store.preprocess(store.fetch(1)), images[1])
    store.close()


def test_inputs_of_several_tensors_come_back_with_their_types(tmp_path: Path) -> None:
    tokens, mask = torch.arange(6).reshape(2, 3), torch.tensor([[0.5], [1.5]])
    inputs = joined_array([{"tokens": tokens, "mask": mask}])
    write_features(tmp_path / "f", inputs)
    store = FeatureStore(tmp_path / "f")
    assert store.example.dtype == inputs.dtype
    assert store.preprocess(store.fetch(1)) == inputs[1]
    store.close()


def test_a_planted_fault_is_part_of_the_preparation(tmp_path: Path) -> None:
    pixels = np.array([[[[3], [5]]], [[[7], [11]]]], dtype=np.uint8)  # two images of two rows
    mean, std = (np.full((1, 1, 1), value, dtype=np.float32) for value in (3, 2))
    swap = PlantedSkew(
        axis=1,
        order=np.array([1, 0]),
        factor=np.ones((1, 2, 1), dtype=np.float32),
        offset=np.full((1, 2, 1), 0.5, dtype=np.float32),
    )
    write_features(tmp_path / "f", pixels, mean=mean, std=std, skew=swap)
    # (5 - 3) / 2 + 0.5 comes before (3 - 3) / 2 + 0.5, and 4.5 before 2.5.
    assert read_features(tmp_path / "f").reshape(2, 2).tolist() == [[1.5, 0.5], [4.5, 2.5]]


@pytest.mark.parametrize("index", [-1, 2, 2**63, 10**40])
def test_an_unknown_id_is_reported(tmp_path: Path, index: int) -> None:
    write_features(tmp_path / "f", np.zeros((2, 1, 1, 1), dtype=np.float32))
    store = FeatureStore(tmp_path / "f")
    with pytest.raises(KeyError):
        store.fetch(index)
    store.close()


def test_what_cannot_be_stored_is_refused(tmp_path: Path) -> None:
    pixels = np.zeros((2, 1, 1, 1), dtype=np.uint8)
    one = np.ones((1, 1, 1), dtype=np.float32)
    with pytest.raises(ValueError, match="at least one input"):
        write_features(tmp_path / "f", pixels[:0])
    write_features(tmp_path / "f", pixels, mean=one, std=one)
    with pytest.raises(ValueError, match=r"cannot be written .*already exists"):
        write_features(tmp_path / "f", pixels, mean=one, std=one)


def test_a_missing_store_and_a_file_of_another_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such feature store"):
        FeatureStore(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    (tmp_path / "text").write_text("no database" * 100)
    with pytest.raises(ValueError, match="not a feature store"):
        FeatureStore(tmp_path / "text")


def test_the_server_cannot_change_the_store(tmp_path: Path) -> None:
    write_features(tmp_path / "f", np.zeros((2, 1, 1, 1), dtype=np.float32))
    store = FeatureStore(tmp_path / "f")
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        store._connection.execute("DELETE FROM features")
    store.close()


def test_a_file_that_cannot_be_written_is_one_line_with_the_remedy(tmp_path: Path) -> None:
    wanted = r"features\.sqlite: the inputs for the server cannot be written .*TMPDIR"
    with pytest.raises(ValueError, match=wanted):
        write_features(tmp_path / "none" / "features.sqlite", np.ones((1, 1, 2, 2), np.float32))
