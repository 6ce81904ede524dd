"""The training loop of `trainer.loop=fabric`: Lightning Fabric, and nothing between two steps.

It does what Lightning's Trainer does with a TaskModule, in the same order, so that on a CPU both
give the same numbers to the last bit. It has no callbacks, and calls no hooks but an observer's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice, pairwise
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import Precision
from lightning_fabric.strategies.strategy import Strategy
from lightning_fabric.utilities.data import sized_len
from lightning_fabric.utilities.seed import reset_seed
from pytorch_lightning.loggers import Logger
from torch import Tensor, nn
from torch.utils.data import DataLoader
from typing_extensions import override

from bench.tasks.loaders import Batch
from bench.tasks.neutral import evaluating
from bench.tasks.task_module import Observer, TaskModule


class FabricTrainer:
    """Trains a module; the rest of the suite uses it as it uses a Trainer of Lightning.

    Attributes:
        should_stop: Whether to end after this step, with an evaluation. An observer may set it.
        logger: Receives what the run logs; None for none.
    """

    def __init__(
        self, fabric: Fabric, *, max_steps: int, every: int, logger: Logger | None = None
    ) -> None:
        """Take the devices.

        Args:
            fabric: Lightning Fabric with the devices, the strategy and the precision.
            max_steps: Optimizer steps at which the training ends.
            every: Steps between evaluations.
            logger: Lightning's logger.
        """
        self.should_stop = False
        self.logger = logger
        self.world_size = fabric.world_size
        self._fabric = fabric
        self._max_steps = max_steps
        self._every = every

    @property
    def strategy(self) -> Strategy:
        """Knows the device, and how the ranks exchange tensors."""
        return self._fabric.strategy

    @property
    def precision_plugin(self) -> Precision:
        """Enters the precision of the training."""
        return self._fabric.strategy.precision

    def fit(self, module: TaskModule, datamodule: Any) -> None:
        """Train until max_steps, or until the observer of the module asks to stop.

        Args:
            module: The module, with an observer.
            datamodule: Its data.
        """
        self._fabric.launch()  # the ranks meet
        if self.world_size > 1:
            reset_seed()
        datamodule.prepare_data()
        datamodule.setup("fit")
        try:
            self._train(module, datamodule)
        except BaseException:
            self._close_logger("failed")
            raise
        datamodule.teardown("fit")
        self._close_logger("success")

    def _train(self, module: TaskModule, data: Any) -> None:
        module.to(self._fabric.device)
        optimizer, schedule = module.make_optimizer()
        # The module itself and not Fabric's wrapper, which would round targets to half precision.
        compute_loss: Any = module.training_step
        if self.world_size > 1:
            compute_loss = self.strategy.setup_module(_TrainingStep(module))
        precision = self.precision_plugin
        observer, samples_per_row = module.observer, module.task.samples_per_example
        assert observer is not None, "it measures, and decides when to stop"
        train_loader = self._set_up(data.train_dataloader())  # the clock starts here
        val_loader = self._set_up(data.val_dataloader())
        keep_loss, step_ended = module.train_loss.add, observer.step_ended
        for step, batch in enumerate(self._endless(train_loader), 1):
            optimizer.zero_grad()  # first, so that the forward pass reuses its memory: 5 us
            with precision.forward_context():
                loss = compute_loss(batch, 0)
            precision.backward(loss, module)
            precision.optimizer_step(optimizer)
            if schedule is not None:
                schedule.step()
            keep_loss(loss.detach())
            step_ended(self, batch[1].size(0) * samples_per_row)
            if step % self._every == 0 or self.should_stop:
                self._evaluate(module, observer, val_loader)
            if step == self._max_steps or self.should_stop:
                break
        observer.training_ended(module)

    def _evaluate(self, module: TaskModule, observer: Observer, loader: Iterable[Batch]) -> None:
        # The ranks exchange tensors meanwhile, in which Gloo takes none of the inference mode.
        off = torch.inference_mode() if self.world_size == 1 else torch.no_grad()
        with off, evaluating(module):
            observer.validation_started()
            module.on_validation_epoch_start()
            for batch in self._batches(loader):
                with self.precision_plugin.forward_context():
                    module.validation_step(batch, 0)
            observer.validation_ended(self, module)

    def _endless(self, loader: Iterable[Batch]) -> Iterator[Batch]:
        """Batches of one epoch after the other; none if an epoch has none."""
        has_any = True
        while has_any:
            has_any = False
            for batch in self._batches(loader):
                has_any = True
                yield batch

    def _batches(self, loader: Iterable[Batch]) -> Iterator[Batch]:
        """Batches of one pass, on the device."""
        num = sized_len(loader)
        batches: Iterator[Any] = islice(iter(loader), num)
        if num is None:  # load one ahead, as Lightning does to see the end of a stream
            batches = (batch for batch, _ in pairwise(chain(batches, [None])))
        is_on_cpu = self._fabric.device.type == "cpu"
        return batches if is_on_cpu else map(self._fabric.to_device, batches)

    def _set_up(self, loader: Any) -> Any:
        """Have a DataLoader seed its workers, and a distributed sampler shuffle anew each epoch."""
        if not isinstance(loader, DataLoader):
            return loader
        return self._fabric.setup_dataloaders(
            loader, use_distributed_sampler=False, move_to_device=False
        )

    def _close_logger(self, status: str) -> None:
        if self.logger is not None:
            self.logger.finalize(status)


class _TrainingStep(nn.Module):
    """A training step as a module, which the ranks' gradients are synchronised through."""

    def __init__(self, module: TaskModule) -> None:
        super().__init__()
        self.module = module

    @override
    def forward(self, batch: Batch, batch_idx: int) -> Tensor:
        return self.module.training_step(batch, batch_idx)
