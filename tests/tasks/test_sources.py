"""Finding and reading files, on a small data set in MNIST's format and the real Fashion-MNIST."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.tasks import sources
from bench.tasks.data import fashion_mnist
from bench.tasks.sources import read_files

NUM_TRAIN, NUM_TEST = 40, 20


def idx(values: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    """IDX: two zero bytes, 8 for unsigned bytes, the number of dimensions, their big-endian sizes.

    Source: yann.lecun.com/exdb/mnist, "The IDX file format".
    """
    header = struct.pack(f">4B{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    return header + values.tobytes()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Images whose every pixel is the number of the image, gzipped as they are published."""
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for prefix, num in (("train", NUM_TRAIN), ("t10k", NUM_TEST)):
        numbers = np.arange(num, dtype=np.uint8)
        images = np.tile(numbers[:, None, None], (1, 28, 28))
        for name, values in (("images-idx3", images), ("labels-idx1", numbers % 10)):
            data = gzip.compress(idx(values))
            (folder / f"{prefix}-{name}-ubyte.gz").write_bytes(data)
    return tmp_path


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data in any of the usual places."""
    monkeypatch.delenv(sources.ROOT_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("by_key", [True, False])
def test_files_are_read_from_the_root_given(
    root: Path, monkeypatch: pytest.MonkeyPatch, by_key: bool
) -> None:
    if not by_key:
        monkeypatch.setenv(sources.ROOT_VARIABLE, str(root))
    train, test = read_files("mnist", str(root) if by_key else None, False)
    assert train.images.shape == (NUM_TRAIN, 1, 28, 28)
    assert test.images.shape == (NUM_TEST, 1, 28, 28)
    assert (train.images[:, 0, 27, 27] == np.arange(NUM_TRAIN)).all()
    assert (test.labels == np.arange(NUM_TEST) % 10).all()


def test_the_files_may_lie_in_the_root_itself(root: Path) -> None:
    train, _ = read_files("mnist", str(root / "MNIST" / "raw"), False)
    assert len(train.labels) == NUM_TRAIN


def test_plain_files_are_read_too(root: Path) -> None:
    for path in (root / "MNIST" / "raw").iterdir():
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    train, _ = read_files("mnist", str(root), False)
    assert len(train.labels) == NUM_TRAIN


@pytest.mark.parametrize(
    "content",
    [
        b"no gzip at all",
        gzip.compress(b"no idx at all"),
        gzip.compress(idx(np.zeros((NUM_TRAIN, 28, 28), np.uint8)))[:60],  # cut short
        gzip.compress(idx(np.zeros((NUM_TRAIN - 1, 28, 28), np.uint8))),  # an image is missing
    ],
    # Names of their own: gzip writes the time down, which differs between the workers of xdist.
    ids=["no_gzip", "no_idx", "cut_short", "image_missing"],
)
def test_a_corrupt_file_is_named(root: Path, content: bytes) -> None:
    (root / "MNIST" / "raw" / "train-images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"train-.*: the data file is corrupt or missing; delete"):
        read_files("mnist", str(root), False)


@pytest.mark.usefixtures("nowhere")
def test_a_data_set_that_is_nowhere_is_refused_with_all_ways_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        read_files("fashion_mnist", str(tmp_path), False)
    message = str(caught.value)
    for way in ("data.root=DIR", "BENCH_DATA_ROOT", "dataset-fashion-mnist", "data.download=true"):
        assert way in message
    assert "\n" not in message


@pytest.mark.usefixtures("nowhere")
def test_a_download_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("Error downloading:\nTried https://one, got: refused")

    monkeypatch.setattr("torchvision.datasets.mnist.MNIST.download", fail)
    with pytest.raises(FileNotFoundError, match=r"download failed: Error downloading: Tried"):
        read_files("mnist", None, True)


def test_a_root_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match=r"data.root=/no/such: no such folder"):
        read_files("cifar10", "/no/such", False)


def test_a_cifar_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-batches-py").mkdir()
    with pytest.raises(ValueError, match=r"data_batch_1: the data file is corrupt or missing"):
        read_files("cifar10", str(tmp_path), False)


@pytest.mark.usefixtures("nowhere")
def test_real_fashion_mnist() -> None:
    if not sources.DEBIAN_FASHION_MNIST.is_dir():
        pytest.skip("the package dataset-fashion-mnist is not installed")
    data = fashion_mnist(batch_size=1000, seed=0, download=False, in_memory=False)
    data.setup()
    assert data.input_shape == (1, 28, 28)
    assert data.num_train_samples == 50_000
    labels = torch.cat([labels for _, labels in data.test_dataloader()])
    # Zalando's data is balanced: 1,000 test images of each class, and the validation split is
    # stratified.
    assert labels.bincount().tolist() == [1000] * 10
    labels = torch.cat([labels for _, labels in data.val_dataloader()])
    assert labels.bincount().tolist() == [1000] * 10
