"""The job of bench.maintain: one policy on one stream, in a fresh process of its own.

It reads the stream, trains the first model, serves the stream window by window, and writes the
record whatever happens. Windows and events are on disk as soon as they are over.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from bench.config.maintain import MaintainConfig
from bench.core.maintenance_files import MaintenanceWriter
from bench.core.records.maintenance import MaintenanceEvent, WindowRow
from bench.core.records.phases import Phases
from bench.core.records.run import RunError, RunRecord, Status
from bench.core.store import write_record
from bench.drift.books import PHASES, Books, Spent
from bench.drift.deployment import Deployment, Watch
from bench.drift.matrix import Matrix, best_schedule, fill_matrix
from bench.drift.matrix_run import matrix_folder
from bench.drift.parts import DeploymentParts, build_parts
from bench.drift.policies.oracle import Oracle
from bench.drift.recovery import maintenance
from bench.drift.retraining import ModelTrainer, Trained
from bench.drift.service import Service
from bench.drift.succession import Succession, training_event
from bench.launch.job import Job, Progress
from bench.measure.raw_files import write_raw
from bench.measure.window import Window
from bench.runs.charges import charge, require_rates
from bench.runs.exit_handling import carry_out, start_log
from bench.runs.instruments import build_window
from bench.runs.measured import measured_record
from bench.training.gpus import gpus_set
from bench.training.loop import gpu_uuids, require_devices, synchronize
from bench.training.rank import prepare_process

_log = logging.getLogger(__name__)
_SHOW_EVERY_S = 0.25


def run(job: Job, send: Callable[[Progress], None], launched_s: float) -> None:
    """Maintain a model over the stream and write the record, however the run ends.

    Args:
        job: What to deploy, and where to put the record.
        send: Reports progress to the parent.
        launched_s: When the parent launched this process, on the host's monotonic clock.
    """
    launch_s = time.monotonic() - launched_s
    start_log()
    # One line of Lightning for each retraining would hide what the log is for.
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    write_record(job.folder, carry_out(MaintenanceRun(job, send, launch_s=launch_s)))


class MaintenanceRun:
    """One run. Its record can be asked for at any moment."""

    def __init__(self, job: Job, send: Callable[[Progress], None], *, launch_s: float) -> None:
        self._job = job
        self._send = send
        self._config = MaintainConfig.from_dict(job.config)
        self._launch_s = launch_s
        self._entered_s = time.perf_counter()
        self._shown_s = -_SHOW_EVERY_S
        # The record is made from these, as far as the run has come.
        self._window: Window | None = None
        self._writer: MaintenanceWriter | None = None
        self._matrix_run_id: str | None = None

    def make(self) -> None:
        """Set up, train the first model, and serve the stream.

        Raises:
            ValueError: The parts cannot be built, or the first model cannot be trained.
        """
        config = self._config
        # A wrong price or country fails here, before it costs a run.
        require_rates(config)
        options = config.trainer
        prepare_process(options, config.seed)
        self._say("reading the stream")
        devices = require_devices(options.accelerator, options.devices, config.precision)
        with gpus_set(options, gpu_uuids(devices)):
            self._measure(devices)

    def _measure(self, devices: Sequence[torch.device]) -> None:
        config = self._config
        self._window = window = build_window(
            config,
            partial(synchronize, devices[0]),
            gpus=gpu_uuids(devices),
            phases=PHASES,
        )
        window.open()
        parts = build_parts(config)
        self._writer = writer = MaintenanceWriter(self._job.folder)
        for change in parts.timeline().changes or ():
            writer.add_event(MaintenanceEvent(kind="change", window=None, prediction=change))
        window.start()
        try:
            self._deploy(parts, Books(window), writer)
        finally:
            window.stop()
            write_raw(self._job.folder, window)

    def close(self) -> None:
        """Release what the run holds."""
        if self._writer is not None:
            self._writer.close()
        if self._window is not None:
            self._window.close()

    def _deploy(self, parts: DeploymentParts, books: Books, writer: MaintenanceWriter) -> None:
        """Train the first model and serve the stream."""
        config = self._config
        self._say("training the first model")
        trainer = ModelTrainer(
            config, parts.stream.pool.num_classes, books.window, self._job.folder / "retrains"
        )
        first, spent = self._train_first(parts, trainer, books, writer)
        books.begin("observe")
        if isinstance(parts.policy, Oracle):
            self._set_schedule(parts, parts.policy, trainer, first, books)
        watch = Watch(parts.detector, parts.timeline(), config, writer.add_event)
        assert first.model is not None
        service = Service(first.model, parts.log(), parts.vault(), books, watch.start)
        succession = Succession(
            config,
            trainer,
            service,
            parts.policy,
            books,
            price_of=self._price_usd,
            first_spent=spent,
            on_event=writer.add_event,
        )
        Deployment(
            config,
            service,
            watch,
            parts.policy,
            succession,
            books,
            on_row=self._keep,
            on_event=writer.add_event,
        ).run()
        books.begin("observe")

    def _train_first(
        self, parts: DeploymentParts, trainer: ModelTrainer, books: Books, writer: MaintenanceWriter
    ) -> tuple[Trained, Spent]:
        """Train the first model on the initial samples.

        Raises:
            ValueError: The training diverged.
        """
        none_known = np.empty(0, dtype=np.int64)
        samples = parts.log().training_set(none_known, none_known, None)
        first = trainer.train(samples, number=0, window=None)
        books.begin("observe")
        spent = books.spent("train")
        writer.add_event(
            MaintenanceEvent(
                kind="initial",
                window=None,
                prediction=0,
                model=0,
                reason=first.error,
                **training_event(first, spent),
            )
        )
        if first.model is None:
            raise ValueError(f"the initial training diverged ({first.error}); use a smaller lr")
        return first, spent

    def _set_schedule(
        self,
        parts: DeploymentParts,
        oracle: Oracle,
        trainer: ModelTrainer,
        first: Trained,
        books: Books,
    ) -> None:
        """Compute the best schedule from the matrix of another run, or from one of its own."""
        config, folder = self._config, self._job.folder
        assert first.model is not None
        if oracle.matrix is None:
            self._say("trying every model in every window")
            matrix = fill_matrix(
                config,
                parts.log(),
                parts.vault(),
                trainer,
                books,
                first=first.model,
                price_of=self._price_usd,
                report=lambda window: self._say(f"filled {_place(config, window)} of the matrix"),
            )
            matrix.write(folder)
        else:
            folder = matrix_folder(self._job.config)
            matrix = Matrix.read(folder)
        self._matrix_run_id = folder.name
        oracle.set_schedule(
            best_schedule(matrix, oracle.objective, config.held_accuracy, config.error_price_usd)
        )

    def _price_usd(self, spent: Spent) -> float | None:
        """Price of a training in dollars, people included; None if it is unknown."""
        options = self._config.retrain
        if options.usd is not None:
            return options.usd
        usd, _ = charge(self._job.config, spent.time_s, spent.energy_j)
        return None if usd is None else usd + options.manual_hours * options.usd_per_person_hour

    def _say(self, stage: str) -> None:
        _log.info("%s", stage)
        self._send(Progress(stage=stage))

    def _keep(self, row: WindowRow) -> None:
        assert self._writer is not None
        assert self._window is not None
        self._writer.add_window(row)
        # Each message wakes the parent, which then competes with the run.
        now_s = self._window.clock.elapsed_s()
        if now_s >= self._shown_s + _SHOW_EVERY_S:
            self._shown_s = now_s
            accuracy = "" if row.accuracy is None else f", accuracy {row.accuracy:.3f}"
            self._send(Progress(stage=f"{_place(self._config, row.window)}{accuracy}"))

    def record(self, status: Status, error: RunError | None) -> RunRecord:
        """Make the record of what has been measured so far."""
        job, window, writer = self._job, self._window, self._writer
        has_started = window is not None and window.clock.started
        ready_s = window.clock.started_s if window and has_started else time.perf_counter()
        before = {"launch_s": self._launch_s, "init_s": ready_s - self._entered_s}
        ending: dict[str, Any] = {"phases": Phases(**before)}
        fields: dict[str, Any] = {}
        if window is not None and has_started:
            times = window.clock.reading()
            by_phase = {f"{phase}_s": times.of(phase) for phase in PHASES}
            ending["phases"] = Phases(**before, **by_phase, wall_time_s=times.total_s)
            ending["phase_energy"] = window.phases.result
        if writer is not None and writer.rows:
            made = maintenance(job.config, writer.rows, writer.events)
            fields["maintenance"] = replace(made, matrix_run_id=self._matrix_run_id)
        return measured_record(
            job.identity,
            job.config,
            [],
            window,
            host=job.host,
            fields=fields,
            status=status,
            error=error,
            **ending,
        )


def _place(config: MaintainConfig, window: int) -> str:
    return f"window {window + 1} of {config.stream.num_windows}"
