"""A run of task=module: the user's own LightningModule and data, as they would train elsewhere.

The module makes its optimizer and computes its metrics. What it logs in validation is the quality,
and the profiler counts batches, samples, time and joules beside it.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from pytorch_lightning.loggers import Logger
from torch.utils._pytree import tree_map

from bench.config.train import MODULE, TrainConfig
from bench.core.errors import kind_and_line
from bench.core.qualities import QUALITIES
from bench.core.records.model import RESERVED, ModelFacts, Quality
from bench.core.records.serving import Serving
from bench.core.records.task import TaskFacts
from bench.measure.meter_set import MeterSet
from bench.tasks.lightning_module import require_module
from bench.tasks.quality import recorded
from bench.training import loop
from bench.training.callback_trainer import Monitor, why_unknown
from bench.training.module_callbacks import Follower, Reader
from bench.training.module_data import build_data, epoch_length
from bench.training.module_trainer import KeptSignal, ModuleTrainer, Schedule, stand_in_logger
from bench.training.profiler import TargetProfiler
from bench.training.rehearsal import Rehearsal, ServedModule, has_test, rehearse
from bench.training.serving_probe import probe_serving

_log = logging.getLogger(__name__)


@dataclass(kw_only=True, eq=False)
class ModuleParts(loop.OnDevice):
    """What a run of a user's module consists of.

    Attributes:
        config: The configuration of the run.
        module: The user's module.
        data: Its data, set up.
        trainer: Lightning's trainer.
        num_train_samples: Samples of an epoch; None if only its batches are known.
    """

    config: TrainConfig
    module: pl.LightningModule
    data: pl.LightningDataModule
    trainer: ModuleTrainer
    num_train_samples: int | None = None
    _rehearsal: Rehearsal | None = field(default=None, init=False)
    _follower: Follower | None = field(default=None, init=False)
    _profiler: TargetProfiler | None = field(default=None, init=False)

    @property
    def max_steps(self) -> int:
        """Length of the schedule in batches."""
        return self.trainer.schedule.max_steps

    def prepare(self, facts: dict[str, Any], name: str) -> None:
        """Rehearse the training before the clock.

        Args:
            facts: Receives `model` and `task` of the record.
            name: Name of the model in the record.

        Raises:
            NoMetricsError: The module does not log the metric of the target.
            ValueError: Module or data cannot be trained to the target.
        """
        facts["task"] = self._task_facts([], sample="row")
        rehearsal = self._rehearsal = rehearse(
            *(self.module, self.data, self.config, self._monitor()),
            schedule=self.trainer.schedule,
        )
        sample = "image" if rehearsal.is_image else "row"
        facts["task"] = self._task_facts(rehearsal.metrics, sample=sample)
        facts["model"] = ModelFacts(
            name=name,
            num_parameters=rehearsal.num_parameters,
            flops_per_sample=rehearsal.flops_per_sample,
            flops_uncounted_ops=rehearsal.flops_uncounted_ops,
        )

    def _task_facts(self, metrics: list[str], *, sample: str) -> TaskFacts:
        """The direction of the target is given, and the suite knows those of its own qualities."""
        target = self.config.target.build()
        directions = {name: QUALITIES[name].mode for name in metrics if name in QUALITIES}
        return TaskFacts(
            name=MODULE,
            kind=MODULE,
            sample=sample,
            directions=directions | {target.metric: target.mode},
            data_hash=getattr(self.data, "data_hash", None),
        )

    def _monitor(self) -> Monitor:
        target = self.config.target.build()
        return Monitor(target.metric, target, key="target.metric")

    def train(self, profiler: TargetProfiler) -> None:
        """Train until the profiler stops the trainer.

        Raises:
            DivergedError: A loss is not finite.
            NoMetricsError: The metric of the target was not logged in a validation.
            ValueError: The training ended before it was evaluated.
        """
        self._profiler = profiler
        self._follower = Follower(profiler, self._monitor())
        self.trainer.callbacks += [KeptSignal(), self._follower]  # type: ignore[attr-defined]
        try:
            self.trainer.fit(self.module, datamodule=self.data)
        finally:
            profiler.stop()
        # A module may stop the trainer by callbacks of its own.
        if (reason := why_unknown(profiler, self.config.target.rule)) is not None:
            raise ValueError(reason)

    def weights(self) -> dict[str, Any]:
        """The weights to save."""
        return self.module.state_dict()

    def assess(self, at: Literal["crossing", "end"], meters: MeterSet) -> dict[str, Any]:
        """Measure quality and serving cost of the module in its state at the end of the run.

        Args:
            at: The state of training that the module is in.
            meters: Open energy meters.
        """
        return {
            "quality": self._quality(at),
            "quality_test": self._test_quality(at),
            "serving": self._serving(meters),
        }

    def _quality(self, at: Literal["crossing", "end"]) -> Quality:
        """What the last evaluation logged, or a new one where the training went on after it."""
        assert self._profiler is not None
        assert self._follower is not None
        rows = self._profiler.rows
        # Evaluating again could give another value than that of the crossing, where it is random.
        if rows and rows[-1].steps == self._profiler.steps:
            size = self._follower.split.num_samples
            return Quality(at=at, num_samples=size, values=recorded(rows[-1].quality))
        reader = Reader(self._monitor())
        self._evaluator(reader).validate(self.module, datamodule=self.data, verbose=False)
        values = recorded(reader.quality)
        return Quality(at=at, num_samples=reader.split.num_samples, values=values)

    def _test_quality(self, at: Literal["crossing", "end"]) -> Quality | None:
        """What the module logs of the test split, under the names that it gives there."""
        if not has_test(self.module, self.data):
            _log.warning("quality_test is not measured: it needs a test_step and a test_dataloader")
            return None
        reader = Reader(self._monitor())
        evaluator = self._evaluator(reader)
        evaluator.test(self.module, datamodule=self.data, verbose=False)
        values = {
            name: float(value)
            for name, value in evaluator.callback_metrics.items()
            if value.numel() == 1 and name not in RESERVED
        }
        return Quality(at=at, num_samples=reader.split.num_samples, values=recorded(values))

    def _evaluator(self, reader: Reader) -> pl.Trainer:
        # A new one: that of the fit has stopped, and its callbacks would take this for training.
        return pl.Trainer(
            **loop.trainer_options(self.config),
            logger=stand_in_logger(self.config),
            callbacks=[KeptSignal(), reader],
            default_root_dir=self.trainer.default_root_dir,
        )

    def _serving(self, meters: MeterSet) -> Serving | None:
        assert self._rehearsal is not None
        inputs = self._rehearsal.inputs
        if inputs is None:  # the log has the reason
            return None
        self.module.to(self.device)
        served = ServedModule(
            self.module, inputs, self.trainer.precision_plugin.forward_context
        ).eval()
        try:
            return probe_serving(
                served,
                tree_map(lambda tensor: tensor.to(self.device), inputs.tensors),
                samples_per_input=1,
                config=self.config.probe,
                synchronize=self.synchronize,
                meters=meters,
            )
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # a user's forward may fail for some number of inputs
            _log.warning("serving is not measured: %s", kind_and_line(error))
            return None


def build_module_parts(
    config: TrainConfig, folder: Path | None, logger: Logger | None
) -> ModuleParts:
    """Build the module, its data and the trainer of a run.

    Args:
        config: The configuration of the run.
        folder: The run folder, which takes what the module's own callbacks write.
        logger: Lightning's logger.

    Raises:
        ValueError: A part cannot be built, or the length of an epoch is not known.
    """
    data = build_data(config)
    arguments = {} if config.lr is None else {"lr": config.lr}
    module = require_module(instantiate(config.model, **arguments), str(config.model["_target_"]))
    every = loop.eval_every_steps(config.target.eval_every_samples, config.batch_size)
    trainer = ModuleTrainer(
        **loop.trainer_options(config),
        val_check_interval=every,
        check_val_every_n_epoch=None,
        logger=logger or False,
        default_root_dir=folder,
    )
    data.trainer = trainer  # as in Lightning's fit, for data that asks for the number of devices
    data.prepare_data()
    data.setup("fit")
    num_batches, num_samples = epoch_length(config, data)
    max_steps = loop.schedule_steps(config.budget.max_epochs, num_batches, 1, every)
    max_epochs = math.ceil(max_steps / num_batches) if num_samples is None else -1
    trainer.set_schedule(Schedule(max_steps=max_steps, max_epochs=max_epochs))
    return ModuleParts(
        config=config, module=module, data=data, trainer=trainer, num_train_samples=num_samples
    )
