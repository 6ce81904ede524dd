from __future__ import annotations

import json
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest
from typing_extensions import override

from bench.core.arrays import Inputs
from bench.core.errors import PassFailed
from bench.serving.backend import Outputs
from bench.serving.in_process import InProcessSystem
from bench.serving.loadgen import run_accuracy_pass, run_pass
from bench.serving.pass_result import PassResult, PassSettings, pass_result
from bench.serving.pass_windows import PassMeter
from bench.serving.system import Done, Sample
from bench.serving.trace import Detail, read_detail, read_samples
from tests.serving.fakes import FakeBackend, InstantSystem, logits_of, numbered_inputs

NUM_INPUTS = 40
IMAGES = numbered_inputs(NUM_INPUTS)
SCENARIOS = ("single_stream", "multi_stream", "server", "offline")


def settings(scenario: str, **changes: Any) -> PassSettings:
    """A short pass of a scenario, as one that a busy machine finds valid too."""
    given: dict[str, Any] = {
        "scenario": scenario,
        "num_inputs": NUM_INPUTS,
        "seed": 3,
        "min_queries": 700,
        "samples_per_query": 8 if scenario == "multi_stream" else 1,
        "rate_per_s": 20_000.0,
        "latency_bound_ms": 5000.0 if scenario == "server" else None,
    }
    return PassSettings(**{**given, **changes})


def system_for(scenario: str, backend: FakeBackend) -> InProcessSystem:
    return InProcessSystem(backend, IMAGES, max_batch_size=8, queued=scenario == "server")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_sample_is_answered_and_has_its_row(scenario: str) -> None:
    backend = FakeBackend()
    result = run_pass(system_for(scenario, backend), settings(scenario))
    assert result.valid, result.invalid_reasons
    num_samples = 5600 if scenario == "multi_stream" else 700  # 700 queries of 8, or of 1
    assert result.num_samples == num_samples
    filled = 704 if scenario == "offline" else num_samples  # in full batches of 8
    assert sum(backend.batch_sizes) == filled
    assert result.num_queries == (1 if scenario == "offline" else 700)
    rows = result.samples
    assert rows is not None
    assert len(rows.latency_ms) == num_samples
    assert rows["query"].tolist() == [
        0 if scenario == "offline" else number // (num_samples // 700)
        for number in range(num_samples)
    ]
    assert 0 <= rows.input_index.min() <= rows.input_index.max() < NUM_INPUTS
    assert rows.scheduled_s[0] == 0
    assert np.all(np.diff(rows.scheduled_s) >= 0)
    assert np.all(rows.latency_ms >= rows.issue_delay_ms)
    assert result.duration_s == pytest.approx(
        float(np.max(rows.scheduled_s + rows.latency_ms / 1e3)), rel=1e-9
    )


@pytest.mark.parametrize("scenario", ["single_stream", "multi_stream", "server"])
def test_percentiles_are_those_of_the_rows(scenario: str) -> None:
    result = run_pass(system_for(scenario, FakeBackend()), settings(scenario))
    assert result.samples is not None
    # A query of several samples is answered when its last sample is.
    queries_ms = np.sort(
        np.maximum.reduceat(result.samples["latency_ms"].to_numpy(), _starts(result.samples))
    )
    # LoadGen takes element floor(n q) of the sorted latencies, counted from 0.
    assert result.latency_p50_ms == pytest.approx(queries_ms[350], abs=1e-6)
    assert result.latency_p90_ms == pytest.approx(queries_ms[630], abs=1e-6)
    assert result.latency_p99_ms == pytest.approx(queries_ms[693], abs=1e-6)
    assert result.latency_p999_ms is None  # needs 6,636
    assert result.latency_mean_ms == pytest.approx(queries_ms.mean(), abs=2e-6)


def _starts(rows: pd.DataFrame) -> Any:
    return np.flatnonzero(np.diff(rows["query"], prepend=-1))


def test_percentiles_are_missing_below_their_floor_of_queries() -> None:
    few = run_pass(InstantSystem(), settings("single_stream", min_queries=63))
    assert few.latency_p50_ms is not None
    assert few.latency_p90_ms is None
    assert not few.valid
    assert "too few queries" in few.invalid_reasons[0]
    assert few.only_unsure
    enough = run_pass(InstantSystem(), settings("single_stream", min_queries=64))
    assert enough.latency_p90_ms is not None
    assert enough.latency_p99_ms is None
    assert enough.valid


