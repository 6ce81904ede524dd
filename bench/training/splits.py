"""What the loaders of a user's data must give, looked at before the clock."""

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

_LABELS = (torch.int64, torch.uint8)  # what torch's cross-entropy takes for classes
_NUM_LABELS = 64  # of an order: enough to tell two apart


def first_batch(data: DataModule, name: str) -> Batch:
    """The first batch of a split; as batches_of()."""
    return next(batches_of(data, name))


def batches_of(data: DataModule, name: str, loader: Any = None) -> Iterator[Batch]:
    """The batches of a split, each checked.

    Args:
        data: Has the shape of an image and the number of classes.
        name: The method that gives the loader, such as `val_dataloader`.
        loader: The loader, where it was given already.

    Raises:
        ValueError: It is no loader, gives no batch, or a batch that is not images and labels.
    """
    if loader is None:
        loader = test_batches(data) if name == "test_dataloader" else getattr(data, name)()
    if isinstance(loader, Sequence | dict) or not isinstance(loader, Iterable):
        raise ValueError(f"data: {name} must give one loader, gave {kind_of(loader)}")
    empty = True
    for batch in loader:
        empty = False
        yield _checked(data, name, batch)
    if empty:
        raise ValueError(f"data: {name} gave no batch; it needs at least one sample")


def _checked(data: DataModule, name: str, batch: Any) -> Batch:
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise ValueError(f"data: a batch of {name} must be (images, labels), is {kind_of(batch)}")
    images, labels = batch
    for part, value in (("images", images), ("labels", labels)):
        if not isinstance(value, Tensor):
            raise ValueError(f"data: {part} of {name} must be a torch.Tensor, are {kind_of(value)}")
    shape = tuple(data.input_shape)
    if images.ndim == 0 or tuple(images.shape[1:]) != shape:
        raise ValueError(
            f"data: images of {name} must be of shape (n, {listed(shape)}) by input_shape, "
            f"are of shape ({listed(images.shape)})"
        )
    if labels.shape != images.shape[:1] or labels.dtype not in _LABELS:
        raise ValueError(
            f"data: labels of {name} must be int64 of shape ({len(images)},), are "
            f"{str(labels.dtype).removeprefix('torch.')} of shape ({listed(labels.shape)})"
        )
    require_classes(labels, data.num_classes, where=f"data: {name}")
    return images, labels


def _first_labels(data: DataModule) -> list[int]:
    """Labels of the first training batches, until there are enough or the pass ends."""
    labels: list[int] = []
    for _, more in batches_of(data, "train_dataloader"):
        labels += more.tolist()
        if len(labels) >= _NUM_LABELS:
            break
    return labels


def require_same_order(data: DataModule) -> None:
    """Refuse training data of which a look takes samples away that cannot be put back.

    Labels are compared, not images, which a data set may change at random each time.

    Args:
        data: Whose state is put back after each look.

    Raises:
        ValueError: A second look met other labels than the first.
    """
    looks = []
    for _ in range(2):
        with unchanged([], data):
            looks.append(_first_labels(data))
    if looks[0] != looks[1]:
        raise ValueError(
            "data: train_dataloader gave other samples when it was asked again, so what is checked "
            "before the clock would be missing from the training; have each call begin anew, in an "
            "order that the seed gives"
        )


def pass_samples(loader: Any, batch_size: int) -> int | None:
    """About how many samples one pass of a loader gives; None where it has no length.

    Args:
        loader: A loader, whose last batch may be smaller.
        batch_size: Of its first batch.
    """
    num_batches = sized_len(loader)
    return None if num_batches is None else num_batches * batch_size


def require_size(num_train_samples: int, passes: Sequence[int | None], batch_size: int) -> None:
    """Refuse a number of samples that is not what the training loaders go through.

    Args:
        num_train_samples: As the data gives it.
        passes: pass_samples() of each rank. The ranks may share the split, or each go through all.
        batch_size: Of all ranks together; up to a batch more or less is rounding.

    Raises:
        ValueError: Neither the sum nor each of the passes is that number.
    """
    known = [num for num in passes if num is not None]
    found = {sum(known), *known}
    if len(known) == len(passes) and all(
        abs(num - num_train_samples) >= batch_size for num in found
    ):
        raise ValueError(
            f"data: num_train_samples is {num_train_samples}, but one pass of train_dataloader "
            f"gives about {sum(known)}; give the samples of a pass, which epochs are counted by"
        )


def kind_of(value: Any) -> str:
    """What something is, for an error: `a list of 2`, `a Tensor`."""
    name = type(value).__name__
    return f"a {name} of {len(value)}" if isinstance(value, tuple | list | dict) else f"a {name}"


def listed(shape: Sequence[int]) -> str:
    """Numbers for an error: `1, 8, 8`."""
    return ", ".join(map(str, shape))
