"""Finds or downloads the data sets that are read from files."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any

from filelock import FileLock
from torchvision.datasets import CIFAR10, MNIST, FashionMNIST

from bench.core.files import cache_folder, expand_path
from bench.tasks.image_files import Pools, find_cifar, find_idx, read_cifar, read_idx_pools

ROOT_VARIABLE = "BENCH_DATA_ROOT"
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
_NETWORK_TIMEOUT_S = 15.0


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
    places = [chosen] if root is not None else _usual_places(files, chosen)
    if (there := _search(files, places)) is not None:
        return there
    owner = key.rpartition(".")[0] or "data"  # bench.serve calls its root data_root
    reason = _download(files, chosen or cache) if download else f"{owner}.download=false"
    found = files.find(chosen or cache)
    if found is None:
        raise FileNotFoundError(_how_to_get(files, reason, key, owner))
    return found


def find_data() -> dict[str, Path | None]:
    """Where each data set is, in the usual places; None if it is not there.

    Raises:
        ValueError: BENCH_DATA_ROOT names no folder.
    """
    chosen = _chosen_root(None, ROOT_VARIABLE)
    return {
        name: _search(files, _usual_places(files, chosen)) for name, files in _FILE_SETS.items()
    }


def _usual_places(files: FileSet, chosen: Path | None) -> list[Path | None]:
    return [chosen, files.packaged, cache_folder()]


def _search(files: FileSet, places: Sequence[Path | None]) -> Path | None:
    found = (files.find(place) for place in places if place is not None)
    return next((folder for folder in found if folder is not None), None)


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


_FILE_SETS = {
    files.name: files
    for files in (
        FileSet(
            name="fashion_mnist",
            torchvision_class=FashionMNIST,
            layout="FashionMNIST/raw/train-images-idx3-ubyte[.gz] and its three companions",
            find=partial(find_idx, "FashionMNIST"),
            read=read_idx_pools,
            packaged=DEBIAN_FASHION_MNIST,
            package="dataset-fashion-mnist",
        ),
        FileSet(
            name="mnist",
            torchvision_class=MNIST,
            layout="MNIST/raw/train-images-idx3-ubyte[.gz] and its three companions",
            find=partial(find_idx, "MNIST"),
            read=read_idx_pools,
        ),
        FileSet(
            name="cifar10",
            torchvision_class=CIFAR10,
            layout="cifar-10-batches-py/",
            find=find_cifar,
            read=read_cifar,
        ),
    )
}
