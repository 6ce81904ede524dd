"""The training of benchmarks/overhead.py, and three ways to run it without this project.

(a) a bare loop, (b) PyTorch Lightning, (d) Lightning with CodeCarbon; benchmarks/ours.py has the
others.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
from codecarbon import OfflineEmissionsTracker
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from typing_extensions import override

from bench.tasks.data import digits, fashion_mnist
from bench.tasks.images import ImageDataModule
from bench.tasks.loaders import Batch
from bench.tasks.models import Cnn, Mlp
from bench.tasks.quality import quality
from benchmarks.turns import Pacer

SEED = 0


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A training that is evaluated after every `every` steps."""

    name: str
    data_name: str  # an option of conf/data
    data: ImageDataModule
    make_network: Callable[..., nn.Module]
    batch_size: int
    lr: float
    every: int
    num_evaluations: int
    turn_steps: int  # divides `every`
    memory_format: torch.memory_format
    num_threads: int

    @property
    def num_steps(self) -> int:
        """Steps of the training, which ends with an evaluation."""
        return self.every * self.num_evaluations

    def network(self) -> nn.Module:
        """Make a new network, always with the same weights."""
        torch.manual_seed(SEED)
        network = self.make_network(self.data.input_shape, self.data.num_classes)
        return network.to(memory_format=self.memory_format)

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Make the optimizer that all ways use."""
        return torch.optim.SGD(parameters, lr=self.lr, momentum=0.9, nesterov=True)


class Paced:
    """A loader whose batches the pacer hands on."""

    def __init__(self, loader: Any, pacer: Pacer) -> None:
        self._loader, self._pacer = loader, pacer

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Batch]:
        return map(self._pacer.batch, self._loader)


class Data(pl.LightningDataModule):
    """The workload's splits, read once for all runs.

    Attributes:
        pacer: Paces training batches; None while a model is warmed up.
    """

    def __init__(self, source: ImageDataModule, pacer: Pacer | None = None) -> None:
        super().__init__()
        self.num_classes = source.num_classes
        self.input_shape = source.input_shape
        self.num_train_samples = source.num_train_samples
        self.pacer = pacer
        self._source = source

    @override
    def train_dataloader(self) -> Iterable[Batch]:
        loader = self._source.train_dataloader()
        return loader if self.pacer is None else Paced(loader, self.pacer)

    @override
    def val_dataloader(self) -> Iterable[Batch]:
        return self._source.val_dataloader()

    @override
    def test_dataloader(self) -> Iterable[Batch]:
        return self._source.test_dataloader()


def bare(workload: Workload, pacer: Pacer) -> None:
    """(a) A loop as written by hand."""
    network = workload.network()
    optimizer = workload.optimizer(network.parameters())
    data = Data(workload.data, pacer)
    loader = data.train_dataloader()
    epochs = itertools.chain.from_iterable(itertools.repeat(loader))
    for step, (images, labels) in enumerate(itertools.islice(epochs, workload.num_steps), 1):
        optimizer.zero_grad()
        logits = network(images.contiguous(memory_format=workload.memory_format))
        cross_entropy(logits, labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % workload.every == 0:
            pacer.evaluated(_evaluate(network, data.val_dataloader(), workload.memory_format))


def _evaluate(
    network: nn.Module, batches: Iterable[Batch], memory_format: torch.memory_format
) -> float:
    network.eval()
    with torch.inference_mode():
        outputs = [
            (network(images.contiguous(memory_format=memory_format)).float(), labels)
            for images, labels in batches
        ]
        logits, labels = (torch.cat(part) for part in zip(*outputs, strict=True))
        loss = quality(logits, labels)["loss"]
    network.train()
    return loss


class Plain(pl.LightningModule):
    """The same training as a LightningModule that measures nothing."""

    def __init__(self, workload: Workload, pacer: Pacer) -> None:
        super().__init__()
        self.network = workload.network()
        self._workload, self._pacer = workload, pacer
        self._outputs: list[Batch] = []

    @override
    def forward(self, images: Tensor) -> Tensor:
        contiguous = images.contiguous(memory_format=self._workload.memory_format)
        logits: Tensor = self.network(contiguous)
        return logits

    @override
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return cross_entropy(self(batch[0]), batch[1])

    @override
    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._outputs.append((self(batch[0]).float(), batch[1]))

    @override
    def on_validation_epoch_end(self) -> None:
        logits, labels = (torch.cat(part) for part in zip(*self._outputs, strict=True))
        self._outputs.clear()
        self._pacer.evaluated(quality(logits, labels)["loss"])

    @override
    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self._workload.optimizer(self.network.parameters())


def lightning(workload: Workload, pacer: Pacer) -> None:
    """(b) Lightning, with everything switched off that it does without being asked."""
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=workload.num_steps,
        max_epochs=-1,
        val_check_interval=workload.every,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    trainer.fit(Plain(workload, pacer), datamodule=Data(workload.data, pacer))


def with_codecarbon(workload: Workload, pacer: Pacer) -> None:
    """(d) Lightning with CodeCarbon's tracker, which is started and stopped off the clock."""
    tracker = OfflineEmissionsTracker(
        country_iso_code="USA",
        measure_power_secs=1,
        save_to_file=False,
        log_level="error",
        allow_multiple_runs=True,
    )
    tracker.start()
    try:
        lightning(workload, pacer)
    finally:
        tracker.stop()


def digits_mlp() -> Workload:
    """Steps below a millisecond: the worst case for anything done per step."""
    return Workload(
        name="digits",
        data_name="digits",
        data=digits(batch_size=32, seed=SEED),
        make_network=partial(Mlp, width=64, depth=2),
        batch_size=32,
        lr=0.05,
        every=32,
        num_evaluations=62,
        turn_steps=32,
        memory_format=torch.contiguous_format,
        # A second thread slows such steps down and doubles their spread.
        num_threads=1,
    )


def fashion_cnn() -> Workload:
    """Steps of tens of milliseconds on two cores."""
    return Workload(
        name="fashion",
        data_name="fashion_mnist",
        data=fashion_mnist(batch_size=256, seed=SEED, download=False),
        make_network=partial(Cnn, width=16, depth=3),
        batch_size=256,
        lr=0.05,
        every=50,
        num_evaluations=5,
        turn_steps=10,
        memory_format=torch.channels_last,
        num_threads=2,
    )


WORKLOADS = {"digits": digits_mlp, "fashion": fashion_cnn}
