from __future__ import annotations

import pytest

from bench.measure.health import HealthLimits, health, utilization
from bench.measure.sampler import SamplerReport, TelemetryRow
from bench.measure.system import CpuReading

PERIOD_S = 0.5


def reading(at_s: float, process_s: float, busy_s: float, steal_s: float = 0.0) -> CpuReading:
    return CpuReading(
        at_s=at_s, process_s=process_s, machine_busy_s=busy_s, steal_s=steal_s, num_cpus=2
    )


START = reading(0.0, 0.0, 0.0)
QUIET_END = reading(10.0, 15.0, 16.0)  # of 20 CPU seconds: 75% ours, 5% others'


def report(largest_gap_s: float | None = 0.5, failure: str | None = None) -> SamplerReport:
    return SamplerReport(
        overhead_frac=0.001, largest_gap_s=largest_gap_s, num_ticks=20, failure=failure
    )


def test_a_quiet_run_is_fit() -> None:
    found = health(START, QUIET_END, report(), period_s=PERIOD_S)
    assert found.fit
    assert found.flags == []
    assert found.sampler_overhead_frac == 0.001


@pytest.mark.parametrize(
    ("end", "sampler", "flag"),
    [
        # 2.2 of 20 CPU seconds are 11%.
        (reading(10.0, 15.0, 17.2), report(), "other_load"),
        # 0.5 of 20 CPU seconds are 2.5%.
        (reading(10.0, 15.0, 16.0, steal_s=0.5), report(), "steal"),
        (QUIET_END, report(largest_gap_s=2.6), "sampler_gap"),
        (QUIET_END, report(largest_gap_s=9.0, failure="OSError: gone"), "sampler_failed"),
    ],
)
def test_what_disturbs_a_run_is_flagged(end: CpuReading, sampler: SamplerReport, flag: str) -> None:
    found = health(START, end, sampler, period_s=PERIOD_S)
    assert not found.fit
    assert found.flags == [flag]


@pytest.mark.parametrize(
    ("end", "sampler"),
    [
        (reading(10.0, 15.0, 16.9), report()),
        (reading(10.0, 15.0, 16.0, steal_s=0.3), report()),
        (QUIET_END, report(largest_gap_s=2.4)),
        (QUIET_END, report(largest_gap_s=None)),
    ],
)
def test_what_stays_below_its_limit_is_not(end: CpuReading, sampler: SamplerReport) -> None:
    assert health(START, end, sampler, period_s=PERIOD_S).fit


def test_a_shared_machine_is_flagged() -> None:
    assert health(START, QUIET_END, report(), period_s=PERIOD_S, shared=True).flags == ["shared"]


def test_limits_can_be_set() -> None:
    limits = HealthLimits(other_load_frac=0.04)
    found = health(START, QUIET_END, report(), period_s=PERIOD_S, limits=limits)
    assert found.flags == ["other_load"]


def row(t_s: float, metric: str, value: float) -> TelemetryRow:
    return TelemetryRow(t_s=t_s, device="x", metric=metric, value=value)


def test_utilization_is_means_over_the_clock_and_peaks_over_the_run() -> None:
    rows = [
        row(-1.0, "gpu_busy_frac", 1.0),  # before the clock
        row(1.0, "gpu_busy_frac", 0.5),
        row(2.0, "gpu_busy_frac", 0.7),
        row(11.0, "gpu_busy_frac", 0.0),  # after it
        row(-1.0, "gpu_memory_used_bytes", 9.0),
        row(1.0, "gpu_memory_used_bytes", 5.0),
        row(1.0, "rss_bytes", 100.0),
    ]
    found = utilization(START, QUIET_END, rows, total_s=10.0, own_peak_rss_bytes=120)
    assert found.cpu_process_frac == 0.75
    assert found.cpu_machine_frac == 0.8
    assert found.memory_peak_bytes == 120
    assert found.gpu_busy_frac == pytest.approx(0.6)
    assert found.gpu_memory_peak_bytes == 9


def test_what_was_not_sampled_is_none() -> None:
    found = utilization(START, START, [], total_s=0.0)
    assert found.cpu_process_frac is None
    assert found.memory_peak_bytes is None
    assert found.gpu_busy_frac is None
