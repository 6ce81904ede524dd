"""The profiler as a Lightning callback, for a training of one's own.

    profiler = ProfilerCallback(metric="accuracy", monitor="val_acc", value=0.95)
    pl.Trainer(callbacks=[profiler]).fit(model, data)

writes the same record as bench.train: time and energy to accuracy, phases, utilization, health.
Fields that the callback cannot know are null: every quality except the target's, serving, cost.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence, Sized
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor
from typing_extensions import override

from bench.core.config import TargetConfig
from bench.core.host import host_facts
from bench.core.outcome import outcome_record, without_doubtful_joules
from bench.core.records import CurveRow, Phases, RunError, RunRecord, Status
from bench.core.target import require_possible
from bench.measure.sampler import write_telemetry
from bench.measure.window import Window
from bench.tasks.threads import thread_facts
from bench.training.batches import SampleCounter
from bench.training.failures import failure
from bench.training.fit import gpu_uuids
from bench.training.own_run import OwnRun
from bench.training.profiler import TargetProfiler

_log = logging.getLogger(__name__)


class ProfilerCallback(pl.Callback):
    """Measures one fit to its target and writes its record to results/lightning/<run_id>/.

    The clock starts when the training loader is first asked for, after the sanity check. Steps are
    batches: with gradient accumulation an optimizer step takes several of them.

    Attributes:
        record: What was measured, once the fit has ended; None on ranks but the first.
        folder: Where it is written; likewise.
    """

    def __init__(
        self,
        *,
        metric: str,
        value: float,
        monitor: str | None = None,
        rule: str = "first",
        consecutive: int = 2,
        ladder: Sequence[float] = (),
        stop_at_target: bool = True,
        results: str | Path = "results",
        config: Mapping[str, Any] | None = None,
        seed: int | None = None,
        repeat: int | None = None,
        window: Window | None = None,
    ) -> None:
        """Nothing is read yet.

        Args:
            metric: What the target is about, by its name in the record, such as "accuracy".
            value: Its threshold.
            monitor: The name under which the module logs it in validation; by default `metric`.
            rule: When the target counts as reached: first, consecutive or final.
            consecutive: Evaluations in a row, for the rule of that name.
            ladder: Further thresholds to report on.
            stop_at_target: Whether to stop the trainer at the crossing.
            results: Where the run folder is made.
            config: What the run's configuration is to hold besides the target; runs with the same
                configuration are repeats of one another.
            seed: Of the training; by default that of config, else of seed_everything(), else 0.
            repeat: Counts the runs of one configuration and seed; by default that of config, else
                the first number that no finished run in results has.
            window: What to measure with, not open; by default the best meters there are.

        Raises:
            ValueError: The target is not one, or config has another seed or repeat.
        """
        self.record: RunRecord | None = None
        self.folder: Path | None = None
        self._target = TargetConfig(
            metric=metric,
            value=value,
            rule=rule,
            consecutive=consecutive,
            ladder=list(ladder),
            eval_every_samples=None,
        )
        kept = {**(config or {}), "target": asdict(self._target)}
        self._run = OwnRun(Path(results).absolute(), kept, seed, repeat)
        self._monitor, self._stop_at_target = monitor or metric, stop_at_target
        self._window = window
        self._profiler: TargetProfiler | None = None
        self._losses: list[Tensor] = []
        self._count = SampleCounter()
        self._opened_s = 0.0

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the meters and the run folder, off the clock.

        Raises:
            RuntimeError: The callback has measured a fit before.
            StoreError: The results folder cannot be written.
        """
        if self._profiler is not None:
            raise RuntimeError("a ProfilerCallback measures one fit: make a new one for each")
        self._opened_s = time.perf_counter()
        devices = _devices(trainer)
        synchronize = torch.cuda.synchronize if devices[0].type == "cuda" else _nothing
        if trainer.is_global_zero:
            self._window = self._window or Window()
            self._window.use_gpus(gpu_uuids(devices))
            self._window.synchronize = synchronize
            self._run.open()
            self.folder = self._run.folder
        else:
            self._window = Window.time_only(synchronize)
        self._profiler = TargetProfiler(
            target=self._target.build(),
            budget=None,
            max_steps=None,
            num_train_samples=None,
            window=self._window,
            on_row=self._keep,
            stop_at_target=self._stop_at_target,
        )
        self._window.open()  # with a profiler: what fails here has a record, too
        self._start_with_first_batch(trainer, self._profiler)

    def _start_with_first_batch(self, trainer: pl.Trainer, profiler: TargetProfiler) -> None:
        """Start the clock where Lightning asks for the training loader.

        No hook of a callback comes before the loader's iterator, whose workers fetch at once.
        """
        fit_loop = trainer.fit_loop
        set_up_data = fit_loop.setup_data

        def start_and_set_up() -> None:
            profiler.start()
            set_up_data()

        fit_loop.setup_data = start_and_set_up  # type: ignore[method-assign]

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the number of samples of an epoch from the loader, where it has one."""
        del trainer.fit_loop.setup_data  # the class's own again
        samples = getattr(trainer.train_dataloader, "dataset", None)
        if isinstance(samples, Sized):
            self._running.num_train_samples = len(samples)

    @override
    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Count the step and keep its loss, where Lightning knows it."""
        if isinstance(outputs, Mapping) and "loss" in outputs:
            self._losses.append(outputs["loss"])
        self._running.step_ended(trainer, self._count(trainer, batch))

    @override
    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """An evaluation begins."""
        if _is_fitting(trainer):
            self._running.validation_started()

    @override
    def on_sanity_check_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refuse what cannot be a value of the metric, before the clock."""
        if self._monitor in trainer.callback_metrics:
            self._logged(trainer)

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Read, and stop the trainer at the crossing.

        Raises:
            ValueError: The monitored metric was not logged, or cannot have the value logged.
            DivergedError: A loss is not finite.
        """
        if not _is_fitting(trainer):
            return
        quality = {self._target.metric: self._logged(trainer)}
        self._running.evaluated(trainer, self._take_train_loss(), quality)

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the clock and write the record."""
        self._running.finished = True
        self._running.stop()
        self._write("ok", None)

    @override
    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Write the record of what was measured until then."""
        if self._profiler is None or self.record is not None:
            return
        try:
            self._profiler.stop()
        except RuntimeError:  # a lost device; why it was lost is what the record says
            _log.exception("stopping failed")
        status, error = failure(exception)
        interrupted = isinstance(exception, KeyboardInterrupt)
        self._write("interrupted" if interrupted else status, error)

    def _logged(self, trainer: pl.Trainer) -> float:
        """The value of the monitored metric."""
        logged = trainer.callback_metrics
        if self._monitor not in logged:
            names = ", ".join(sorted(logged)) or "nothing"
            raise ValueError(f"monitor={self._monitor}: not logged in validation; logged: {names}")
        value = float(logged[self._monitor])
        try:
            require_possible(self._target.metric, value)
        except ValueError as error:
            raise ValueError(f"monitor={self._monitor}: {error}") from error
        return value

    @property
    def _running(self) -> TargetProfiler:
        assert self._profiler is not None, "on_fit_start was not called"
        return self._profiler

    def _keep(self, row: CurveRow) -> None:
        if self.folder is not None:
            self._run.append(row)

    def _take_train_loss(self) -> float | None:
        if not self._losses:
            return None
        mean = torch.stack(self._losses).mean().item()
        self._losses.clear()
        return mean

    def _write(self, status: Status, error: RunError | None) -> None:
        window, profiler = self._window, self._running
        assert window is not None
        window.close()
        if self.folder is None:
            return
        self._run.close()
        if profiler.started:
            write_telemetry(self.folder / "telemetry.parquet", window.telemetry())
        times = profiler.times
        record = outcome_record(
            self._run.identity,
            self._run.config,
            profiler.rows,
            status=status,
            error=error,
            host={**host_facts(), **thread_facts(), "gpus": window.devices},
            phases=Phases(
                init_s=window.clock.started_s - self._opened_s if profiler.started else None,
                train_s=times.train_s if times else 0.0,
                eval_s=times.eval_s if times else 0.0,
                checkpoint_s=times.checkpoint_s if times else 0.0,
                wall_time_s=times.total_s if times else 0.0,
            ),
            spent=profiler.spent,
            phase_energy=profiler.phase_energy,
            finished=profiler.finished,
        )
        self.record = without_doubtful_joules(replace(record, **window.record_fields()))
        self._run.write(self.record)


def _is_fitting(trainer: pl.Trainer) -> bool:
    """Whether an evaluation belongs to the fit: not the sanity check, nor trainer.validate()."""
    return trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking


def _devices(trainer: pl.Trainer) -> list[torch.device]:
    """What the ranks of this host train on."""
    root = trainer.strategy.root_device
    if root.type != "cuda":
        return [root]
    return [torch.device("cuda", index) for index in trainer.device_ids]


def _nothing() -> None:
    """Do nothing."""