def test_without_raw_latencies_there_are_figures_but_no_rows() -> None:
    for scenario in SCENARIOS:
        changes = {"raw_latencies": False, "min_duration_s": 0.01, "rate_per_s": 20_000.0}
        if scenario == "offline":
            changes["rate_per_s"] = 5_000_000.0
        result = run_pass(InstantSystem(), settings(scenario, **changes, expected_latency_s=1e-5))
        assert result.samples is None
        assert result.duration_s > 0
        assert result.completed_per_s is not None


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_seed_alone_says_which_samples_come(scenario: str) -> None:
    def indices(seed: int) -> list[int]:
        system = InstantSystem()
        run_pass(system, settings(scenario, seed=seed, min_queries=100))
        return system.issued

    assert indices(1) == indices(1)
    assert indices(1) != indices(2)


def test_arrivals_are_poisson_at_the_asked_rate_and_follow_the_seed() -> None:
    def arrivals_s(rate_per_s: float, seed: int = 0) -> Any:
        asked = settings("server", rate_per_s=rate_per_s, seed=seed, min_queries=2000)
        rows = run_pass(InstantSystem(), asked).samples
        assert rows is not None
        return rows.scheduled_s

    slow_s, again_s = arrivals_s(10_000), arrivals_s(10_000)
    np.testing.assert_allclose(again_s, slow_s, atol=3e-9)  # the trace has whole nanoseconds
    # The same draws at twice the rate: LoadGen divides exponential variables by it.
    np.testing.assert_allclose(arrivals_s(20_000), slow_s / 2, atol=5e-6)
    assert not np.allclose(arrivals_s(10_000, seed=1)[:2000], slow_s[:2000], atol=1e-5)
    # Times between arrivals are exponential with mean 1/rate: neither rejected at 1%, for this
    # seed, and the mean of 1999 of them has a standard error of 1/sqrt(1999) = 2.2%.
    between_s = np.diff(slow_s)
    assert between_s.mean() == pytest.approx(1e-4, rel=0.07)
    assert kstest(between_s, "expon", args=(0, 1e-4)).pvalue > 0.01


@pytest.mark.parametrize("queued", [False, True])
def test_an_accuracy_pass_issues_every_image_once(queued: bool) -> None:
    system = InProcessSystem(FakeBackend(), IMAGES, max_batch_size=7, queued=queued)
    run_accuracy_pass(system, num_inputs=NUM_INPUTS, seed=0)
    indices, logits = system.answers()
    assert sorted(indices.tolist()) == list(range(NUM_INPUTS))
    np.testing.assert_array_equal(logits, logits_of(indices))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_model_that_raises_ends_the_pass_with_its_error(scenario: str) -> None:
    backend = FakeBackend(fail_at=5, error=MemoryError("no room"))
    system = system_for(scenario, backend)
    with pytest.raises(PassFailed, match=f"scenario {scenario}: MemoryError: no room") as caught:
        run_pass(system, settings(scenario))
    assert isinstance(caught.value.__cause__, MemoryError)
    assert len(backend.batch_sizes) == 6
    # And the process is as good as before.
    assert run_pass(system_for(scenario, FakeBackend()), settings(scenario)).valid


