"""One pass of the MLPerf load generator over a system.

LoadGen decides which sample comes when, measures each one from its scheduled time, and judges the
pass. It runs in a thread of its own, so that a signal reaches Python's main thread meanwhile, and
not a callback, where an exception would end the process. Its logs go to a temporary folder, which
is read and removed.

Source: MLPerf Inference LoadGen (github.com/mlcommons/inference, loadgen); Reddi et al.,
    arXiv 1911.02549.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import wait
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import mlperf_loadgen as lg
import numpy as np

from bench.core.errors import PassFailed
from bench.core.scratch import scratch_folder
from bench.serving.pass_result import PassResult, PassSettings, pass_result
from bench.serving.system import LASTING_THREADS, Sample, System
from bench.serving.trace import read_detail, read_samples


class PassEdges(Protocol):
    """Notes when a pass begins and ends."""

    def first_query(self) -> None:
        """The first query is about to be issued."""

    def last_query(self) -> None:
        """The last query has been issued."""


# Opens a window around a pass.
OpenWindow = Callable[[], AbstractContextManager[PassEdges | None]]

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
        system: The system under test.
        settings: The settings of the pass.
        window: Makes a context manager, which LoadGen's thread enters before it prepares the
            queries and leaves once all are answered.

    Raises:
        PassFailed: The system failed.
        ValueError: A setting is missing or out of range, or LoadGen's logs have another format.
    """
    with scratch_folder() as folder:
        mode = lg.TestMode.PerformanceOnly
        _drive(system, _loadgen_settings(settings, mode), settings, folder, window)
        detail = read_detail(folder / "mlperf_log_detail.txt")
        trace = folder / "mlperf_log_trace.json"
        samples = read_samples(trace) if settings.raw_latencies else None
    return pass_result(
        settings, detail, samples, num_failed=system.num_failed, columns=system.columns()
    )


def run_accuracy_pass(system: System, *, num_inputs: int, seed: int) -> None:
    """Have every input answered once; the system then holds the answers.

    Args:
        system: The system under test.
        num_inputs: Inputs of the test split; one query issues them all.
        seed: Seed of their order.

    Raises:
        PassFailed: The system failed.
    """
    settings = PassSettings(
        scenario="offline", num_inputs=num_inputs, seed=seed, raw_latencies=False
    )
    with scratch_folder() as folder:
        test_settings = _loadgen_settings(settings, lg.TestMode.AccuracyOnly)
        _drive(system, test_settings, settings, folder, nullcontext, collect=True)


def loadgen_seeds(seed: int) -> tuple[int, int, int]:
    """LoadGen's seeds: for the order of its library, the samples drawn, and the schedule."""
    first, second, third = np.random.SeedSequence(seed).generate_state(3)
    return int(first), int(second), int(third)


class _Callbacks:
    """LoadGen's callbacks: no Python exception may reach C++."""

    def __init__(self, system: System, window: OpenWindow) -> None:
        self._system = system
        self._issue = system.issue
        self._window = window
        self._meter: PassEdges | None = None
        self._before_first = False
        self._stack = ExitStack()

    @staticmethod
    def done(ids: Sequence[int]) -> None:
        lg.QuerySamplesComplete([lg.QuerySampleResponse(sample_id, 0, 0) for sample_id in ids])

    def issue(self, samples: Sequence[Sample]) -> None:
        try:
            if self._before_first and self._meter is not None:  # once in a pass
                self._before_first = False
                self._meter.first_query()
            self._issue(samples)
        except BaseException as error:  # a System must not raise; if it does, end the pass anyway
            self._system.fail(error)
            self.done([sample.id for sample in samples])

    def flush(self) -> None:
        with self._keep_errors():
            self._system.flush()
            if self._meter is not None:
                self._meter.last_query()

    def load(self, _: Sequence[int]) -> None:
        with self._keep_errors():
            self._meter = self._stack.enter_context(self._window())
            self._before_first = self._meter is not None

    def unload(self, _: Sequence[int]) -> None:
        with self._keep_errors():
            self._stack.close()

    @contextmanager
    def _keep_errors(self) -> Iterator[None]:
        """Keep an exception for the end of the pass."""
        try:
            yield
        except BaseException as error:
            self._system.fail(error)


def _drive(
    system: System,
    test_settings: Any,
    settings: PassSettings,
    folder: Path,
    window: OpenWindow,
    *,
    collect: bool = False,
) -> None:
    """Run LoadGen to its end, and raise the exception of the system or of a callback."""
    callbacks = _Callbacks(system, window)
    logs = lg.LogSettings()
    logs.log_output.outdir = str(folder)
    logs.log_output.copy_detail_to_stdout = False
    # LoadGen writes to the terminal by default, into our progress line.
    logs.log_output.copy_summary_to_stdout = False
    logs.enable_trace = settings.raw_latencies
    sut = lg.ConstructSUT(callbacks.issue, callbacks.flush)
    num_inputs = settings.num_inputs
    qsl = lg.ConstructQSL(num_inputs, num_inputs, callbacks.load, callbacks.unload)
    # A path that does not exist, so that LoadGen does not read an audit.config of the working
    # directory, which would change the settings.
    arguments = (sut, qsl, test_settings, logs, str(folder / "no_audit.config"))
    try:
        system.begin(callbacks.done, collect=collect)
        try:
            _in_thread(system, arguments)
        finally:
            system.end()
    finally:
        lg.DestroyQSL(qsl)
        lg.DestroySUT(sut)
    if system.failure is not None:
        kind = type(system.failure).__name__
        reason = " ".join(str(system.failure).split())  # a runtime's message may have many lines
        what = "accuracy" if collect else f"scenario {settings.scenario}"
        raise PassFailed(f"{what}: {kind}: {reason}") from system.failure


def _in_thread(system: System, arguments: tuple[Any, ...]) -> None:
    """Wait for the end of LoadGen's thread in any case: it calls objects that must outlive it."""
    interruption: BaseException | None = None
    test = LASTING_THREADS.submit(lg.StartTestWithLogSettings, *arguments)
    while not test.done():
        try:
            wait([test])
        except BaseException as error:
            # Ctrl-C: the system computes nothing more, and the pass ends with its schedule.
            interruption = error
            system.fail(error)
    if interruption is not None:
        raise interruption
    test.result()


def _loadgen_settings(settings: PassSettings, mode: Any) -> Any:
    """The settings in LoadGen's own class."""
    test_settings = lg.TestSettings()
    test_settings.scenario = _SCENARIOS[settings.scenario]
    test_settings.mode = mode
    # Whole milliseconds, rounded up so that the pass is not shorter than required.
    test_settings.min_duration_ms = math.ceil(settings.min_duration_s * 1e3)
    test_settings.min_query_count = settings.min_queries
    # LoadGen divides by the expected latency, so it must not be zero.
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
