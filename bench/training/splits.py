"""Checks what the loaders of a user's data give, before the clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from lightning_fabric.utilities.data import sized_len
from torch import Tensor

from bench.tasks.data import test_batches
from bench.tasks.loaders import Batch
from bench.tasks.neutral import unchanged
from bench.tasks.task import Task, describe, shape_text

_NUM_TARGETS = 64  # targets that are compared: enough to tell two orders apart


def first_batch(task: Task, name: str) -> Batch:
    """Load the first batch of a split; see split_batches()."""
    return next(split_batches(task, name))


def split_batches(task: Task, name: str, loader: Any = None) -> Iterator[Batch]:
    """Load the batches of a split and check each of them.

    Args:
        task: Has the data, and knows what its inputs and targets are.
        name: The method that gives the loader, such as `val_dataloader`.
        loader: The loader, if the method must not be called again.

    Raises:
        ValueError: It is not a loader, gives no batch, or a batch that is not inputs and targets.
    """
    data = task.data
    if loader is None:
        loader = test_batches(data) if name == "test_dataloader" else getattr(data, name)()
    if isinstance(loader, Sequence | dict) or not isinstance(loader, Iterable):
        raise ValueError(f"data: {name} must give one loader, gave {describe(loader)}")
    empty = True
    for batch in loader:
        empty = False
        yield _checked(task, name, batch)
    if empty:
        raise ValueError(f"data: {name} gave no batch; it needs at least one sample")


def _checked(task: Task, name: str, batch: Any) -> Batch:
    words = (task.input_word, task.target_word)
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise ValueError(
            f"data: a batch of {name} must be ({', '.join(words)}), is {describe(batch)}"
        )
    inputs, targets = batch
    for part, value in zip(words, batch, strict=True):
        if not isinstance(value, Tensor):
            raise ValueError(
                f"data: {part} of {name} must be a torch.Tensor, are {describe(value)}"
            )
    shape = tuple(task.data.input_shape)
    if inputs.ndim == 0 or tuple(inputs.shape[1:]) != shape:
        raise ValueError(
            f"data: {task.input_word} of {name} must be of shape (n, {shape_text(shape)}) by "
            f"input_shape, are of shape ({shape_text(inputs.shape)})"
        )
    if inputs.is_floating_point() and bool(inputs.isnan().any()):
        raise ValueError(
            f"data: {task.input_word} of {name} have NaN in them; fill the missing values, or "
            "leave these samples out"
        )
    task.require_targets(targets, len(inputs), name)
    return inputs, targets


def require_same_order(task: Task) -> None:
    """Refuse training data that gives other samples when it is read again.

    Samples read before the clock would then be missing from the training. Targets are compared
    instead of inputs, because a data set may change images at random each time.

    Args:
        task: The state of its data is put back after each reading.

    Raises:
        ValueError: The second reading gave other targets than the first.
    """
    readings = []
    for _ in range(2):
        with unchanged([], task.data):
            readings.append(_first_targets(task))
    if readings[0] != readings[1]:
        raise ValueError(
            "data: train_dataloader gave other samples when it was asked again, so what is checked "
            "before the clock would be missing from the training; have each call begin anew, in an "
            "order that the seed gives"
        )


def _first_targets(task: Task) -> list[float]:
    targets: list[float] = []
    for _, more in split_batches(task, "train_dataloader"):
        targets += more.flatten().tolist()
        if len(targets) >= _NUM_TARGETS:
            break
    return targets


def pass_samples(loader: Any, num_samples: int) -> int | None:
    """Estimate the samples of one pass of a loader; None if it has no length.

    Args:
        loader: A loader, whose last batch may be smaller.
        num_samples: The samples of its first batch.
    """
    num_batches = sized_len(loader)
    return None if num_batches is None else num_batches * num_samples


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
