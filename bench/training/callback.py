"""The profiler as a Lightning callback, for a user's own training.

    profiler = ProfilerCallback(metric="accuracy", monitor="val_acc", value=0.95)
    pl.Trainer(callbacks=[profiler]).fit(model, data)

writes the same record as bench.train: time and energy to accuracy, phases, utilization, health.
Every metric that the module logs in validation is recorded. Fields that the callback cannot know
are null, such as serving.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.exceptions import SIGTERMException
from typing_extensions import override

from bench.core.records.curve import CurveRow
from bench.core.records.run import RunError, RunRecord, Status
from bench.launch.child import Interrupted
from bench.launch.stopping import stop_reason
from bench.measure.window import Window
from bench.runs.exit_handling import explain
from bench.runs.operator_trace import own_window
from bench.runs.own_run import OwnRun
from bench.tasks.task_module import TrainLoss
from bench.training.batches import SampleCounter, batches_of_pass
from bench.training.callback_trainer import (
    Monitor,
    call_before_training_data,
    call_off,
    devices,
    is_fitting,
    model_facts,
    require_from_scratch,
    require_validation,
    schedule_done,
    step_loss,
    why_unknown,
)
from bench.training.loop import gpu_uuids
from bench.training.profiler import TargetProfiler

_log = logging.getLogger(__name__)

COMMAND = "lightning"
NO_BATCHES = (
    "the fit ended before its first batch; look at max_epochs, max_steps, limit_train_batches and "
    "the length of the training loader"
)


class ProfilerCallback(pl.Callback):
    """Measures one fit to its target and writes its record to results/lightning/<run_id>/.

    The clock starts when the training loader is first asked for, after the sanity check. Steps are
    batches: with gradient accumulation, an optimizer step takes several of them.

    Args:
        metric: The metric of the target, by its name in the record, such as "accuracy".
        value: The threshold of the target.
        monitor: The name under which the module logs the metric in validation; by default `metric`.
        mode: "max" if more of the metric is better, "min" if less is; only needed for a metric
            that the suite does not know.
        rule: Decides when the target is reached: first, consecutive or final.
        consecutive: The number of evaluations in a row, for rule="consecutive".
        ladder: More thresholds to report.
        stop_at_target: Whether to stop the trainer at the crossing.
        results: The results folder.
        config: The configuration to record besides the target: a mapping, a namespace or a
            dataclass of plain values. Runs with the same configuration are repeats of one another.
        seed: The seed of the training; by default that of config, else of seed_everything(), else
            0.
        repeat: Counts the runs of one configuration and seed; by default that of config, else the
            first number that no run in results has.
        window: A window to measure with, not open; by default one with the best meters there are.

    Attributes:
        record: The record, once the fit has ended; None on all ranks but the first.
        folder: The run folder; None on all ranks but the first.
    """

    def __init__(
        self,
        *,
        metric: str,
        value: float,
        monitor: str | None = None,
        mode: str | None = None,
        rule: str = "first",
        consecutive: int = 2,
        ladder: Sequence[float] = (),
        stop_at_target: bool = True,
        results: str | Path = "results",
        config: Any = None,
        seed: int | None = None,
        repeat: int | None = None,
        window: Window | None = None,
    ) -> None:
        """Check the arguments.

        Raises:
            ValueError: A value of the target is wrong, or config cannot be recorded or contradicts
                the target, the seed or the repeat.
        """
        self.record: RunRecord | None = None
        self.folder: Path | None = None
        target = {"metric": metric, "value": value, "mode": mode, "rule": rule}
        target |= {"consecutive": consecutive, "ladder": list(ladder)}
        self._run = OwnRun(
            COMMAND, target=target, results=results, config=config, seed=seed, repeat=repeat
        )
        self._target = self._run.target.build()
        self._monitor = Monitor(monitor or metric, self._target)
        self._stop_at_target = stop_at_target
        self._window = window
        self._profiler: TargetProfiler | None = None
        self._train_loss = TrainLoss()
        self._count = SampleCounter()
        self._is_written = False

    @override
    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Refuse to continue a training.

        Raises:
            ValueError: The checkpoint is that of a training.
        """
        if is_fitting(trainer):
            require_from_scratch(checkpoint["global_step"])

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the meters and the run folder, off the clock.

        Raises:
            RuntimeError: The callback has already measured a fit.
            StoreError: The results folder cannot be written to.
            ValueError: The fit does not start from scratch, or evaluates nothing.
        """
        if self._profiler is not None:
            raise RuntimeError("a ProfilerCallback measures one fit: make a new one for each")
        # Check before anything is written, so that a refused fit leaves no run behind.
        require_from_scratch(trainer.global_step)
        require_validation(trainer)
        used = devices(trainer)
        synchronize = torch.cuda.synchronize if used[0].type == "cuda" else lambda: None
        if trainer.is_global_zero:
            self._window = self._window or own_window()
            self._run.open(self._window.clock.now_s())
            self._window.use_gpus(gpu_uuids(used))
            self._window.synchronize = synchronize
            self.folder = self._run.folder
            if trainer.num_nodes > 1:  # nobody reads the meters of the others
                self._window.flag("nodes_unmeasured")
        else:
            self._window = Window.time_only(synchronize)
        self._profiler = TargetProfiler(
            target=self._target,
            window=self._window,
            on_row=self._keep,
            stop_at_target=self._stop_at_target,
        )
        self._window.open()  # there is a profiler by now, so a failure here has a record
        call_before_training_data(trainer, self._profiler.start)

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the length of a pass from the loader, if it has one."""
        self._running.steps_per_epoch = batches_of_pass(trainer.train_dataloader)

    @override
    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Count the step and keep its loss, if Lightning knows it."""
        if (loss := step_loss(outputs)) is not None:
            self._train_loss.add(loss)
        self._running.step_ended(trainer, self._count(trainer, batch, batch_idx))

    @override
    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin an evaluation."""
        if is_fitting(trainer):
            self._monitor.validation_started(trainer)
            self._running.validation_started()

    @override
    def on_sanity_check_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refuse a value that the metric cannot have, before the clock."""
        if self._monitor.is_logged(trainer):
            self._monitor.value(trainer)

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Read, and stop the trainer at the crossing.

        Raises:
            ValueError: The monitored metric was not logged, or cannot have what was logged.
            DivergedError: A loss is not finite.
        """
        if not is_fitting(trainer):
            return
        quality = self._monitor.quality(trainer)
        self._running.evaluated(trainer, self._train_loss.take_mean(), quality)

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the clock and write the record."""
        profiler = self._running
        profiler.finished = schedule_done(trainer)
        profiler.stop()
        model = model_facts(trainer, pl_module) if trainer.is_global_zero else None
        reason = why_unknown(profiler, self._target.rule)
        if reason is None:
            self._write("ok", None, model=model)
            return
        _log.error(reason)
        # Otherwise the record would say that the target was missed, which nobody knows.
        profiler.finished = False
        self._write("failed", RunError(kind="not_evaluated", message=reason), model=model)

    @override
    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Write the record of what was measured so far."""
        if self._profiler is None or self._is_written:
            return
        if isinstance(exception, SIGTERMException):
            exception = Interrupted(stop_reason(signal.SIGTERM))
        self._end(trainer, *explain(exception))

    @override
    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Write the record of a fit that ended without training: no other hook is called then."""
        if self._profiler is not None and not self._is_written:
            self._end(trainer, "failed", RunError(kind="no_batches", message=NO_BATCHES))

    def _end(self, trainer: pl.Trainer, status: Status, error: RunError) -> None:
        """Stop the clock, if it has started, and write the record."""
        # The trainer is the user's and may be used again.
        call_off(trainer)
        try:
            self._running.stop()
        except RuntimeError:  # the device is lost; the record has the reason already
            _log.exception("stopping failed")
        self._write(status, error)

    @property
    def _running(self) -> TargetProfiler:
        assert self._profiler is not None, "on_fit_start was not called"
        return self._profiler

    def _keep(self, row: CurveRow) -> None:
        if self.folder is not None:
            self._run.curve.append(row)

    def _write(self, status: Status, error: RunError | None, **fields: Any) -> None:
        # First, so that an error while writing does not lead to a second record.
        self._is_written = True
        assert self._window is not None, "on_fit_start was not called"
        if self.folder is None:
            self._window.close()
        else:
            self.record = self._run.end(self._running, self._window, status, error, **fields)