class RaisingSystem(InstantSystem):
    """Breaks the promise not to raise."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self._where = where

    @override
    def issue(self, samples: Sequence[Sample]) -> None:
        if self._where == "issue":
            raise RuntimeError("broken issue")
        super().issue(samples)

    @override
    def flush(self) -> None:
        if self._where == "flush":
            raise RuntimeError("broken flush")


@pytest.mark.parametrize("where", ["issue", "flush"])
def test_a_system_that_raises_does_not_take_the_process_along(where: str) -> None:
    system = RaisingSystem(where)
    with pytest.raises(PassFailed, match=f"broken {where}"):
        run_pass(system, settings("single_stream", min_queries=10))
    assert system.ended


def test_the_window_is_open_while_the_system_is_asked_and_no_longer() -> None:
    events: list[str] = []

    @contextmanager
    def window() -> Iterator[None]:
        events.append("open")
        yield
        events.append("close")

    class Noting(InstantSystem):
        @override
        def issue(self, samples: Sequence[Sample]) -> None:
            events.append("issue")
            super().issue(samples)

    run_pass(Noting(), settings("single_stream", min_queries=2), window=window)
    assert events == ["open", "issue", "issue", "close"]

    class Meter(PassMeter):
        def __init__(self) -> None:
            pass

        @override
        def first_query(self) -> None:
            events.append("first")

        @override
        def last_query(self) -> None:
            events.append("last")

    events.clear()
    around = partial(nullcontext[PassMeter], Meter())
    run_pass(Noting(), settings("single_stream", min_queries=2), window=around)
    assert events == ["first", "issue", "issue", "last"]


@pytest.mark.parametrize("where", ["enter", "exit"])
def test_a_window_that_fails_fails_the_pass(where: str) -> None:
    @contextmanager
    def window() -> Iterator[None]:
        if where == "enter":
            raise OSError("the meter is gone")
        yield
        raise OSError("the meter is gone")

    with pytest.raises(PassFailed, match="OSError: the meter is gone"):
        run_pass(InstantSystem(), settings("offline"), window=window)


class Interrupted(BaseException):
    """What a signal handler raises."""


def test_a_signal_ends_the_pass_early_and_comes_through() -> None:
    def raise_it(number: int, frame: FrameType | None) -> None:
        raise Interrupted

    class Signalling(FakeBackend):
        @override
        def predict(self, images: Inputs) -> Outputs:
            logits = super().predict(images)
            if len(self.batch_sizes) == 3:
                signal.raise_signal(signal.SIGUSR1)
            return logits

    backend = Signalling()
    before = signal.signal(signal.SIGUSR1, raise_it)
    try:
        with pytest.raises(Interrupted):
            # Would take a minute; when nothing is computed any more, LoadGen soon runs out of the
            # 12,000 queries that it prepares: twice as many as should take a minute.
            run_pass(
                system_for("single_stream", backend),
                settings("single_stream", min_duration_s=60.0, expected_latency_s=1e-2),
            )
    finally:
        signal.signal(signal.SIGUSR1, before)
    # The generator, of which there is one per process, has ended and can be had again.
    assert run_pass(InstantSystem(), settings("single_stream")).valid


@pytest.mark.parametrize("queued", [False, True])
def test_threads_that_call_loadgen_outlive_the_pass(queued: bool) -> None:
    """LoadGen's own thread frees what belongs to a thread that ends: see bench/serving/system."""
    callers: set[threading.Thread] = set()

    class Noting(InProcessSystem):
        @override
        def begin(self, done: Done, *, collect: bool) -> None:
            def noting(ids: Sequence[int]) -> None:
                callers.add(threading.current_thread())
                done(ids)

            super().begin(noting, collect=collect)

    for _ in range(3):
        system = Noting(FakeBackend(), IMAGES, max_batch_size=8, queued=queued)
        run_pass(system, settings("server", min_queries=64))
    assert callers
    assert all(thread.is_alive() for thread in callers)


