"""The LightningModule that every run trains. It neither measures nor logs anything itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import override

from bench.tasks.evaluation import Evaluation
from bench.tasks.loaders import Batch
from bench.tasks.task import Task

MakeOptimizer = Callable[[Iterable[nn.Parameter]], Optimizer]
MakeSchedule = Callable[[Optimizer], LRScheduler | None]


class AnyTrainer(Protocol):
    """What an observer needs of a trainer: Lightning's, or that of bench.training.fabric_loop.

    Attributes:
        should_stop: Whether to end the training; the observer sets it.
    """

    should_stop: bool

    @property
    def world_size(self) -> int:
        """The number of ranks."""

    @property
    def strategy(self) -> Any:
        """Knows the device of this rank, and broadcasts to the others."""


class Observer(Protocol):
    """Follows a training: the module calls it wherever Lightning calls the module.

    It is not a Lightning callback, because Lightning calls every hook of a callback, used or not.
    That takes 1 to 2% of a step of one millisecond.
    """

    def step_ended(self, trainer: AnyTrainer, num_samples: int | None) -> None:
        """A training step on this number of samples of this device has ended."""

    def validation_started(self) -> None:
        """An evaluation begins."""

    def validation_ended(self, trainer: AnyTrainer, module: TaskModule) -> None:
        """An evaluation has ended; its predictions are still in the module."""

    def training_ended(self, module: TaskModule) -> None:
        """The trainer has stopped without an error."""


class TrainLoss:
    """Keeps the losses of training steps on the device until their mean is needed.

    Logging each step would wait for the device, and cost more than a small step itself.
    """

    def __init__(self) -> None:
        """Start without a step."""
        self._losses: list[Tensor] = []

    def add(self, loss: Tensor) -> None:
        """Keep the loss of a step, a detached scalar."""
        self._losses.append(loss)

    def take_mean(self) -> float | None:
        """Take the mean loss in nats of the steps since the last call; None without a step.

        It is NaN if the loss of any step was. The call waits for the device.
        """
        if not self._losses:
            return None
        mean = torch.stack(self._losses).mean().item()
        self._losses.clear()
        return mean


class TaskModule(pl.LightningModule):
    """A network that learns a task."""

    def __init__(
        self,
        network: nn.Module,
        task: Task,
        make_optimizer: MakeOptimizer,
        make_schedule: MakeSchedule,
        channels_last: bool,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Take the network; Lightning has its optimizer made when training starts.

        Args:
            network: Maps inputs (n, ...) to the outputs of the task.
            task: Has the loss and the qualities.
            make_optimizer: Makes the optimizer of some parameters.
            make_schedule: Makes the schedule of an optimizer; None keeps its learning rate.
            channels_last: Keep images and weights in memory with the channels last, which is often
                faster for convolutions.
            dtype: Convert the weights to this type, compute in it, and give outputs in float32, in
                which the loss is computed; None leaves all types as they are.
        """
        super().__init__()
        self._compute_dtype = dtype
        self._memory_format = torch.channels_last if channels_last else torch.contiguous_format
        # Weights and images must have the same layout, or each step would convert one of them.
        self.network = network.to(memory_format=self._memory_format)
        if dtype is not None:
            self.network = self.network.to(dtype)
        # Whether each call of the network may overwrite the outputs of the last one, as CUDA graphs
        # do. Training has used them by then, but evaluations keep them.
        self.reuses_outputs = False
        self._make_optimizer = make_optimizer
        self._make_schedule = make_schedule
        self.task = task
        self.observer: Observer | None = None
        self.train_loss = TrainLoss()
        self._evaluation: Evaluation | None = None

    def networks(self) -> list[nn.Module]:
        """All modules that a training step runs."""
        return [self.network]

    @override
    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs of inputs (n, ...)."""
        if self._compute_dtype is not None:
            return self._forward_in(self._compute_dtype, inputs)
        outputs: Tensor = self.network(inputs.contiguous(memory_format=self._memory_format))
        if self.reuses_outputs and not torch.is_grad_enabled():
            return outputs.clone()
        return outputs

    def _forward_in(self, dtype: torch.dtype, inputs: Tensor) -> Tensor:
        """Compute in another type; what the network creates has it, too, as with Lightning."""
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            inputs = self.as_input(inputs).contiguous(memory_format=self._memory_format)
            outputs: Tensor = self.network(inputs)
        finally:
            torch.set_default_dtype(before)
        return outputs.float()

    def as_input(self, inputs: Tensor) -> Tensor:
        """The inputs in the type that the network computes in; tokens stay whole numbers."""
        if self._compute_dtype is None or not inputs.is_floating_point():
            return inputs
        return inputs.to(self._compute_dtype)

    @override
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of a batch, a scalar."""
        inputs, targets = batch
        # Nothing is logged here: self.log() would take longer than a small step. And nothing hooks
        # into this module, so it need not be called, which takes 3 us.
        return self.task.loss(self.forward(inputs), targets)

    @override
    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Keep the loss, which Lightning has detached, and notify the observer."""
        self.train_loss.add(outputs["loss"])
        if self.observer is not None:
            num_samples = batch[1].size(0) * self.task.samples_per_example
            self.observer.step_ended(self.trainer, num_samples)

    @override
    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """Move a batch to the device; on a CPU it is there, and looking at it takes 5 us."""
        if device.type == "cpu":
            return batch
        moved: Batch = super().transfer_batch_to_device(batch, device, dataloader_idx)
        return moved

    @override
    def on_validation_start(self) -> None:
        """Notify the observer."""
        if self.observer is not None:
            self.observer.validation_started()

    @override
    def on_validation_end(self) -> None:
        """Notify the observer."""
        if self.observer is not None:
            self.observer.validation_ended(self.trainer, self)

    @override
    def on_train_end(self) -> None:
        """Notify the observer."""
        if self.observer is not None:
            self.observer.training_ended(self)

    @override
    def on_validation_epoch_start(self) -> None:
        """Begin a new evaluation, without the batches of an earlier one."""
        self._evaluation = self.task.evaluation("val")

    @override
    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add the outputs and targets of a batch to the evaluation."""
        inputs, targets = batch
        assert self._evaluation is not None, "Lightning begins the epoch before its batches"
        self._evaluation.update(self(inputs).float(), targets)

    def take_validation_quality(self) -> dict[str, float]:
        """Compute the quality over all validation batches of this evaluation, and drop them.

        Raises:
            ValueError: There was no validation batch.
        """
        evaluation, self._evaluation = self._evaluation, None
        if evaluation is None or not evaluation.num_samples:
            raise ValueError("the validation loader gave no batch: it needs at least one sample")
        return evaluation.compute()

    def make_optimizer(self) -> tuple[Optimizer, LRScheduler | None]:
        """Make the optimizer, and its schedule, which advances after every batch."""
        optimizer = self._make_optimizer(self.network.parameters())
        return optimizer, self._make_schedule(optimizer)

    @override
    def configure_optimizers(self) -> Any:
        """What make_optimizer() makes, as Lightning takes it."""
        optimizer, schedule = self.make_optimizer()
        if schedule is None:
            return optimizer
        return {
            "optimizer": optimizer,
            # By step: the schedule is defined over steps, and a run may end within an epoch.
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }
