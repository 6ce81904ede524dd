"""Reads images: scikit-learn's digits, IDX files such as MNIST's, and the files of CIFAR-10.

Each reader gives (development, test); a data module cuts its validation split out of the first.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor
from torchvision.datasets import CIFAR10
from torchvision.datasets.mnist import read_image_file, read_label_file
from torchvision.datasets.utils import check_integrity, extract_archive

NUM_CLASSES = 10  # of every data set here
_DIGITS_TEST_FRAC = 0.2
_TRAIN_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
_TEST_FILES = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """Raw images, uint8 of shape (n, c, h, w), and their classes, int64 of shape (n,)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __getitem__(self, index: NDArray[np.int64]) -> LabelledImages:
        """Select samples by their indices."""
        return LabelledImages(self.images[index], self.labels[index])


Pools = tuple[LabelledImages, LabelledImages]


def read_digits(split_seed: int) -> Pools:
    """Read scikit-learn's 1,797 handwritten digits of 8x8 pixels; a fifth is the test split.

    Args:
        split_seed: Decides which samples are in the test split, which is stratified by class.
    """
    bunch = load_digits()
    pool = LabelledImages(bunch.images.astype(np.uint8)[:, None], bunch.target.astype(np.int64))
    development, test = train_test_split(
        np.arange(len(pool.labels)),
        test_size=_DIGITS_TEST_FRAC,
        random_state=split_seed,
        stratify=pool.labels,
    )
    return pool[development], pool[test]


def _idx_path(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def find_idx(subfolder: str, root: Path) -> Path | None:
    """Find the folder with all four files: the one that torchvision makes, or the root itself."""
    for folder in (root / subfolder / "raw", root):
        if all(_idx_path(folder, name) for name in (*_TRAIN_FILES, *_TEST_FILES)):
            return folder
    return None


def read_idx_pools(folder: Path) -> Pools:
    """Read the four files of a folder that find_idx() found.

    Raises:
        ValueError: A file is corrupt or missing.
    """
    return _read_idx_pair(folder, *_TRAIN_FILES), _read_idx_pair(folder, *_TEST_FILES)


def _read_idx_pair(folder: Path, images_name: str, labels_name: str) -> LabelledImages:
    images_path, labels_path = _idx_path(folder, images_name), _idx_path(folder, labels_name)
    assert images_path is not None
    assert labels_path is not None  # find_idx() found all four
    images = _read_idx(images_path, read_image_file).numpy()[:, None]
    labels = _read_idx(labels_path, read_label_file).numpy()
    if len(images) != len(labels) or not len(labels) or labels.max() >= NUM_CLASSES:
        raise _corrupt(labels_path)
    return LabelledImages(images, labels)


def _read_idx(path: Path, reader: Callable[[str], Tensor]) -> Tensor:
    """Read a file with torchvision's reader, which cannot read compressed ones."""
    try:
        if path.suffix != ".gz":
            return reader(str(path))
        with TemporaryDirectory() as folder:
            return reader(extract_archive(str(path), folder))
    except (
        *(gzip.BadGzipFile, zlib.error, EOFError),  # not gzip, or cut short
        *(AssertionError, IndexError, KeyError, RuntimeError, TypeError, ValueError),  # not IDX
    ) as error:
        raise _corrupt(path) from error


def _corrupt(path: Path) -> ValueError:
    return ValueError(
        f"{path}: the data file is corrupt or missing; delete it and download it again"
    )


def find_cifar(root: Path) -> Path | None:
    """Find the folder that holds the folder of CIFAR-10."""
    return root if (root / CIFAR10.base_folder).is_dir() else None


def read_cifar(folder: Path) -> Pools:
    """Read a folder that find_cifar() found.

    Raises:
        ValueError: A file is corrupt or missing.
    """
    try:
        development, test = (CIFAR10(str(folder), train=train) for train in (True, False))
    except RuntimeError as error:  # torchvision does not say which checksum is wrong
        raise _corrupt(_broken_cifar_file(folder)) from error
    return _from_cifar(development), _from_cifar(test)


def _broken_cifar_file(root: Path) -> Path:
    folder: Path = root / CIFAR10.base_folder
    for name, checksum in [*CIFAR10.train_list, *CIFAR10.test_list]:
        if not check_integrity(str(folder / name), checksum):
            return folder / str(name)
    return folder / str(CIFAR10.meta["filename"])


def _from_cifar(part: CIFAR10) -> LabelledImages:
    images = np.ascontiguousarray(part.data.transpose(0, 3, 1, 2))
    return LabelledImages(images, np.asarray(part.targets, dtype=np.int64))
