"""Way (c) of benchmarks/overhead.py: this project's training, wired as bench.training.job does."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir

from bench.cli.app import register
from bench.cli.overrides import plain_values
from bench.config.train import TrainConfig
from bench.core.files import config_dir
from bench.core.records.curve import CurveRow
from bench.core.store import CurveWriter
from bench.measure.sampler import write_telemetry
from bench.runs.instruments import build_window
from bench.tasks.find_task import make_task
from bench.tasks.schedules import constant
from bench.tasks.task_module import TaskModule
from bench.training.job import save_weights
from bench.training.loop import build_trainer, train_to_target
from bench.training.parts import Parts
from bench.training.plan import check_values
from bench.training.rank import build_profiler
from benchmarks.turns import Pacer
from benchmarks.ways import Data, Workload


def ours(workload: Workload, pacer: Pacer) -> None:
    """(c) Run this project's training with its default meters, sampler, CodeCarbon and curve.

    All of these start before the clock and stop after it, as in a run.
    """
    train(workload, pacer, "lightning")


def ours_with_fabric(workload: Workload, pacer: Pacer) -> None:
    """(e) Run the same with trainer.loop=fabric."""
    train(workload, pacer, "fabric")


def train(workload: Workload, pacer: Pacer, loop: str) -> None:
    """Train with one of the loops, and with everything that a run measures by default."""
    config = configuration(workload, loop)
    data = Data(workload.data)
    parts = build(workload, data, config)
    window = build_window(config, parts.synchronize)
    window.open()
    parts.compile_and_warm_up()
    data.pacer = pacer
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        curve = CurveWriter(folder)

        def keep(row: CurveRow) -> None:
            assert row.quality["loss"] is not None
            pacer.evaluated(row.quality["loss"])
            curve.append(row)

        profiler = build_profiler(
            parts,
            window,
            on_row=keep,
            on_end=lambda _: save_weights(folder / "checkpoint.pt", parts.weights()),
        )
        try:
            train_to_target(parts.module, profiler, parts.trainer)
        finally:
            curve.close()
            write_telemetry(folder / "telemetry.parquet", window.telemetry())
            window.close()


def configuration(workload: Workload, loop: str) -> TrainConfig:
    """The default configuration of `bench.train`, with a target that stops nothing."""
    register()
    overrides = [
        f"data={workload.data_name}",
        f"batch_size={workload.batch_size}",
        f"target.eval_every_samples={workload.every * workload.batch_size}",
        "target.rule=final",
        "trainer=cpu",
        f"trainer.loop={loop}",
    ]
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return check_values(plain_values(compose("train", overrides=overrides)))


def build(workload: Workload, data: Data, config: TrainConfig) -> Parts:
    """Build the parts of a run from those of the workload."""
    schedule = partial(constant, lr=workload.lr, total_steps=workload.num_steps)
    return Parts(
        config=config,
        module=TaskModule(
            workload.network(),
            make_task("classification", data),
            workload.optimizer,
            schedule,
            channels_last=workload.memory_format is torch.channels_last,
        ),
        trainer=build_trainer(
            config, max_steps=workload.num_steps, every=workload.every, logger=None
        ),
        max_steps=workload.num_steps,
    )
