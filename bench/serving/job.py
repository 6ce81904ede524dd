"""The body of bench.serve: serves one model in one way, in a fresh process of its own.

It prepares the model, opens it in this process or behind a server, warms it up, has every input of
the test split answered once, and measures the scenario. It writes the record whatever happens.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from bench.compression.artifact import Artifact
from bench.config.serve import GENERATE, ServeConfig
from bench.core.identity import part_name
from bench.core.records.phases import SERVING_PHASES, Phases
from bench.core.records.run import RunError, RunRecord, Status
from bench.core.records.serving import Serving, TrainedRun
from bench.core.scratch import remove_left_folders, scratch_folder
from bench.core.store import write_record
from bench.launch.job import Job, Progress
from bench.measure.energy import MIN_REFRESHES
from bench.measure.health import without_gap
from bench.measure.window import Window
from bench.runs.charges import require_rates, with_serving_costs
from bench.runs.exit_handling import carry_out, start_log
from bench.runs.instruments import build_window
from bench.runs.measured import measured_record
from bench.serving.backend import Outputs
from bench.serving.beside import compare_with_alone, open_retraining
from bench.serving.compressed import compare_with_uncompressed
from bench.serving.generation import Generation, generation_fields
from bench.serving.model import TrainedModel
from bench.serving.pass_result import PassResult
from bench.serving.pass_windows import PassWindows, energy_fields
from bench.serving.performance import Passes, requests_frame, serving_fields
from bench.serving.retraining import Retraining
from bench.serving.scenarios import run_accuracy, run_performance, warm_up
from bench.serving.skew import check_skew
from bench.serving.system import System
from bench.serving.system_under_test import UnderTest, open_system

_log = logging.getLogger(__name__)

# A pass may end a little early, so aim at more than the shortest one that a meter resolves.
_MARGIN = 1.1


def run(job: Job, send: Callable[[Progress], None], launched_s: float) -> None:
    """Serve the model and write the record, however the run ends.

    Args:
        job: What to serve, how, and where to put the record.
        send: Reports progress to the parent.
        launched_s: When the parent launched this process, on the host's monotonic clock.
    """
    launch_s = time.monotonic() - launched_s
    start_log()
    write_record(job.folder, carry_out(ServingRun(job, send, launch_s=launch_s)))


class ServingRun:
    """One run, which can be asked for its record at any moment."""

    def __init__(self, job: Job, send: Callable[[Progress], None], *, launch_s: float) -> None:
        self._job = job
        self._send = send
        self._config = ServeConfig.from_dict(job.config)
        self._launch_s = launch_s
        self._entered_s = time.perf_counter()
        self._windows = PassWindows(self._build_window, job.folder)
        # The record, as far as the run has come.
        self._under_test: UnderTest | None = None
        self._prepare_s: float | None = None
        self._fields: dict[str, Any] = {}

    def make(self) -> None:
        """Prepare and open the model, warm it up, check its answers, and measure it.

        Raises:
            ValueError: The model cannot be served in this way; the message has the reason.
            PassFailed: It failed while it was measured.
        """
        config = self._config
        # A wrong price or country fails here, before anything is served.
        require_rates(config)
        self._report("loading the model and its data")
        trained = TrainedModel(Path(config.run), config)
        # Now, so that the record of a failed run says what it wanted to serve.
        self._fields |= {"trained": trained_run(trained.record), "model": trained.facts(None)}
        self._fields["task"] = trained.task_facts()
        remove_left_folders()
        with scratch_folder() as work:
            self._report("preparing the model")
            artifact = self._prepare(trained, work)
            self._report("opening the model")
            with open_system(config, artifact, trained, work, self._job.folder) as self._under_test:
                generates = config.scenario.name == GENERATE
                measure = self._measure_generation if generates else self._measure
                with open_retraining(config, trained, work, self._job.folder) as retraining:
                    answers = measure(self._under_test, trained)
                    if retraining is not None:
                        self._compare_with_alone(self._under_test, trained, retraining)
                if config.check_skew:
                    self._report("comparing with what the training gives")
                    self._fields["skew"] = check_skew(
                        config, trained, self._under_test, artifact, answers
                    )
            if config.compression.method != "none" and artifact is not None:
                self._report("comparing with the uncompressed model")
                self._fields["compression"] = compare_with_uncompressed(
                    config, trained, artifact, self._fields["quality_test"], work
                )
        trained.require_unchanged_split()

    def close(self) -> None:
        """Stop and release the window, if there is one."""
        self._windows.close()

    def _report(self, stage: str) -> None:
        _log.info("%s", stage)
        self._send(Progress(stage=stage))

    def _prepare(self, trained: TrainedModel, work: Path) -> Artifact | None:
        """Write the model to disk; None if a server of the user's own has it."""
        if self._config.backend.serves_elsewhere:
            return None
        folder = (self._job.folder if self._config.keep_model else work) / "model"
        began_s = time.perf_counter()
        artifact = trained.prepare(self._config, self._config.compression.method, folder)
        self._prepare_s = time.perf_counter() - began_s
        self._fields["model"] = trained.facts(artifact.size_bytes)
        return artifact

    def _measure(self, under_test: UnderTest, trained: TrainedModel) -> Outputs:
        """Measure how LoadGen's queries are answered; return what the test split was answered."""
        config = self._config
        num_inputs = len(trained.test)
        system = under_test.system
        self._report("warming up")
        warm = warm_up(system, config.scenario, num_inputs=num_inputs, seed=config.seed)
        answers = self._answer_test_split(system, trained)
        self._windows.answers_at_once = under_test.answers_at_once
        min_duration_s = self._open_window()
        performance = run_performance(
            Passes(
                system=system,
                window=self._windows.around,
                complaints=under_test.complaints,
                keep=self._keep,
            ),
            config.scenario,
            num_inputs=num_inputs,
            seed=config.seed,
            warm=warm,
            min_duration_s=min_duration_s,
        )
        fields = serving_fields(config.scenario, performance)
        self._keep_serving(fields, requests_frame(performance.result), under_test)
        self._fields["rate_search"] = list(performance.steps)
        return answers

    def _compare_with_alone(
        self, under_test: UnderTest, trained: TrainedModel, retraining: Retraining
    ) -> None:
        """Compare the latency with that without the training beside it."""
        retraining.require_running()  # if it has ended, the pass was not measured beside it
        self._report("comparing with and without the retraining")
        beside = compare_with_alone(
            under_test.system,
            retraining,
            self._config.beside,
            num_inputs=len(trained.test),
            seed=self._config.seed,
        )
        self._fields["serving"] = replace(self._fields["serving"], beside=beside)

    def _measure_generation(self, under_test: UnderTest, trained: TrainedModel) -> Outputs:
        """As _measure, of how a language model continues prompts."""
        config = self._config
        assert under_test.backend is not None, "generate runs in this process"
        generation = Generation(
            under_test.backend, trained.test.inputs, config.scenario, seed=config.seed
        )
        self._report("warming up")
        generation.warm_up()
        answers = self._answer_test_split(under_test.system, trained)
        min_duration_s = self._open_window()
        with self._windows.around() as meter:
            meter.first_query()
            rows = generation.measure(min_duration_s)
            meter.last_query()
        self._windows.keep()
        kept_rows = rows if config.scenario.raw_latencies else None
        self._keep_serving(generation_fields(config.scenario, rows), kept_rows, under_test)
        return answers

    def _answer_test_split(self, system: System, trained: TrainedModel) -> Outputs:
        """Have every input answered, for the quality of what is served, shape (n, ...)."""
        self._report("having every test input answered")
        _, outputs = run_accuracy(system, len(trained.test), seed=self._config.seed)
        trained.require_unchanged_split()
        self._fields["quality_test"] = trained.quality(outputs)
        self._report(f"measuring {self._config.scenario.name}")
        return outputs

    def _open_window(self) -> float:
        """Open the first window; return how long every meter needs to resolve its joules.

        It is opened now, because only open meters know how often they refresh.
        """
        refresh_s = self._windows.open().meters.refresh_s or 0.0
        return _MARGIN * MIN_REFRESHES * refresh_s

    def _build_window(self) -> Window:
        gpus = self._under_test.gpus if self._under_test else []
        # Nothing to synchronize: a backend waits for its device before it returns an answer.
        return build_window(self._config, lambda: None, gpus=gpus, phases=SERVING_PHASES)

    def _keep(self, result: PassResult) -> None:
        """Keep the pass that has just ended: it is the best one so far."""
        self._windows.keep()
        if self._under_test is not None:
            self._under_test.keep(result)

    def _keep_serving(
        self, fields: dict[str, Any], requests: pd.DataFrame | None, under_test: UnderTest
    ) -> None:
        """Write the requests of the reported pass, and keep its fields for the record."""
        kept = self._windows.kept
        assert kept is not None, "the reported pass was kept"
        if requests is not None:
            requests.to_parquet(self._job.folder / "requests.parquet", index=False)
        fields |= energy_fields(kept, fields["num_predictions"], fields.get("output_tokens"))
        self._fields["serving"] = Serving(
            **fields,
            max_batch_size=under_test.max_batch_size,
            backend=self._config.backend.name,
            runtime=under_test.runtime,
            device=under_test.facts.get("device"),
            num_threads=self._config.num_threads,
            prepare_s=self._prepare_s,
            load_s=under_test.load_s,
            compile_s=under_test.compile_s,
        )

    def record(self, status: Status, error: RunError | None) -> RunRecord:
        """The record of what has been measured so far."""
        job, window, under_test = self._job, self._windows.window, self._under_test
        started = window is not None and window.clock.started
        serve_s = window.time_s if window is not None and started else None
        init_s = window.clock.started_s - self._entered_s if window and started else None
        if under_test is not None:
            self._fields |= {"placement": under_test.placement, "stages": under_test.stages}
        whole = measured_record(
            job.identity,
            job.config,
            [],
            window,
            host={**job.host, "runtime": dict(under_test.facts) if under_test else {}},
            fields=self._fields,
            status=status,
            error=error,
            phases=Phases(
                launch_s=self._launch_s,
                init_s=init_s,
                serve_s=serve_s,
                wall_time_s=serve_s,
            ),
        )
        if self._config.beside is not None and whole.health is not None:
            whole = replace(whole, health=without_gap(whole.health))
        if whole.serving is None:
            return whole
        return replace(whole, serving=with_serving_costs(whole.serving, job.config))


def trained_run(record: RunRecord) -> TrainedRun:
    """The link to the training run whose model is served."""
    return TrainedRun(
        run_id=record.run_id,
        config_hash=record.config_hash,
        seed=record.seed,
        reached=record.target.reached if record.target else None,
        target_metric=record.target.metric if record.target else None,
        model=record.model.name if record.model else None,
        data=part_name(record.config, "data"),
    )
