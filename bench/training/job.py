"""The body of bench.train: one run, in a fresh process of its own.

Wires data, model, meters, training and the serving probe together, and writes the record whatever
happens. The fork server imports this module once, so that a job does not pay for the libraries.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import pytorch_lightning as pl
import torch

from bench.cli.instruments import build_window
from bench.config.train import TrainConfig
from bench.core.outcome import outcome_record, without_doubtful_joules
from bench.core.records.curve import CurveRow
from bench.core.records.model import ModelFacts, Quality
from bench.core.records.run import RunError, RunRecord, Status
from bench.core.records.serving import Serving
from bench.core.store import CurveWriter, write_record
from bench.launch.job import Job, Progress
from bench.measure.sampler import write_telemetry
from bench.measure.window import Window
from bench.runs.costs import Rates, with_costs
from bench.runs.endings import carried_out, start_log
from bench.runs.recipes import source_record, with_recipe
from bench.tasks.classifier import Classifier
from bench.tasks.data import test_batches
from bench.tasks.threads import thread_facts
from bench.training.evaluate import Served, evaluate
from bench.training.fit import gpu_uuids, train_to_target, training_devices
from bench.training.parts import Parts, build_parts, model_facts, model_name
from bench.training.probe import probe
from bench.training.profiler import TargetProfiler, phases_of
from bench.training.ranks import follow_in_other_ranks

_SHOW_EVERY_S = 0.25


def run(job: Job, send: Callable[[Progress], None], launched_s: float) -> None:
    """Make the run and write its record, however it ends.

    Args:
        job: What to run and where to put it.
        send: Tells the parent how far the run is.
        launched_s: When the parent launched this process, on the host's monotonic clock.
    """
    launch_s = time.monotonic() - launched_s
    start_log()
    training = TrainingRun(job, send, launch_s=launch_s)
    record = with_costs(carried_out(training))
    write_record(job.folder, with_recipe(record, training.source))


class TrainingRun:
    """One run: what it has come to so far is there at any moment, for the record."""

    def __init__(self, job: Job, send: Callable[[Progress], None], *, launch_s: float) -> None:
        self._job = job
        self._send = send
        self._config = TrainConfig.from_dict(job.config)
        self._launch_s = launch_s
        self._entered_s = time.perf_counter()
        self._rows: list[CurveRow] = []
        self._shown_s = -_SHOW_EVERY_S
        self._profiler: TargetProfiler | None = None
        self._window: Window | None = None
        self._model: ModelFacts | None = None
        self._quality: dict[str, Quality] = {}
        self._serving: Serving | None = None
        self.source: RunRecord | None = None  # of the run that the recipe builds on

    def make(self) -> None:
        """Set up, train to the target, then evaluate and time the model that came out."""
        config = self._config
        # Wrong prices, countries and requests fail here, before they cost a run.
        Rates.of(config.price, config.grid)
        self.source = source_record(config.results, config.recipe)
        prepare_process(config)
        self._send(Progress(stage="preparing data, model and meters"))
        gpus = gpu_uuids(training_devices(config))
        with follow_in_other_ranks(config.trainer.devices, partial(follow, config)):
            # First, so that the energy of what follows is metered; nothing is on the device yet.
            self._window = window = build_window(config, lambda: None, gpus=gpus)
            window.open()
            require_meter(config, window)
            parts = build_parts(config, self._job.folder)
            window.synchronize = parts.synchronize
            self._model = model_facts(parts, model_name(self._job.config))
            examples = parts.compile_and_warm_up()
            self._train(parts, window)
        self._send(Progress(stage="evaluating and timing the model"))
        self._assess(parts, parts.served(examples))

    def close(self) -> None:
        """Release what the run holds."""
        if self._window is not None:
            self._window.close()

    def _train(self, parts: Parts, window: Window) -> None:
        curve = CurveWriter(self._job.folder)
        profiler = build_profiler(
            parts,
            window,
            on_row=partial(self._keep, curve, parts),
            on_end=partial(save_model, self._job.folder / "checkpoint.pt"),
        )
        self._profiler = profiler
        try:
            train_parts(parts, profiler)
        finally:
            curve.close()
            if profiler.started:
                write_telemetry(self._job.folder / "telemetry.parquet", window.telemetry())

    def _keep(self, curve: CurveWriter, parts: Parts, row: CurveRow) -> None:
        self._rows.append(row)
        curve.append(row)
        # Telling the parent wakes it beside the training: often enough for an eye, no more.
        if row.time_s >= self._shown_s + _SHOW_EVERY_S:
            self._shown_s = row.time_s
            self._send(self._progress(row))
        if parts.trainer.logger is not None:
            numbers = {name: getattr(row, name) for name in row.__slots__}
            numeric = {k: v for k, v in numbers.items() if isinstance(v, int | float)}
            parts.trainer.logger.log_metrics(numeric, step=row.steps)

    def _progress(self, row: CurveRow) -> Progress:
        target = self._config.target
        value = getattr(row, target.metric)
        text = f"{target.metric} {value:.3f} of {target.value:g}, {row.time_s:.1f} s"
        return Progress(stage=text)

    def _assess(self, parts: Parts, served: Served) -> None:
        """Quality and serving cost of the model as it was when the run ended."""
        assert self._model is not None
        assert self._window is not None
        checkpoint = self._job.folder / "checkpoint.pt"
        self._model = replace(self._model, size_bytes=checkpoint.stat().st_size)
        target = self.record("ok", None).target
        at: Literal["crossing", "end"] = "crossing" if target and target.reached else "end"
        splits = {"val": parts.data.val_dataloader(), "test": test_batches(parts.data)}
        for split, batches in splits.items():
            self._quality[split] = evaluate(served, batches, device=parts.device, at=at)
        self._serving = probe(
            served,
            parts.example_images(max(self._config.probe.batch_sizes)),
            config=self._config.probe,
            synchronize=parts.synchronize,
            meters=self._window.meters,
        )

    def _init_s(self) -> float:
        """Set-up until the start of the clock, or until now where that was never reached."""
        window = self._window
        started = window is not None and window.clock.started
        end_s = window.clock.started_s if window and started else time.perf_counter()
        return end_s - self._entered_s

    def record(self, status: Status, error: RunError | None) -> RunRecord:
        """The record of what has been measured so far."""
        job, profiler = self._job, self._profiler
        times = profiler.times if profiler else None
        phases = phases_of(times, launch_s=self._launch_s, init_s=self._init_s())
        record = outcome_record(
            job.identity,
            job.config,
            self._rows,
            status=status,
            error=error,
            host={
                **job.host,
                **thread_facts(),
                "gpus": self._window.devices if self._window else [],
            },
            phases=phases,
            spent=profiler.spent if profiler else None,
            phase_energy=profiler.phase_energy if profiler else None,
            finished=profiler.finished if profiler else False,
        )
        measured = self._window.record_fields() if self._window else {}
        whole = replace(
            record,
            **measured,
            model=self._model,
            quality=self._quality.get("val"),
            quality_test=self._quality.get("test"),
            serving=self._serving,
        )
        return without_doubtful_joules(whole)


def require_meter(config: TrainConfig, window: Window) -> None:
    """Refuse a budget of joules that no meter can look at.

    Raises:
        ValueError: No meter is there; the message has the reasons.
    """
    limit_j = config.budget.max_energy_j
    if limit_j is not None and window.meters.refresh_s is None:
        reasons = "; ".join(f"{one.meter}: {one.reason}" for one in window.unavailable)
        raise ValueError(
            f"budget.max_energy_j={limit_j:g}: no meter works here to check it ({reasons})"
        )


def prepare_process(config: TrainConfig) -> None:
    """Seeds and threads: per process, so on every rank."""
    if config.trainer.num_threads is not None:
        torch.set_num_threads(config.trainer.num_threads)
    pl.seed_everything(config.seed, workers=True, verbose=False)


def build_profiler(
    parts: Parts,
    window: Window,
    *,
    on_row: Callable[[CurveRow], None],
    on_end: Callable[[Classifier], None],
) -> TargetProfiler:
    """The profiler of a run."""
    config = parts.config
    return TargetProfiler(
        target=config.target.build(),
        budget=config.budget,
        max_steps=parts.max_steps,
        num_train_samples=parts.data.num_train_samples,
        window=window,
        on_row=on_row,
        on_end=on_end,
    )


def save_model(path: Path, module: Classifier) -> None:
    """Save the weights; config.yaml beside them says how to build the model."""
    # Through a file of ours: a full disk is then an OSError that says so.
    with path.open("wb") as file:
        torch.save(module.network.state_dict(), file)


def follow(config: TrainConfig) -> None:
    """What every rank but the first does: train along, measuring and writing nothing."""
    prepare_process(config)
    parts = build_parts(config, None)
    parts.compile_and_warm_up()
    window = Window.time_only(parts.synchronize)
    profiler = build_profiler(parts, window, on_row=_ignore, on_end=_ignore)
    train_parts(parts, profiler)


def train_parts(parts: Parts, profiler: TargetProfiler) -> None:
    """Train to the target."""
    batch_size = parts.config.batch_size
    train_to_target(parts.module, parts.data, profiler, parts.trainer, batch_size=batch_size)


def _ignore(_: object) -> None:
    pass
