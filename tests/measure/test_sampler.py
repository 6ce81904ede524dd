from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bench.measure.nvml import Sample
from bench.measure.sampler import CpuProbe, Sampler, TelemetryRow, write_telemetry
from bench.measure.system import CpuMeter, ProcessTree
from tests.fakes import FakeClock


def waits(clock: FakeClock, num_ticks: int) -> tuple[list[float], Callable[[float], bool]]:
    """A wait that passes the time on a fake clock and says stop after so many ticks."""
    asked: list[float] = []

    def wait(seconds: float) -> bool:
        asked.append(seconds)
        clock.advance(seconds)
        return len(asked) >= num_ticks

    return asked, wait


def test_ticks_keep_to_absolute_deadlines() -> None:
    clock = FakeClock(now_s=50.0)

    def slow() -> list[Sample]:
        clock.advance(0.125)
        return [("cpu", "value", 1.0)]

    asked, wait = waits(clock, 3)
    sampler = Sampler([slow], period_s=0.5, clock=clock, wait=wait)
    sampler.run()
    assert asked == [0.375, 0.375, 0.375]  # what a tick took is not added to the period
    assert [row.t_s for row in sampler.rows(origin_s=51.0)] == [-1.0, -0.5, 0.0]
    assert sampler.report().largest_gap_s == 0.5


def test_a_late_tick_skips_the_deadlines_it_missed() -> None:
    clock = FakeClock()
    tick_lengths_s = iter([1.75, 0.0, 0.0])

    def held_up() -> list[Sample]:
        clock.advance(next(tick_lengths_s))
        return []

    asked, wait = waits(clock, 3)
    sampler = Sampler([held_up], period_s=0.5, clock=clock, wait=wait)
    sampler.run()
    assert asked == [0.25, 0.5, 0.5]  # ticks at 0, 2.0 and 2.5 s, and the end at 3.0 s
    report = sampler.report()
    assert report.largest_gap_s == 2.0
    assert report.num_ticks == 3


def test_its_cost_is_thread_time_over_elapsed_time() -> None:
    clock = FakeClock()
    cpu_s = iter([0.001, 0.002, 0.003, 0.004])
    _, wait = waits(clock, 4)
    sampler = Sampler([], period_s=0.5, clock=clock, wait=wait, thread_time=lambda: next(cpu_s))
    sampler.run()
    assert sampler.report().overhead_frac == pytest.approx(0.004 / 2.0)


def test_an_error_ends_it_with_a_reason_and_keeps_what_was_sampled() -> None:
    clock = FakeClock()
    values = iter([1.0])

    def probe() -> list[Sample]:
        return [("gpu0", "gpu_busy_frac", next(values, float("nan")))] if clock() < 1 else fail()

    def fail() -> list[Sample]:
        raise OSError("the GPU is lost")

    _, wait = waits(clock, 9)
    sampler = Sampler([probe], period_s=1.0, clock=clock, wait=wait)
    sampler.run()
    report = sampler.report()
    assert report.failure == "OSError: the GPU is lost"
    assert len(sampler.rows(origin_s=0.0)) == 1


def test_a_sampler_that_never_ran_has_nothing_to_report() -> None:
    report = Sampler([]).stop()
    assert (report.overhead_frac, report.largest_gap_s, report.num_ticks) == (None, None, 0)


def test_the_real_thread_samples_this_machine_and_stops() -> None:
    tree = ProcessTree()
    ticked = threading.Semaphore(0)
    probe = CpuProbe(CpuMeter(tree), tree)

    def signal() -> list[Sample]:
        ticked.release()
        return []

    sampler = Sampler([probe, signal], period_s=0.05)
    sampler.start()
    for _ in range(4):
        assert ticked.acquire(timeout=10.0)
    report = sampler.stop()
    assert report == sampler.stop()
    assert report.failure is None
    assert report.num_ticks >= 4
    assert report.overhead_frac is not None
    # The budget is 0.5% of a core at 2 Hz; this is at 20 Hz.
    assert 0 < report.overhead_frac < 0.05
    found = {(row.device, row.metric) for row in sampler.rows(origin_s=0.0)}
    assert {
        ("process_tree", "cpu_busy_frac"),
        ("process_tree", "rss_bytes"),
        ("machine", "cpu_busy_frac"),
    } <= found
    assert all(thread.name != "sampler" for thread in threading.enumerate())


def test_telemetry_is_a_long_table(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.parquet"
    write_telemetry(path, [TelemetryRow(t_s=0.5, device="gpu0", metric="busy", value=0.25)])
    table = pq.read_table(path)
    assert table.to_pylist() == [{"t_s": 0.5, "device": "gpu0", "metric": "busy", "value": 0.25}]


def test_telemetry_of_nothing_still_has_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.parquet"
    write_telemetry(path, [])
    table = pq.read_table(path)
    assert table.column_names == ["t_s", "device", "metric", "value"]
    assert table.num_rows == 0
