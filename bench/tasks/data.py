"""The data sets of conf/data, and what a run needs of any data module.

Splits and standardisation never depend on the run's seed, because runs with different seeds are
repeats of one task. Data is read and prepared in setup(), before the clock starts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import partial
from typing import Any, Protocol

import pytorch_lightning as pl

from bench.tasks.image_files import read_digits
from bench.tasks.images import ImageDataModule
from bench.tasks.loaders import Batch
from bench.tasks.sources import read_files


class DataModule(Protocol):
    """What a run needs of a data module. Any LightningDataModule with these attributes will do.

    num_classes, input_shape (channels, height, width) and num_train_samples (the samples of one
    pass) are read after setup(). Batches are pairs of images (n, c, h, w) and labels (n,).

    The training loaders of all ranks together give batch_size samples per step, different ones on
    each rank. A loader of full batches only (drop_last) is best: a smaller batch may have to be
    compiled for on the clock. The other loaders give their whole split on every rank.
    """

    num_classes: int
    input_shape: tuple[int, int, int]
    num_train_samples: int

    def prepare_data(self) -> None:
        """Download what is needed."""

    def setup(self, stage: str) -> None:
        """Make the splits; a second call does nothing."""

    def train_dataloader(self) -> Iterable[Batch]:
        """Batches to train on."""

    def val_dataloader(self) -> Iterable[Batch]:
        """Batches that decide when the target is reached."""

    def test_dataloader(self) -> Iterable[Batch]:
        """Batches that no decision depends on."""


def require_loaders(kind: Any, target: str, optional: Collection[str] = ()) -> None:
    """Refuse a class of data that has no loader for one of the splits.

    What the loaders of an object give is checked later (bench.training.contract).

    Args:
        kind: The class or function that the configuration's `_target_` names.
        target: The `_target_`.
        optional: Loaders that it may do without.

    Raises:
        ValueError: It is a LightningDataModule without such a method; the message names it.
    """
    # A function, or a class of another kind, only shows its loaders when it is called.
    if not (isinstance(kind, type) and issubclass(kind, pl.LightningDataModule)):
        return
    for name, use in _LOADERS.items():
        if name in optional:
            continue
        if getattr(kind, name) is getattr(pl.LightningDataModule, name):
            raise ValueError(f"data: {target} has no {name}; a run needs one {use}")


_LOADERS = {
    "train_dataloader": "to train on",
    "val_dataloader": "that decides when the target is reached",
    "test_dataloader": "with samples that no decision depends on",
}


def test_batches(data: Any) -> Iterable[Batch]:
    """Load the test split of a data module.

    setup("test") is called only if setup("fit") made no test split: a data module that ignores the
    stage would draw its splits again.

    Raises:
        ValueError: There is no test split; the message has the reason.
    """
    try:
        return _loader(data)
    except Exception:  # without its setup("test"), a user's module may fail in any way
        data.setup("test")
    try:
        return _loader(data)
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"data: test_dataloader gave no test split ({reason}); a run needs one with "
            "samples that no decision depends on"
        ) from error


def _loader(data: Any) -> Iterable[Batch]:
    loader: Iterable[Batch] = data.test_dataloader()
    if loader is None:
        raise ValueError("it returned None")
    return loader


def digits(**options: Any) -> ImageDataModule:
    """The digits that come with scikit-learn: 1,077 / 360 / 360 images of 1x8x8."""
    options.setdefault("num_validation_samples", 360)
    return ImageDataModule(read=partial(read_digits, options.get("split_seed", 0)), **options)


def fashion_mnist(
    *, root: str | None = None, download: bool = True, **options: Any
) -> ImageDataModule:
    """Fashion-MNIST: 50,000 / 10,000 / 10,000 images of 1x28x28; the last are the official test."""
    options.setdefault("num_validation_samples", 10_000)
    return ImageDataModule(read=partial(read_files, "fashion_mnist", root, download), **options)


def mnist(*, root: str | None = None, download: bool = True, **options: Any) -> ImageDataModule:
    """MNIST: 50,000 / 10,000 / 10,000 images of 1x28x28; the last are the official test."""
    options.setdefault("num_validation_samples", 10_000)
    return ImageDataModule(read=partial(read_files, "mnist", root, download), **options)


def cifar10(*, root: str | None = None, download: bool = True, **options: Any) -> ImageDataModule:
    """CIFAR-10: 45,000 / 5,000 / 10,000 images of 3x32x32; the last are the official test."""
    options.setdefault("num_validation_samples", 5_000)
    return ImageDataModule(read=partial(read_files, "cifar10", root, download), **options)
