"""One pass of the MLPerf load generator over a system.

LoadGen decides which sample comes when, measures each from the moment it was scheduled for, and
judges the pass. It runs in a thread of its own: a signal then reaches Python while it runs, and is
not raised inside a callback, where an exception would end the process. Its logs go to a temporary
folder that is read and removed.

Source: MLPerf Inference LoadGen (github.com/mlcommons/inference, loadgen); Reddi et al.,
    arXiv 1911.02549.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import wait
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import mlperf_loadgen as lg
import numpy as np

from bench.core.errors import PassFailed
from bench.serving.pass_result import PassResult, PassSettings, pass_result
from bench.serving.pass_windows import PassMeter
from bench.serving.system import LASTING_THREADS, Sample, System
from bench.serving.trace import read_detail, read_samples

# Opens a window around a pass; what it gives is told of the first and the last query.
OpenWindow = Callable[[], AbstractContextManager[PassMeter | None]]

_SCENARIOS = {
    "single_stream": lg.TestScenario.SingleStream,
    "multi_stream": lg.TestScenario.MultiStream,
    "server": lg.TestScenario.Server,
    "offline": lg.TestScenario.Offline,
}


def run_pass(
    system: System, settings: PassSettings, *, window: OpenWindow = nullcontext
) -> PassResult:
    """Run one performance pass.

    Args:
        system: What answers.
        settings: What is test_settings of it.
        window: Makes a context manager that is entered before the queries are prepared and left
            when all are answered, in LoadGen's thread.

    Raises:
        PassFailed: The system failed.
        ValueError: A setting is missing or out of range; LoadGen's logs are not understood.
    """
    with tempfile.TemporaryDirectory(prefix="loadgen-") as name:
        folder = Path(name)
        mode = lg.TestMode.PerformanceOnly
        _drive(system, _loadgen_settings(settings, mode), settings, folder, window)
        detail = read_detail(folder / "mlperf_log_detail.txt")
        trace = folder / "mlperf_log_trace.json"
        samples = read_samples(trace) if settings.raw_latencies else None
    return pass_result(
        settings, detail, samples, num_failed=system.num_failed, columns=system.columns()
    )


def run_accuracy_pass(system: System, *, num_images: int, seed: int) -> None:
    """Have every image answered once; the answers are then at the system.

    Args:
        system: What answers.
        num_images: Images of the test split; all of them are issued as one query.
        seed: Of their order.

    Raises:
        PassFailed: The system failed.
    """
    settings = PassSettings(
        scenario="offline", num_images=num_images, seed=seed, raw_latencies=False
    )
    with tempfile.TemporaryDirectory(prefix="loadgen-") as name:
        test_settings = _loadgen_settings(settings, lg.TestMode.AccuracyOnly)
        _drive(system, test_settings, settings, Path(name), nullcontext, collect=True)


def loadgen_seeds(seed: int) -> tuple[int, int, int]:
    """LoadGen's seeds: of the order of the library, of the samples drawn, of the schedule."""
    first, second, third = np.random.SeedSequence(seed).generate_state(3)
    return int(first), int(second), int(third)


class _Glue:
    """LoadGen's callbacks: nothing that goes wrong in Python may reach C++."""

    def __init__(self, system: System, window: OpenWindow) -> None:
        self._system = system
        self._issue = system.issue
        self._window = window
        self._meter: PassMeter | None = None
        self._before_first = False
        self._entered = ExitStack()

    @staticmethod
    def done(ids: Sequence[int]) -> None:
        lg.QuerySamplesComplete([lg.QuerySampleResponse(one, 0, 0) for one in ids])

    def issue(self, samples: Sequence[Sample]) -> None:
        try:
            if self._before_first and self._meter is not None:  # once in a pass
                self._before_first = False
                self._meter.first_query()
            self._issue(samples)
        except BaseException as error:  # a breach of System's promise: kept, and the pass goes on
            self._keep(error)
            self.done([sample.id for sample in samples])

    def flush(self) -> None:
        with self._keeping():
            self._system.flush()
            if self._meter is not None:
                self._meter.last_query()

    def load(self, _: Sequence[int]) -> None:
        with self._keeping():
            self._meter = self._entered.enter_context(self._window())
            self._before_first = self._meter is not None

    def unload(self, _: Sequence[int]) -> None:
        with self._keeping():
            self._entered.close()

    @contextmanager
    def _keeping(self) -> Iterator[None]:
        """Keep what is raised, for the end of the pass."""
        try:
            yield
        except BaseException as error:
            self._keep(error)

    def _keep(self, error: BaseException) -> None:
        self._system.failure = self._system.failure or error


