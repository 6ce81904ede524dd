"""The body of bench.serve: one model, served in one way, in a fresh process of its own.

Prepares the model, opens it in this process or behind a server, warms it up, has every image of the
test split answered once, then measures the scenario. Writes the record whatever happens.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.cli.compressed import compare_with_uncompressed
from bench.cli.costs import Rates
from bench.cli.endings import carried_out, start_log
from bench.cli.instruments import build_window
from bench.cli.served_model import TrainedModel, served_quality
from bench.cli.serving_costs import with_serving_costs
from bench.cli.under_test import UnderTest, open_system
from bench.core.artifact import Artifact
from bench.core.outcome import outcome_record
from bench.core.records import ModelFacts, Phases, Quality, RunError, RunRecord, Status
from bench.core.serve_config import ServeConfig
from bench.core.serving_records import Compression, RateStep, Serving, TrainedRun
from bench.core.store import write_record
from bench.launch.job import Job, Progress
from bench.measure.energy import MIN_REFRESHES, WindowEnergy
from bench.measure.sampler import write_telemetry
from bench.measure.window import Window
from bench.serving.metered import MeteredSystem
from bench.serving.performance_fields import requests_frame, serving_fields
from bench.serving.scenarios import Performance, run_accuracy, run_performance, warm_up

_log = logging.getLogger(__name__)

_LONGER = 1.1  # than the shortest pass that a meter resolves: a pass may end a little early


def run(job: Job, send: Callable[[Progress], None], launched_s: float) -> None:
    """Serve and write the record, however it ends.

    Args:
        job: What to serve, how, and where to put the record.
        send: Tells the parent how far it is.
        launched_s: When the parent launched this process, on the host's monotonic clock.
    """
    launch_s = time.monotonic() - launched_s
    start_log()
    write_record(job.folder, carried_out(ServingRun(job, send, launch_s=launch_s)))


class ServingRun:
    """One run: what it has come to so far is there at any moment, for the record."""

    def __init__(self, job: Job, send: Callable[[Progress], None], *, launch_s: float) -> None:
        self._job = job
        self._send = send
        self._config = ServeConfig.from_dict(job.config)
        self._launch_s = launch_s
        self._entered_s = time.perf_counter()
        self._window: Window | None = None
        self._trained: TrainedModel | None = None
        self._under_test: UnderTest | None = None
        self._size_bytes: int | None = None
        self._prepare_s: float | None = None
        self._quality: Quality | None = None
        self._serving: Serving | None = None
        self._compression: Compression | None = None
        self._rate_search: list[RateStep] = []
        self._init_s: float | None = None

    def make(self) -> None:
        """Prepare, open, warm up, check what is answered, measure, compare with uncompressed.

        Raises:
            ValueError: The model cannot be served in this way, with the reason.
            PassFailed: It failed while it was asked.
        """
        config = self._config
        # A wrong price or country fails here, before anything is served.
        Rates.of(self._job.config)
        self._say("loading the model and its data")
        trained = self._trained = TrainedModel(Path(config.run), config)
        with TemporaryDirectory(prefix="bench-serve-") as name:
            work = Path(name)
            self._say("preparing the model")
            artifact = self._prepare(trained, work)
            self._say("opening the model")
            with open_system(
                config, artifact, trained.test, work, self._job.folder
            ) as self._under_test:
                self._measure(self._under_test, trained)
            compressed = config.compression.method != "none"
            if compressed and artifact is not None and self._quality is not None:
                self._say("comparing with the uncompressed model")
                accuracy = self._quality.accuracy
                self._compression = compare_with_uncompressed(
                    config, trained, artifact, accuracy, work
                )

    def close(self) -> None:
        """Stop and release the window, if there is one."""
        if self._window is not None:
            self._window.stop()
            self._window.close()

    def _say(self, stage: str) -> None:
        _log.info("%s", stage)
        self._send(Progress(stage=stage))

    def _prepare(self, trained: TrainedModel, work: Path) -> Artifact | None:
        """The model on disk; None where a server of the user's own has it."""
        if self._config.backend.serves_elsewhere:
            return None
        folder = (self._job.folder if self._config.keep_model else work) / "model"
        began_s = time.perf_counter()
        artifact = trained.prepare(self._config, self._config.compression.method, folder)
        self._prepare_s = time.perf_counter() - began_s
        self._size_bytes = artifact.size_bytes
        return artifact

    def _measure(self, under_test: UnderTest, trained: TrainedModel) -> None:
        config = self._config
        num_images = len(trained.test.labels)
        system = MeteredSystem(under_test.system, answers_at_once=under_test.answers_at_once)
        self._say("warming up")
        estimate = warm_up(system, config.scenario, num_images=num_images, seed=config.seed)
        self._say("having every test image answered")
        _, logits = run_accuracy(system, num_images, seed=config.seed)
        self._quality = served_quality(logits, trained.test.labels)
        self._say(f"measuring {config.scenario.name}")
        refresh_s = self._open_window().meters.refresh_s
        compiled_s = under_test.compile_s
        performance = run_performance(
            system,
            config.scenario,
            num_images=num_images,
            seed=config.seed,
            estimate=estimate,
            # So long that no joules are below their meter's resolution.
            min_duration_s=None if refresh_s is None else _LONGER * MIN_REFRESHES * refresh_s,
            window=lambda: self._metered(system),
        )
        if under_test.compile_s != compiled_s:
            under_test.complaints.append(
                "the model was compiled for a new batch size in the middle of the measurement"
            )
        self._keep(performance, system.read(), under_test)

    def _open_window(self) -> Window:
        self._window = build_window(self._job.config, _nothing)
        self._window.open()
        return self._window

    @contextmanager
    def _metered(self, system: MeteredSystem) -> Iterator[None]:
        """The window around a pass that may be the one that is reported: a new one for each."""
        window = self._window
        if window is None or window.clock.started:
            self.close()
            window = self._open_window()
        system.measure(window.meters)
        window.start()
        self._init_s = window.clock.started_s - self._entered_s
        try:
            yield
        finally:
            system.read()
            window.stop()
            write_telemetry(self._job.folder / "telemetry.parquet", window.telemetry())

    def _keep(self, performance: Performance, energy: WindowEnergy, under_test: UnderTest) -> None:
        """Write the requests down, and put together what the record says of serving."""
        result = performance.result
        frame = requests_frame(result)
        if frame is not None:
            frame.to_parquet(self._job.folder / "requests.parquet", index=False)
        under_test.look_at(result)
        fields = serving_fields(self._config.scenario, performance)
        reasons = [*fields.pop("invalid_reasons"), *under_test.complaints]
        fields |= {"max_batch_size": under_test.max_batch_size, "valid": not reasons}
        serving = Serving(
            **fields,
            **_energy_fields(energy, result.num_answered),
            invalid_reasons=reasons,
            backend=self._config.backend.name,
            runtime=under_test.runtime,
            device=under_test.facts.get("device"),
            num_threads=self._config.num_threads,
            prepare_s=self._prepare_s,
            load_s=under_test.load_s,
            compile_s=under_test.compile_s,
        )
        self._serving = with_serving_costs(serving, self._job.config)
        self._rate_search = list(performance.steps)

    def record(self, status: Status, error: RunError | None) -> RunRecord:
        """The record of what has been measured so far."""
        job, window, under_test = self._job, self._window, self._under_test
        measured = window.record_fields() if window else {}
        started = window is not None and window.clock.started
        serve_s = window.time_s if window is not None and started else 0.0
        record = outcome_record(
            job.identity,
            job.config,
            [],
            status=status,
            error=error,
            host={
                **job.host,
                "gpus": window.devices if window else [],
                "runtime": dict(under_test.facts) if under_test else {},
            },
            phases=Phases(
                launch_s=self._launch_s,
                init_s=self._init_s,
                serve_s=serve_s,
                wall_time_s=serve_s,
            ),
        )
        return replace(
            record,
            **measured,
            model=self._model(),
            quality_test=self._quality,
            serving=self._serving,
            trained=self._link(),
            compression=self._compression,
            placement=under_test.placement if under_test else None,
            stages=under_test.stages if under_test else [],
            rate_search=self._rate_search,
        )

    def _model(self) -> ModelFacts | None:
        """The model as it was trained, with the size in which it is served."""
        if self._trained is None or self._trained.record.model is None:
            return None
        return replace(self._trained.record.model, size_bytes=self._size_bytes)

    def _link(self) -> TrainedRun | None:
        if self._trained is None:
            return None
        record = self._trained.record
        return TrainedRun(
            run_id=record.run_id,
            config_hash=record.config_hash,
            seed=record.seed,
            reached=record.target.reached if record.target else None,
            model=record.model.name if record.model else None,
            data=str(record.config["data"]["_target_"]).rpartition(".")[2],
        )


def _energy_fields(energy: WindowEnergy, num_samples: int) -> dict[str, Any]:
    """Joules of one prediction; none where a component is below its resolution."""
    coarse = any(row.below_resolution for row in energy.rows)
    if energy.total_j is None or coarse or not num_samples:
        return {}
    return {
        "energy_per_prediction_j": energy.total_j / num_samples,
        "energy_per_prediction_label": energy.label,
        "energy_per_prediction_error_frac": energy.error_frac,
    }


def _nothing() -> None:
    """Do nothing: a backend waits for its device before it gives an answer."""
