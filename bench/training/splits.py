"""Checks what the loaders of a user's data give, before the clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from lightning_fabric.utilities.data import sized_len
from torch import Tensor

from bench.tasks.data import DataModule, test_batches
from bench.tasks.loaders import Batch
from bench.tasks.neutral import unchanged
from bench.tasks.quality import require_classes

_LABELS = (torch.int64, torch.uint8)  # the types of classes that torch's cross-entropy takes
_NUM_LABELS = 64  # labels that are compared: enough to tell two orders apart


def first_batch(data: DataModule, name: str) -> Batch:
    """Load the first batch of a split; see split_batches()."""
    return next(split_batches(data, name))


def split_batches(data: DataModule, name: str, loader: Any = None) -> Iterator[Batch]:
    """Load the batches of a split and check each of them.

    Args:
        data: Has the shape of an image and the number of classes.
        name: The method that gives the loader, such as `val_dataloader`.
        loader: The loader, if the method must not be called again.

    Raises:
        ValueError: It is not a loader, gives no batch, or a batch that is not images and labels.
    """
    if loader is None:
        loader = test_batches(data) if name == "test_dataloader" else getattr(data, name)()
    if isinstance(loader, Sequence | dict) or not isinstance(loader, Iterable):
        raise ValueError(f"data: {name} must give one loader, gave {describe(loader)}")
    empty = True
    for batch in loader:
        empty = False
        yield _checked(data, name, batch)
    if empty:
        raise ValueError(f"data: {name} gave no batch; it needs at least one sample")


def _checked(data: DataModule, name: str, batch: Any) -> Batch:
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise ValueError(f"data: a batch of {name} must be (images, labels), is {describe(batch)}")
    images, labels = batch
    for part, value in (("images", images), ("labels", labels)):
        if not isinstance(value, Tensor):
            raise ValueError(
                f"data: {part} of {name} must be a torch.Tensor, are {describe(value)}"
            )
    shape = tuple(data.input_shape)
    if images.ndim == 0 or tuple(images.shape[1:]) != shape:
        raise ValueError(
            f"data: images of {name} must be of shape (n, {shape_text(shape)}) by input_shape, "
            f"are of shape ({shape_text(images.shape)})"
        )
    if labels.shape != images.shape[:1] or labels.dtype not in _LABELS:
        raise ValueError(
            f"data: labels of {name} must be int64 of shape ({len(images)},), are "
            f"{str(labels.dtype).removeprefix('torch.')} of shape ({shape_text(labels.shape)})"
        )
    require_classes(labels, data.num_classes, where=f"data: {name}")
    return images, labels


def require_same_order(data: DataModule) -> None:
    """Refuse training data that gives other samples when it is read again.

    Samples read before the clock would then be missing from the training. Labels are compared
    instead of images, because a data set may change images at random each time.

    Args:
        data: Its state is put back after each reading.

    Raises:
        ValueError: The second reading gave other labels than the first.
    """
    readings = []
    for _ in range(2):
        with unchanged([], data):
            readings.append(_first_labels(data))
    if readings[0] != readings[1]:
        raise ValueError(
            "data: train_dataloader gave other samples when it was asked again, so what is checked "
            "before the clock would be missing from the training; have each call begin anew, in an "
            "order that the seed gives"
        )


def _first_labels(data: DataModule) -> list[int]:
    labels: list[int] = []
    for _, more in split_batches(data, "train_dataloader"):
        labels += more.tolist()
        if len(labels) >= _NUM_LABELS:
            break
    return labels


def pass_samples(loader: Any, batch_size: int) -> int | None:
    """Estimate the samples of one pass of a loader; None if it has no length.

    Args:
        loader: A loader, whose last batch may be smaller.
        batch_size: The size of its first batch.
    """
    num_batches = sized_len(loader)
    return None if num_batches is None else num_batches * batch_size


def require_size(num_train_samples: int, passes: Sequence[int | None], batch_size: int) -> None:
    """Refuse a number of training samples that does not match the loaders.

    Args:
        num_train_samples: The number that the data gives.
        passes: pass_samples() of each rank. The ranks may share the split, or each read all of it.
        batch_size: Samples of a step of all ranks; a difference of less is due to rounding.

    Raises:
        ValueError: Neither the sum of the passes nor one of them is that number.
    """
    if None in passes:
        return
    known = [num for num in passes if num is not None]
    total = sum(known)
    if all(abs(num - num_train_samples) >= batch_size for num in (total, *known)):
        raise ValueError(
            f"data: num_train_samples is {num_train_samples}, but one pass of train_dataloader "
            f"gives about {total}; give the samples of a pass, which epochs are counted by"
        )


def describe(value: Any) -> str:
    """Say what a value is, for an error: `a list of 2`, `a Tensor`."""
    name = type(value).__name__
    return f"a {name} of {len(value)}" if isinstance(value, tuple | list | dict) else f"a {name}"


def shape_text(shape: Sequence[int]) -> str:
    """Write numbers for an error: `1, 8, 8`."""
    return ", ".join(map(str, shape))