def _drive(
    system: System,
    test_settings: Any,
    settings: PassSettings,
    folder: Path,
    window: OpenWindow,
    *,
    collect: bool = False,
) -> None:
    """Run LoadGen to its end and raise what the system, or a callback, failed with."""
    glue = _Glue(system, window)
    logs = lg.LogSettings()
    logs.log_output.outdir = str(folder)
    logs.log_output.copy_detail_to_stdout = False
    logs.log_output.copy_summary_to_stdout = False
    logs.enable_trace = settings.raw_latencies
    sut = lg.ConstructSUT(glue.issue, glue.flush)
    qsl = lg.ConstructQSL(settings.num_images, settings.num_images, glue.load, glue.unload)
    # A path that does not exist: an audit.config of the working directory is not for us.
    arguments = (sut, qsl, test_settings, logs, str(folder / "no_audit.config"))
    try:
        system.begin(glue.done, collect=collect)
        try:
            _in_thread(system, arguments)
        finally:
            system.end()
    finally:
        lg.DestroyQSL(qsl)
        lg.DestroySUT(sut)
    if system.failure is not None:
        kind = type(system.failure).__name__
        reason = " ".join(str(system.failure).split())  # a runtime's message has several lines
        what = "accuracy" if collect else f"scenario {settings.scenario}"
        raise PassFailed(f"{what}: {kind}: {reason}") from system.failure


def _in_thread(system: System, arguments: tuple[Any, ...]) -> None:
    """Wait for LoadGen's thread, whatever comes; callbacks and their objects must outlive it."""
    interruption: BaseException | None = None
    test = LASTING_THREADS.submit(lg.StartTestWithLogSettings, *arguments)
    while not test.done():
        try:
            wait([test])
        except BaseException as error:
            # Ctrl-C: nothing more is computed, and the pass ends when its schedule does.
            system.failure = interruption = error
    if interruption is not None:
        raise interruption
    test.result()


def _loadgen_settings(settings: PassSettings, mode: Any) -> Any:
    """LoadGen's own form of the settings."""
    test_settings = lg.TestSettings()
    test_settings.scenario = _SCENARIOS[settings.scenario]
    test_settings.mode = mode
    test_settings.min_duration_ms = math.ceil(settings.min_duration_s * 1e3)
    test_settings.min_query_count = settings.min_queries
    expected_ns = max(1.0, settings.expected_latency_s * 1e9)
    test_settings.single_stream_expected_latency_ns = expected_ns
    test_settings.multi_stream_expected_latency_ns = expected_ns
    test_settings.multi_stream_samples_per_query = settings.samples_per_query
    test_settings.offline_expected_qps = settings.rate_per_s
    if settings.scenario == "server":
        if settings.latency_bound_ms is None:
            raise ValueError("scenario.latency_bound_ms: must be given for the server scenario")
        test_settings.server_target_qps = settings.rate_per_s
        test_settings.server_target_latency_ns = round(settings.latency_bound_ms * 1e6)
        test_settings.server_max_async_queries = settings.max_waiting
    library, index, schedule = loadgen_seeds(settings.seed)
    test_settings.qsl_rng_seed = library
    test_settings.sample_index_rng_seed = index
    test_settings.schedule_rng_seed = schedule
    return test_settings
