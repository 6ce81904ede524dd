"""Checks what a run needs of its data and its model, before the clock, with a batch of each split.

Users bring both. What does not match is refused here in one line that names the part and what it
must give. Otherwise the run would fail after hours, or deep inside a library.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.model_helpers import is_overridden
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from bench.config.train import TrainConfig
from bench.core.errors import first_line
from bench.tasks.loaders import Batch
from bench.tasks.neutral import evaluating, unchanged
from bench.tasks.task import Task, describe
from bench.tasks.task_module import TaskModule
from bench.training.splits import (
    first_batch,
    pass_samples,
    require_same_order,
    require_size,
    split_batches,
)

# Lightning calls these hooks in its loops only, so quality and serving would see other images.
_HOOKS = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")
Precision = Callable[[], AbstractContextManager[None]]


class Examples(NamedTuple):
    """What the check found out, for the warm-up and for serving.

    Attributes:
        batch: A batch of the training split, on the device of the training.
        eval_sizes: The sizes of the batches of an evaluation, each once.
        changes_input: Whether the model writes into the inputs that it is given.
    """

    batch: Batch
    eval_sizes: Sequence[int]
    changes_input: bool


def require_network(network: Any, target: str) -> nn.Module:
    """Refuse a model that is not a module with weights that can be saved.

    Args:
        network: What the configuration's `_target_` returned.
        target: The `_target_`.

    Raises:
        ValueError: It is not a module, has lazy layers without weights, or has a state that cannot
            be saved.
    """
    if not isinstance(network, nn.Module):
        raise ValueError(f"model: {target} gave {describe(network)}, must give a torch.nn.Module")
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        if is_lazy(tensor):
            raise ValueError(
                f"model: {name} of {target} has no shape yet; give its layer the sizes, or have "
                f"{target} send one image through the model before returning it"
            )
    for name, value in network.state_dict().items():
        if isinstance(value, Tensor):
            continue
        try:  # an extra state that cannot be pickled would be lost after the training
            pickle.dumps(value)
        except Exception as error:  # a user's object may fail in any way
            reason = f"{type(error).__name__}: {error}"
            raise ValueError(
                f"model: {name} of {target} cannot be saved ({reason}); have "
                "get_extra_state() give numbers, texts, tensors, or lists and dicts of them"
            ) from error
    return network


def refuse_hooks(data: Any) -> None:
    """Refuse data that has a hook for batches.

    Raises:
        ValueError: A hook is overridden; the message names it.
    """
    for name in _HOOKS:
        if isinstance(data, pl.LightningDataModule) and is_overridden(name, data):
            raise ValueError(
                f"data: {name} would be called in training only, not where quality and serving are "
                "measured; change the samples in the data set or in the collate function"
            )


def check_contract(
    module: TaskModule,
    config: TrainConfig,
    *,
    device: torch.device,
    precision: Precision,
) -> Examples:
    """Send a batch of each split through model, loss and metrics.

    Call it where its effects on model and data are undone (bench.tasks.neutral.unchanged).

    Args:
        module: The module, on the device; the data of its task is set up.
        config: Has the batch size and the number of ranks.
        device: The device of the training.
        precision: Enters the precision of the training.

    Raises:
        ValueError: Data or model break the contract.
    """
    task = module.task
    inputs, targets = first_batch(task, "train_dataloader")
    # The batches of several ranks are checked when the ranks have met (bench.training.ranks).
    if config.trainer.num_ranks == 1:
        _require_batch_size(task, len(targets), config.batch_size)
    require_same_order(task)
    batch = (inputs.to(device), targets.to(device))
    _check_loss(module, batch, precision)
    changes_input = _check_evaluation(module, "val_dataloader", device, precision)
    _check_evaluation(module, "test_dataloader", device, precision)
    # A wrong target may be in any batch, so all are looked at.
    sizes = {len(targets) for _, targets in split_batches(task, "val_dataloader")}
    for _ in split_batches(task, "test_dataloader"):
        pass
    return Examples(batch, sorted(sizes), changes_input)


def _require_batch_size(task: Task, num: int, batch_size: int) -> None:
    """Refuse a first batch of another size than configured, or a pass of another length."""
    if num != batch_size:
        raise ValueError(
            f"data: train_dataloader gave {num} samples in its first batch, must give "
            f"batch_size={batch_size}"
        )
    require_size(task.num_train_examples, [pass_samples(task.data.train_dataloader(), num)], num)


def _check_loss(module: TaskModule, batch: Batch, precision: Precision) -> None:
    """Compute the loss of a training step."""
    inputs, targets = batch
    with precision():  # on copies, because a model may write into its input
        module.task.require_outputs(_outputs(module, inputs.clone(), "train_dataloader"), targets)
        loss = module.training_step((inputs.clone(), targets), 0)
    if not loss.requires_grad:
        raise ValueError("model: the loss depends on no parameter that is trained")
    # Only some optimizers take sparse gradients, which they find out in their first step.
    if any(getattr(part, "sparse", False) is True for part in module.network.modules()):
        loss.backward()  # type: ignore[no-untyped-call]
        _require_sparse_step(module)


@contextmanager
def types_explained(network: nn.Module, inputs: Tensor, place: str) -> Iterator[None]:
    """Explain the error of a model that meets inputs of another type; NumPy's are often float64.

    Args:
        network: The model that the block calls.
        inputs: What it is called with.
        place: What and where the inputs are.

    Raises:
        ValueError: The model does not take their type.
    """
    try:
        yield
    except RuntimeError as error:
        weights = {each.dtype for each in network.parameters() if each.is_floating_point()}
        # A model may convert its inputs itself, so another type alone is no error.
        if inputs.dtype in weights or len(weights) != 1 or "type" not in str(error):
            raise
        found, wanted = (str(kind).removeprefix("torch.") for kind in (inputs.dtype, *weights))
        raise ValueError(
            f"data: {place} are {found}, and the model takes {wanted} ({first_line(error)}); "
            "convert them in the data set"
        ) from error


def _outputs(module: TaskModule, inputs: Tensor, name: str) -> Any:
    with types_explained(module, inputs, f"{module.task.input_word} of {name}"):
        return module(inputs)


def _require_sparse_step(module: TaskModule) -> None:
    made = module.configure_optimizers()
    optimizer = made["optimizer"] if isinstance(made, dict) else made
    try:
        optimizer.step()
    except RuntimeError as error:
        raise ValueError(
            f"optimizer: {type(optimizer).__name__} cannot train the model's sparse embeddings "
            f"({first_line(error)}); use optimizer=sgd, or sparse=False in the model"
        ) from error


def _check_evaluation(
    module: TaskModule, name: str, device: torch.device, precision: Precision
) -> bool:
    """Send a batch through model and metrics; return whether the model writes into its input."""
    task = module.task
    inputs, targets = first_batch(task, name)
    before = inputs.clone()
    with evaluating(module), torch.no_grad(), precision():
        given = inputs.to(device)
        outputs = _outputs(module, given, name)
        task.require_outputs(outputs, targets)
    evaluation = task.evaluation("train")
    evaluation.update(outputs.float(), targets.to(device))
    evaluation.compute()
    if torch.equal(given.to(before.device), before):
        return False
    again, _ = first_batch(task, name)
    if torch.equal(again, inputs) and not torch.equal(again, before):
        raise ValueError(
            f"model: it changes its input in place, and {name} gives the same memory again: "
            "each evaluation would change the data; have the model work on a copy"
        )
    return True


def example_input(task: Task) -> Tensor:
    """Take the first input of the training split, shape (1, ...).

    Raises:
        ValueError: The training loader does not give inputs and targets.
    """
    with unchanged([], task.data):
        inputs, _ = first_batch(task, "train_dataloader")
    return inputs[:1]
