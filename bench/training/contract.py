"""What a run asks of its data and its model, checked before the clock with a batch of each split.

Users bring both. What does not fit is refused here in one line that names the part and what it
should have given, not after hours of training and not from deep inside a library.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.model_helpers import is_overridden
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from bench.tasks.classifier import Classifier
from bench.tasks.data import DataModule
from bench.tasks.loaders import Batch
from bench.tasks.neutral import evaluating, unchanged
from bench.tasks.quality import quality
from bench.training.splits import (
    batches_of,
    first_batch,
    kind_of,
    listed,
    pass_samples,
    require_same_order,
    require_size,
)

# Lightning's loops call these, and nothing else does.
_HOOKS = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")
Precision = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, kw_only=True)
class Examples:
    """What the check found out.

    Attributes:
        batch: Of the training split, on the device of the training.
        eval_sizes: Sizes of the batches in an evaluation, each once.
        changes_input: Whether the model writes into the images that it is given.
    """

    batch: Batch
    eval_sizes: Sequence[int]
    changes_input: bool


def require_network(network: Any, target: str) -> nn.Module:
    """The model, which must be a module.

    Args:
        network: What the configuration's `_target_` gave.
        target: That `_target_`.

    Raises:
        ValueError: It is something else, has lazy layers whose weights do not exist yet, or has a
            state that cannot be saved.
    """
    if not isinstance(network, nn.Module):
        raise ValueError(f"model: {target} gave {kind_of(network)}, must give a torch.nn.Module")
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        if is_lazy(tensor):
            raise ValueError(
                f"model: {name} of {target} has no shape yet; give its layer the sizes, or have "
                f"{target} send one image through the model before returning it"
            )
    _require_savable(network, target)
    return network


def _require_savable(network: nn.Module, target: str) -> None:
    """Refuse what get_extra_state() gives if the checkpoint could not be written, after all."""
    for name, value in network.state_dict().items():
        if isinstance(value, Tensor):
            continue
        try:
            pickle.dumps(value)
        except Exception as error:  # a user's object may fail in any way
            reason = f"{type(error).__name__}: {error}"
            raise ValueError(
                f"model: {name} of {target} cannot be saved ({reason}); have "
                "get_extra_state() give numbers, texts, tensors, or lists and dicts of them"
            ) from error


def require_attributes(data: Any) -> None:
    """Refuse data without what is read after its setup(), or that changes batches on their way.

    Raises:
        ValueError: An attribute is missing or no number, or a hook is overridden; the message names
            it.
    """
    for name in _HOOKS:
        if isinstance(data, pl.LightningDataModule) and is_overridden(name, data):
            raise ValueError(
                f"data: {name} would be called in training only, not where quality and serving are "
                "measured; change the samples in the data set or in the collate function"
            )
    for name, remedy in _EXPECTED.items():
        if not hasattr(data, name):
            raise ValueError(f"data: {name} is missing after setup(); {remedy}")
    for name in ("num_classes", "num_train_samples"):
        value = getattr(data, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"data: {name} is {value!r}, must be a whole number of at least 1")


_EXPECTED = {
    "num_classes": "give the number of classes",
    "input_shape": "give (channels, height, width) of one image",
    "num_train_samples": "give the number of samples in the training split",
}


def check_contract(
    module: Classifier,
    data: DataModule,
    *,
    batch_size: int,
    num_ranks: int,
    device: torch.device,
    precision: Precision,
) -> Examples:
    """Send a batch of each split through model, loss and metrics.

    Call it where nothing that it does is kept (bench.tasks.neutral.unchanged).

    Args:
        module: On the device.
        data: After setup("fit").
        batch_size: Of all ranks together.
        num_ranks: Processes that train together; their shares are looked at when they have met.
        device: Of the training.
        precision: As in training.

    Raises:
        ValueError: Data or model break the contract.
    """
    check = _Check(module, data, device, precision)
    images, labels = first_batch(data, "train_dataloader")
    if num_ranks == 1:
        _require_batch_size(data, len(labels), batch_size)
    require_same_order(data)
    batch = (images.to(device), labels.to(device))
    check.loss(batch)
    changes_input = check.evaluation("val_dataloader")
    check.evaluation("test_dataloader")
    sizes = {len(labels) for _, labels in batches_of(data, "val_dataloader")}
    for _ in batches_of(data, "test_dataloader"):  # each is checked
        pass
    return Examples(batch=batch, eval_sizes=sorted(sizes), changes_input=changes_input)


def _require_batch_size(data: DataModule, num: int, batch_size: int) -> None:
    """Refuse a first batch of another size than configured, or a pass of another length."""
    if num != batch_size:
        raise ValueError(
            f"data: train_dataloader gave {num} samples in its first batch, must give "
            f"batch_size={batch_size}"
        )
    require_size(data.num_train_samples, [pass_samples(data.train_dataloader(), num)], num)


def example_input(data: DataModule) -> Tensor:
    """The first image of the training split, shape (1, c, h, w).

    Raises:
        ValueError: The training loader does not give images and labels.
    """
    with unchanged([], data):
        images, _ = first_batch(data, "train_dataloader")
    return images[:1]


@dataclass(frozen=True)
class _Check:
    """The parts that are looked at."""

    _module: Classifier
    _data: DataModule
    _device: torch.device
    _precision: Precision

    def loss(self, batch: Batch) -> None:
        """The loss of a training step."""
        images, labels = batch
        with self._precision():  # each time a copy: a model may write into its input
            self._require_logits(self._module(images.clone()), len(labels))
            loss = self._module.training_step((images.clone(), labels), 0)
        if not loss.requires_grad:
            raise ValueError("model: the loss depends on no parameter that is trained")

    def evaluation(self, name: str) -> bool:
        """A batch through the model and the metrics; whether the model writes into its input."""
        images, labels = first_batch(self._data, name)
        before = images.clone()
        with evaluating(self._module), torch.no_grad(), self._precision():
            given = images.to(self._device)
            logits = self._module(given)
            self._require_logits(logits, len(labels))
        quality(logits.float(), labels.to(self._device))
        if torch.equal(given.to(before.device), before):
            return False
        self._require_fresh(name, images, before)
        return True

    def _require_fresh(self, name: str, images: Tensor, before: Tensor) -> None:
        """Refuse data that hands out again what the model has written into."""
        again, _ = first_batch(self._data, name)
        if torch.equal(again, images) and not torch.equal(again, before):
            raise ValueError(
                f"model: it changes its input in place, and {name} gives the same memory again: "
                "each evaluation would change the data; have the model work on a copy"
            )

    def _require_logits(self, logits: Any, num: int) -> None:
        """More columns than classes are fine: a model may have classes that it rules out."""
        num_classes = self._data.num_classes
        wanted = f"model: must give logits of shape ({num}, {num_classes})"
        if not isinstance(logits, Tensor):
            raise ValueError(f"{wanted}, gave {kind_of(logits)}")
        if logits.ndim != 2 or len(logits) != num or logits.shape[1] < num_classes:
            raise ValueError(f"{wanted}, gave shape ({listed(logits.shape)})")
