"""The data sets of conf/data, and what a run needs of any data module.

What is split off and standardised never depends on the run's seed: runs with different seeds are
repeats of one task. Reading and preparing happen in setup(), before the clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, Protocol

import pytorch_lightning as pl
from typing_extensions import Unpack

from bench.tasks.images import ImageDataModule, ImageOptions
from bench.tasks.loaders import Batch
from bench.tasks.sources import read_digits, read_files


class DataModule(Protocol):
    """What a run needs of a data module; any LightningDataModule with these attributes will do.

    num_classes, input_shape (channels, height, width) and num_train_samples, the samples of one
    pass, are read after setup(). Batches are pairs of images (n, c, h, w) and labels (n,).

    The training loader gives batch_size samples in all over the ranks of a distributed run,
    different ones on each. With full batches only (drop_last) nothing is compiled on the clock for
    a smaller one. The other loaders give their whole split on every rank.
    """

    num_classes: int
    input_shape: tuple[int, int, int]
    num_train_samples: int

    def prepare_data(self) -> None:
        """Fetch what has to be fetched."""

    def setup(self, stage: str) -> None:
        """Make the splits; a second call changes nothing."""

    def train_dataloader(self) -> Iterable[Batch]:
        """Batches to train on."""

    def val_dataloader(self) -> Iterable[Batch]:
        """Batches that say when the target is reached."""

    def test_dataloader(self) -> Iterable[Batch]:
        """Batches that nothing was chosen on."""


def require_loaders(kind: Any, target: str) -> None:
    """Refuse a class of data without a loader for each split; what its objects give is seen later.

    Args:
        kind: What the configuration's `_target_` names.
        target: That `_target_`.

    Raises:
        ValueError: It is a LightningDataModule that has no such method; the message names it.
    """
    if not (isinstance(kind, type) and issubclass(kind, pl.LightningDataModule)):
        return
    for name, use in _LOADERS.items():
        if getattr(kind, name) is getattr(pl.LightningDataModule, name):
            raise ValueError(f"data: {target} has no {name}; a run needs one {use}")


_LOADERS = {
    "train_dataloader": "to train on",
    "val_dataloader": "that tells when the target is reached",
    "test_dataloader": "with samples that nothing was chosen on",
}


def test_batches(data: Any) -> Iterable[Batch]:
    """The test split of a data module; setup("test") is called where setup("fit") made none.

    Not called for every data module: one that ignores the stage would draw its splits anew.

    Raises:
        ValueError: There is none; the message has the reason.
    """
    try:
        return _loader(data)
    except Exception:  # a module that makes the split in setup("test") may fail in any way
        data.setup("test")
    try:
        return _loader(data)
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"data: test_dataloader gave no test split ({reason}); a run needs one that nothing "
            "was chosen on"
        ) from error


def _loader(data: Any) -> Iterable[Batch]:
    loader: Iterable[Batch] = data.test_dataloader()
    if loader is None:
        raise ValueError("it returned None")
    return loader


def digits(**options: Unpack[ImageOptions]) -> ImageDataModule:
    """scikit-learn's digits, which it ships with: 1,077 / 360 / 360 images of 1x8x8."""
    options.setdefault("num_validation_samples", 360)
    return ImageDataModule(partial(read_digits, options.get("split_seed", 0)), **options)


def fashion_mnist(
    *, root: str | None = None, download: bool = True, **options: Unpack[ImageOptions]
) -> ImageDataModule:
    """Fashion-MNIST: 50,000 / 10,000 / 10,000 images of 1x28x28; the last are the official test."""
    options.setdefault("num_validation_samples", 10_000)
    return ImageDataModule(partial(read_files, "fashion_mnist", root, download), **options)


def mnist(
    *, root: str | None = None, download: bool = True, **options: Unpack[ImageOptions]
) -> ImageDataModule:
    """MNIST: 50,000 / 10,000 / 10,000 images of 1x28x28; the last are the official test."""
    options.setdefault("num_validation_samples", 10_000)
    return ImageDataModule(partial(read_files, "mnist", root, download), **options)


def cifar10(
    *, root: str | None = None, download: bool = True, **options: Unpack[ImageOptions]
) -> ImageDataModule:
    """CIFAR-10: 45,000 / 5,000 / 10,000 images of 3x32x32; the last are the official test."""
    options.setdefault("num_validation_samples", 5_000)
    return ImageDataModule(partial(read_files, "cifar10", root, download), **options)