def test_nothing_is_left_behind_or_printed_and_the_working_directory_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    temporary, working = tmp_path / "temporary", tmp_path / "working"
    temporary.mkdir()
    working.mkdir()
    # LoadGen would take its settings from here.
    (working / "audit.config").write_text("*.SingleStream.min_query_count = 3\n")
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.chdir(working)
    result = run_pass(InstantSystem(), settings("single_stream", min_queries=100))
    run_accuracy_pass(InstantSystem(), num_inputs=NUM_INPUTS, seed=0)
    with pytest.raises(PassFailed):
        run_pass(RaisingSystem("issue"), settings("single_stream"))
    assert result.num_queries == 100
    assert [path.name for path in working.iterdir()] == ["audit.config"]
    assert list(temporary.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_server_needs_a_bound() -> None:
    with pytest.raises(ValueError, match=r"scenario\.latency_bound_ms"):
        run_pass(InstantSystem(), settings("server", latency_bound_ms=None))


def test_a_backlog_past_its_limit_ends_the_pass_and_is_a_reason() -> None:
    gate = threading.Event()

    class Stuck(FakeBackend):
        @override
        def predict(self, images: Inputs) -> Outputs:
            assert gate.wait(30)
            return super().predict(images)

    class Opening(InProcessSystem):
        @override
        def flush(self) -> None:
            gate.set()

    system = Opening(Stuck(), IMAGES, max_batch_size=8, queued=True)
    result = run_pass(system, settings("server", max_waiting=50, min_duration_s=1.0))
    assert result.num_queries == 51  # the first that finds more than 50 waiting, itself included
    assert not result.valid
    assert any("Too many outstanding queries" in reason for reason in result.invalid_reasons)


# From here on, what is made of LoadGen's logs.


def detail(**changes: Any) -> Detail:
    values: dict[str, Any] = {
        "result_validity": "VALID",
        "result_perf_constraints_met": True,
        "result_min_duration_met": True,
        "result_min_queries_met": True,
        "early_stopping_met": True,
        "early_stopping_result": " * Run successful.",
        "result_query_count": 1000,
        "effective_samples_per_query": 1,
        "result_mean_latency_ns": 2_000_000,
        "result_overlatency_query_count": 0,
        "result_scheduled_samples_per_sec": 100.0,
        "result_completed_samples_per_sec": 99.0,
        **{f"result_{q}_percentile_latency_ns": 3_000_000 for q in ("50.00", "90.00", "99.90")},
        "result_99.00_percentile_latency_ns": 30_000_000,
    }
    return Detail(values={**values, **changes}, errors=())


def rows_delayed(delays_ms: Sequence[float]) -> pd.DataFrame:
    number = np.arange(len(delays_ms))
    delay_ms = np.array(delays_ms, dtype=np.float64)
    return pd.DataFrame(
        {
            "query": number,
            "input_index": number,
            "scheduled_s": number / 100,
            "issue_delay_ms": delay_ms,
            "latency_ms": delay_ms + 1,
        }
    )


def judged(log: Detail, rows: pd.DataFrame, num_failed: int = 0) -> PassResult:
    asked = settings("server", latency_bound_ms=20.0, rate_per_s=100.0)
    return pass_result(asked, log, rows, num_failed=num_failed, columns=pd.DataFrame())


def test_a_missed_bound_is_reported_with_both_numbers() -> None:
    log = detail(
        result_validity="INVALID", result_perf_constraints_met=False, early_stopping_met=False
    )
    result = judged(log, rows_delayed([0.0] * 1000))
    assert result.invalid_reasons == ("p99 latency of 30 ms is over the bound of 20 ms",)
    assert not result.only_unsure


def test_a_bound_that_is_kept_may_be_kept_by_too_few_queries() -> None:
    log = detail(
        result_validity="INVALID", early_stopping_met=False, early_stopping_result=" * Run more.\n"
    )
    result = judged(log, rows_delayed([0.0] * 1000))
    assert result.invalid_reasons == (
        "too few queries to be 99% sure of the percentile: Run more.",
    )
    assert result.only_unsure
    assert not judged(log, rows_delayed([0.0] * 1000), num_failed=1).only_unsure


def test_a_late_generator_is_reported() -> None:
    # The 990th smallest of 1000 is the p99. Half of the bound is 10 ms.
    assert judged(detail(), rows_delayed([0.0] * 990 + [15.0] * 10)).valid
    late = judged(detail(), rows_delayed([0.0] * 989 + [15.0] * 11))
    assert not late.valid
    assert "load generator was late itself" in late.invalid_reasons[0]
    assert "100 queries per second" in late.invalid_reasons[0]


def test_failed_requests_make_a_pass_invalid() -> None:
    result = judged(detail(), rows_delayed([0.0] * 1000), num_failed=2)
    assert result.invalid_reasons == ("2 of 1000 requests failed",)


def test_a_verdict_without_a_reason_of_ours_has_loadgens() -> None:
    log = detail(result_validity="INVALID", result_invalid_reason="for a new reason")
    result = judged(log, rows_delayed([0.0] * 1000))
    assert result.invalid_reasons == ("LoadGen: for a new reason",)


def test_a_trace_without_one_of_the_samples_is_refused(tmp_path: Path) -> None:
    line = (
        '{"name":"Sample","ts":1.5,"args":{"sample_seq":%d,"query_seq":0,"sample_idx":4,'
        '"issue_start_ns":10,"complete_ns":2000000}},\n'
    )
    path = tmp_path / "trace.json"
    path.write_text(line % 1 + '{"name":"Log","args":{"key":""x""}},\n' + line % 0)
    rows = read_samples(path)
    assert rows.input_index.tolist() == [4, 4]
    assert rows.latency_ms.tolist() == [2.0, 2.0]
    assert rows.issue_delay_ms.tolist() == [1e-5, 1e-5]
    path.write_text(line % 2 + line % 0)
    with pytest.raises(ValueError, match="does not hold each sample once"):
        read_samples(path)
    path.write_text("{}\n")
    with pytest.raises(ValueError, match="does not hold each sample once"):
        read_samples(path)


def entry(key: str, value: str, *, error: bool = False) -> str:
    metadata: Mapping[str, bool] = {"is_error": error}
    return f':::MLLOG {{"key": "{key}", "value": {value}, "metadata": {json.dumps(metadata)}}}\n'


def test_a_detail_log_gives_values_and_errors(tmp_path: Path) -> None:
    path = tmp_path / "detail.txt"
    path.write_text(
        entry("rate", "-nan") + entry("count", "7") + entry("error_runtime", '"late"', error=True)
    )
    found = read_detail(path)
    assert found.values == {"rate": None, "count": 7, "error_runtime": "late"}
    assert found.errors == ("late",)
    path.write_text("something else\n")
    with pytest.raises(ValueError, match="not a line of LoadGen's log"):
        read_detail(path)
