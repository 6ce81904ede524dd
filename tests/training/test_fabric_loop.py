"""The loop of Lightning Fabric gives the numbers of Lightning's Trainer, to the last bit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest
import torch
from pytorch_lightning.loggers import Logger
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from bench.cli.overrides import plain_values
from bench.config.train import TrainConfig
from bench.core.errors import DivergedError
from bench.core.identity import config_hash
from bench.core.records.curve import CurveRow
from bench.measure.window import Window
from bench.tasks.neutral import unchanged
from bench.training.fabric_loop import FabricTrainer
from bench.training.parts import Parts, build_task_parts
from bench.training.plan import check_values
from bench.training.profiler import nothing
from bench.training.rank import build_profiler, prepare_process
from tests.cli.planning import composed, plan
from tests.training.in_process import QUICK
from tests.training.unusual_parts import Data

HERE = "tests.training.test_fabric_loop"
LOOPS = ("lightning", "fabric")
PLAIN = ("trainer=cpu", "meter=none", "codecarbon=none", "trainer.num_warmup_steps=1")
THREAD = "trainer.num_threads=1"
TEXT = Path(__file__).parents[2] / "LICENSE"
OWN = ("model=custom", f"model._target_={HERE}.Dropping", "data=custom")


class Dropping(nn.Module):
    """Draws random numbers in each step, and has running statistics."""

    def __init__(self, *, input_shape: Any, num_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 3)
        )

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layers(images)
        return logits


class Shuffled(Data):
    """Draws its order, and noise on its samples, from the generator that dropout uses, too."""

    def train_dataloader(self) -> Any:
        split = TensorDataset(*self.splits["train"])
        return DataLoader(split, self.batch_size, shuffle=True, collate_fn=noisy)


class Streamed(Data):
    """A stream of unknown length."""

    def train_dataloader(self) -> Any:
        return DataLoader(Stream(*self.splits["train"]), self.batch_size, collate_fn=noisy)


class Resplit(Data):
    """Splits the data again whenever it is set up, and forgets it at the end."""

    def setup(self, stage: str) -> None:
        inputs, targets = self.splits["train"]
        order = torch.randperm(len(targets))
        self.splits["train"] = inputs[order], targets[order]

    def teardown(self, stage: str) -> None:
        self.batch_size = 0


class Stream(IterableDataset[tuple[Tensor, ...]]):
    def __init__(self, *tensors: Tensor) -> None:
        self.tensors = tensors

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        return iter(zip(*self.tensors, strict=True))


def noisy(samples: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    images = torch.stack([image for image, _ in samples])
    return images + torch.randn(images.shape), torch.stack([label for _, label in samples])


class Trained(NamedTuple):
    parts: Parts
    weights: dict[str, Tensor]
    rows: list[CurveRow]


@pytest.fixture(autouse=True)
def _process() -> Iterator[None]:
    num_threads = torch.get_num_threads()
    with unchanged([]):
        yield
    torch.set_num_threads(num_threads)


def configured(folder: Path, *overrides: str) -> dict[str, TrainConfig]:
    """The configuration with each loop."""
    config = check_values(plain_values(composed(folder, *PLAIN, THREAD, *overrides)))
    return {name: replace(config, trainer=replace(config.trainer, loop=name)) for name in LOOPS}


def train(config: TrainConfig, folder: Path | None = None) -> Trained:
    """Train as a run does."""
    prepare_process(config.trainer, config.seed)
    parts = build_task_parts(config, folder)
    parts.prepare({}, "model")
    rows: list[CurveRow] = []
    window = Window.time_only(parts.synchronize)
    parts.train(build_profiler(parts, window, on_row=rows.append, on_end=nothing))
    return Trained(parts, parts.weights(), rows)


def numbers(row: CurveRow) -> tuple[Any, ...]:
    """All of a row that does not depend on the clock."""
    return (row.samples, row.steps, row.epochs, row.train_loss, row.quality)


@pytest.mark.parametrize(
    "overrides",
    [
        # 1,077 samples: the last batch of an epoch is not full, and evaluations fall inside epochs.
        (
            *("data=digits", "model=mlp", "model.dropout=0.2", "batch_size=100", "lr=0.05"),
            *("optimizer=sgd", "schedule=one_cycle", "target.eval_every_samples=300"),
            *("budget.max_epochs=3", "target.value=0.99"),
        ),
        # Stops at its target, in the middle of the schedule.
        (
            *("data=digits", "model=cnn", "model.width=4", "batch_size=32", "lr=0.05"),
            *("optimizer=sgd", "schedule=cosine", "trainer.channels_last=true"),
            *("budget.max_epochs=4", "target.value=0.6", "target.eval_every_samples=300"),
        ),
        (
            *("task=regression", "data=diabetes", "model=mlp", "precision=bf16-mixed"),
            *("target.metric=r2", "target.value=0.99", "batch_size=25", "budget.max_epochs=2"),
            "target.eval_every_samples=99",
        ),
        (
            *("task=language_modelling", "data=text", "model=gpt", "model.dropout=0.1"),
            *("model.width=8", "model.heads=2", "model.depth=1", "batch_size=64"),
            *("target.metric=loss", "target.value=0.1", "budget.max_epochs=1"),
            *(f"data.path={TEXT}", "data.context=16", "target.eval_every_samples=3000"),
        ),
        (
            *("data=breast_cancer", "model=mlp", "precision=bf16-true", "batch_size=50"),
            *("target.metric=auroc", "target.value=1", "budget.max_epochs=2"),
            "target.eval_every_samples=100",
        ),
        (*QUICK, *OWN, f"data._target_={HERE}.Shuffled", "batch_size=5", "budget.max_epochs=7"),
        (*QUICK, *OWN, f"data._target_={HERE}.Streamed", "budget.max_epochs=7"),
        (*QUICK, *OWN, f"data._target_={HERE}.Resplit", "batch_size=2", "target.value=0.999"),
    ],
    ids=["mlp", "cnn", "regression", "gpt", "bf16-true", "shuffled", "stream", "resplit"],
)
def test_both_loops_train_the_same_model(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    lightning, fabric = (train(each) for each in configured(tmp_path, *overrides).values())
    assert isinstance(fabric.parts.trainer, FabricTrainer)
    assert len(lightning.rows) > 1
    assert list(map(numbers, fabric.rows)) == list(map(numbers, lightning.rows))
    assert fabric.weights.keys() == lightning.weights.keys()
    for name, weight in lightning.weights.items():
        assert torch.equal(fabric.weights[name], weight), name


@pytest.mark.parametrize(("lr", "status"), [("0.1", "success"), ("1e18", "failed")])
def test_the_logger_is_told_how_the_training_ended(tmp_path: Path, lr: str, status: str) -> None:
    config = configured(tmp_path, *QUICK, *OWN, f"data._target_={HERE}.Shuffled", f"lr={lr}")
    parts = build_task_parts(config["fabric"], None)
    parts.compile_and_warm_up()
    assert isinstance(parts.trainer, FabricTrainer)
    parts.trainer.logger = logger = mock.create_autospec(Logger, instance=True)
    window = Window.time_only(parts.synchronize)
    profiler = build_profiler(parts, window, on_row=nothing, on_end=nothing)
    with nullcontext() if status == "success" else pytest.raises(DivergedError):
        parts.train(profiler)
    logger.finalize.assert_called_once_with(status)


def test_data_without_a_batch_ends_the_training(tmp_path: Path) -> None:
    config = configured(tmp_path, *QUICK, *OWN, f"data._target_={HERE}.Shuffled")
    parts = build_task_parts(config["fabric"], None)
    parts.task.data.train_dataloader = lambda: []
    profiler = build_profiler(
        parts, Window.time_only(parts.synchronize), on_row=nothing, on_end=nothing
    )
    parts.train(profiler)
    assert not profiler.rows
    assert not profiler.finished


def test_the_loop_is_part_of_a_configuration_and_earlier_runs_had_lightning(
    tmp_path: Path,
) -> None:
    lightning, fabric = (
        plan(tmp_path, *PLAIN, "data=digits", f"trainer.loop={loop}") for loop in LOOPS
    )
    assert lightning.digest != fabric.digest
    assert fabric.config["trainer"]["loop"] == "fabric"
    del lightning.config["trainer"]["loop"]
    assert config_hash({**lightning.config, "seed": 0, "repeat": 0}) == lightning.digest


def test_a_module_of_the_users_needs_lightning(tmp_path: Path) -> None:
    own = ("task=module", "model=custom", "model._target_=my.Module", "trainer.loop=fabric")
    with pytest.raises(ValueError, match=r"trainer.loop=fabric: task=module .*loop=lightning$"):
        plan(tmp_path, *PLAIN, *own, "data=custom", "data._target_=my.Data", "target.mode=max")
