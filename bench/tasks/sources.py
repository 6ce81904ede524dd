"""Reads images: scikit-learn's digits, or the files of a torchvision data set.

Each reader gives (development, test); a data module cuts its validation split out of the first.
"""

from __future__ import annotations

import gzip
import os
import socket
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor
from torchvision.datasets import CIFAR10, MNIST, FashionMNIST
from torchvision.datasets.mnist import read_image_file, read_label_file
from torchvision.datasets.utils import check_integrity, extract_archive

from bench.core.files import cache_folder, expand_path

ROOT_VARIABLE = "BENCH_DATA_ROOT"
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
NUM_CLASSES = 10  # of every data set here
_NETWORK_TIMEOUT_S = 15.0
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


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSet:
    """A data set that is read from files.

    Attributes:
        name: The name of its option in conf/data.
        torchvision_class: The class that downloads it.
        layout: The files that a root must hold, for an error.
        find: Finds the folder to read within a root; None if the files are not there.
        read: Reads that folder.
        packaged: The folder in which a package of the system installs the files.
        package: The name of that package.
    """

    name: str
    torchvision_class: type[Any]
    layout: str
    find: Callable[[Path], Path | None]
    read: Callable[[Path], Pools]
    packaged: Path | None = None
    package: str | None = None


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


def read_files(name: str, root: str | None, download: bool, key: str = "data.root") -> Pools:
    """Read a data set from files.

    Args:
        name: The name of its option in conf/data.
        root: The folder to look in; None for the usual places.
        download: Download the files if they are not found.
        key: The key of the root, for messages.

    Raises:
        FileNotFoundError: The files were not found and not downloaded.
        ValueError: The root does not exist, or a file is corrupt or missing.
    """
    files = _FILE_SETS[name]
    return files.read(locate(files, root, download=download, key=key))


def require_files(key: str, root: str | None, name: str, download: bool) -> None:
    """Refuse a data set that is not found and will not be downloaded; raises as locate()."""
    if download:
        _chosen_root(root, key)
    else:
        locate(_FILE_SETS[name], root, download=False, key=key)


def locate(files: FileSet, root: str | None, *, download: bool, key: str = "data.root") -> Path:
    """Find the folder that a data set is read from, or download the data set.

    A given root is the only place searched. Without one, BENCH_DATA_ROOT, the system's package and
    the cache are searched, in this order. Downloads go to the root or the cache.

    Raises:
        FileNotFoundError: The files were not found and not downloaded.
        ValueError: The root does not exist.
    """
    chosen = _chosen_root(root, key)
    cache = cache_folder()
    places = [chosen] if root is not None else [chosen, files.packaged, cache]
    for place in places:
        found = files.find(place) if place is not None else None
        if found is not None:
            return found
    owner = key.rpartition(".")[0] or "data"  # bench.serve calls its root data_root
    reason = _download(files, chosen or cache) if download else f"{owner}.download=false"
    found = files.find(chosen or cache)
    if found is None:
        raise FileNotFoundError(_how_to_get(files, reason, key, owner))
    return found


def _chosen_root(root: str | None, key: str) -> Path | None:
    """The folder that the configuration or else BENCH_DATA_ROOT names; None for neither."""
    if root is None:
        key, root = ROOT_VARIABLE, os.environ.get(ROOT_VARIABLE) or None
    if root is None:
        return None
    folder = expand_path(root)
    if not folder.is_dir():
        raise ValueError(f"{key}={root}: no such folder; create it or name another")
    return folder


def _how_to_get(files: FileSet, reason: str, key: str, owner: str) -> str:
    package = f", or install the Debian package {files.package}" if files.package else ""
    group = owner.partition(".")[0]
    return (
        f"{group}={files.name}: no data found ({reason}); set {key}=DIR or the environment "
        f"variable {ROOT_VARIABLE} to a folder that holds {files.layout}{package}, or run once "
        f"with {owner}.download=true where there is a network"
    )


def _download(files: FileSet, folder: Path) -> str:
    """Download a data set with torchvision; return why it failed, or an empty text."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Jobs that start at the same time must not write the same files.
        with FileLock(folder / f".{files.name}.lock"), _network_timeout():
            if files.find(folder) is None:
                files.torchvision_class(str(folder), download=True)
    except (OSError, RuntimeError, HTTPException) as error:
        # The message of torchvision has a line for each mirror.
        return f"download failed: {' '.join(str(error).split())}"
    return ""


@contextmanager
def _network_timeout() -> Iterator[None]:
    """Limit each wait for the network: torchvision has no timeout, and firewalls drop packets."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_NETWORK_TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _idx_path(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _find_idx(subfolder: str, root: Path) -> Path | None:
    """Find the folder with all four files: the one that torchvision makes, or the root itself."""
    for folder in (root / subfolder / "raw", root):
        if all(_idx_path(folder, name) for name in (*_TRAIN_FILES, *_TEST_FILES)):
            return folder
    return None


def _read_idx_pools(folder: Path) -> Pools:
    return _read_idx_pair(folder, *_TRAIN_FILES), _read_idx_pair(folder, *_TEST_FILES)


def _read_idx_pair(folder: Path, images_name: str, labels_name: str) -> LabelledImages:
    images_path, labels_path = _idx_path(folder, images_name), _idx_path(folder, labels_name)
    assert images_path is not None
    assert labels_path is not None  # _find_idx() found all four
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


def _find_cifar(root: Path) -> Path | None:
    return root if (root / CIFAR10.base_folder).is_dir() else None


def _read_cifar(folder: Path) -> Pools:
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


_FILE_SETS = {
    files.name: files
    for files in (
        FileSet(
            name="fashion_mnist",
            torchvision_class=FashionMNIST,
            layout="FashionMNIST/raw/train-images-idx3-ubyte[.gz] and its three companions",
            find=partial(_find_idx, "FashionMNIST"),
            read=_read_idx_pools,
            packaged=DEBIAN_FASHION_MNIST,
            package="dataset-fashion-mnist",
        ),
        FileSet(
            name="mnist",
            torchvision_class=MNIST,
            layout="MNIST/raw/train-images-idx3-ubyte[.gz] and its three companions",
            find=partial(_find_idx, "MNIST"),
            read=_read_idx_pools,
        ),
        FileSet(
            name="cifar10",
            torchvision_class=CIFAR10,
            layout="cifar-10-batches-py/",
            find=_find_cifar,
            read=_read_cifar,
        ),
    )
}
