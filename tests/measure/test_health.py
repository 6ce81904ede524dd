from __future__ import annotations

import pytest

from bench.core.labels import ENERGY_FLAGS
from bench.core.records.health import Health
from bench.measure.health import health, ticks_frac, utilization, without_gap
from bench.measure.os.cgroup import CgroupReading
from bench.measure.os.cpu_use import CpuReading
from bench.measure.sampler import SamplerReport, TelemetryRow

Rows = list[TelemetryRow]


def reading(at_s: float, process_s: float, busy_s: float, steal_s: float = 0.0) -> CpuReading:
    return CpuReading(
        at_s=at_s, process_s=process_s, machine_busy_s=busy_s, steal_s=steal_s, num_cpus=2
    )


START = reading(0.0, 0.0, 0.0)
QUIET_END = reading(10.0, 15.0, 16.0)  # of 20 CPU seconds: 75% ours, 5% others'


def report(
    failure: str | None = None,
    held_up_s: float = 0.0,
) -> SamplerReport:
    return SamplerReport(
        overhead_frac=0.001,
        tick_cost_s=0.0005,
        num_ticks=20,
        failure=failure,
        held_up_s=held_up_s,
    )


def test_a_quiet_run_is_comparable() -> None:
    found = health(START, QUIET_END, report(), total_s=10.0)
    assert found.comparable
    assert found.flags == []
    assert found.sampler_overhead_frac == 0.001


@pytest.mark.parametrize(
    ("end", "sampler", "flag"),
    [
        # 2.2 of 20 CPU seconds are 11%.
        (reading(10.0, 15.0, 17.2), report(), "other_load"),
        # 0.5 of 20 CPU seconds are 2.5%.
        (reading(10.0, 15.0, 16.0, steal_s=0.5), report(), "steal"),
        # Of 10 s, 0.51 are 5.1%.
        (QUIET_END, report(held_up_s=0.51), "sampler_gap"),
        (QUIET_END, report(held_up_s=9.0, failure="OSError: gone"), "sampler_failed"),
    ],
)
def test_what_disturbs_a_run_is_flagged(end: CpuReading, sampler: SamplerReport, flag: str) -> None:
    found = health(START, end, sampler, total_s=10.0)
    assert not found.comparable
    assert found.flags == [flag]


@pytest.mark.parametrize(
    ("end", "sampler"),
    [
        (reading(10.0, 15.0, 16.9), report()),
        (reading(10.0, 15.0, 16.0, steal_s=0.3), report()),
        (QUIET_END, report(held_up_s=0.49)),
    ],
)
def test_what_stays_below_its_limit_is_not(end: CpuReading, sampler: SamplerReport) -> None:
    assert health(START, end, sampler, total_s=10.0).comparable


@pytest.mark.parametrize(("busy_s", "flags"), [(0.100, []), (0.120, ["other_load"])])
def test_a_tick_on_each_cpu_does_not_count_as_load_on_a_short_clock(
    busy_s: float, flags: list[str]
) -> None:
    """Of 0.1 CPU seconds in 0.05 s on two CPUs; 0.08 are ours. A tick of 0.01 s on each is 20%, so
    0.02 for others may be none; 0.04 are at least 20%."""
    start, end = reading(0.0, 0.0, 0.0), reading(0.05, 0.08, busy_s)
    assert health(start, end, report(), total_s=0.05).flags == flags


@pytest.mark.parametrize(
    ("total_s", "held_up_s", "flags"),
    # Three seconds are nothing in ten hours; one of three is a third.
    [(36_000.0, 3.0, []), (3.0, 1.0, ["sampler_gap"]), (36_000.0, 1801.0, ["sampler_gap"])],
)
def test_a_pause_counts_as_a_share_of_the_run(
    total_s: float, held_up_s: float, flags: list[str]
) -> None:
    end = reading(total_s, 0.0, 0.0)
    found = health(START, end, report(held_up_s=held_up_s), total_s=total_s)
    assert found.flags == flags


@pytest.mark.parametrize("flag", ENERGY_FLAGS)
def test_what_speaks_against_the_joules_alone_leaves_a_run_comparable(flag: str) -> None:
    found = health(START, QUIET_END, report(), total_s=10.0, flags=[flag, flag])
    assert (found.comparable, found.flags) == (True, [flag])
    both = health(START, QUIET_END, report(), total_s=10.0, flags=["shared", flag])
    assert (both.comparable, both.flags) == (False, ["shared", flag])


def test_a_flag_from_elsewhere_is_a_flag_like_others() -> None:
    found = health(START, QUIET_END, report(), total_s=10.0, flags=["compiled_on_the_clock"])
    assert (found.comparable, found.flags) == (False, ["compiled_on_the_clock"])


def row(t_s: float, metric: str, value: float) -> TelemetryRow:
    return TelemetryRow(t_s=t_s, device="x", metric=metric, value=value)


def ticks(metric: str, num_set: int, *, device: str = "gpu0", first_s: float = 0.25) -> Rows:
    """Twenty ticks, every half second, of which the first so many are set."""
    return [
        TelemetryRow(t_s=first_s + 0.5 * i, device=device, metric=metric, value=float(i < num_set))
        for i in range(20)
    ]


@pytest.mark.parametrize(
    ("rows", "flags"),
    [
        # 2 of 20 ticks are 10%, 1 of 20 is 5%: not above the limit.
        (ticks("gpu_thermal_slowdown", 2), ["gpu_thermal"]),
        (ticks("gpu_thermal_slowdown", 1), []),
        (ticks("gpu_power_brake", 2), ["gpu_power_brake"]),
        (ticks("gpu_power_brake", 1), []),
        (ticks("gpu_foreign_processes", 1), ["foreign_gpu_process"]),
        (ticks("gpu_foreign_processes", 0), []),
        # The power cap is where a card works at full load.
        (ticks("gpu_power_cap", 20), []),
        # All of them before the clock, or after its end at 10 s.
        (ticks("gpu_thermal_slowdown", 20, first_s=-10.0), []),
        # Of processes the last list before the clock counts, and the first one after it.
        (ticks("gpu_foreign_processes", 19, first_s=-10.0), []),
        (ticks("gpu_foreign_processes", 20, first_s=-10.0), ["foreign_gpu_process"]),
        (ticks("gpu_foreign_processes", 1, first_s=10.25), ["foreign_gpu_process"]),
        (
            [row(10.25, "gpu_foreign_processes", 0.0), row(10.5, "gpu_foreign_processes", 1.0)],
            [],
        ),
        # One card of two is enough: 2 of 20 ticks, not 2 of 40 rows.
        (
            ticks("gpu_thermal_slowdown", 0) + ticks("gpu_thermal_slowdown", 2, device="gpu1"),
            ["gpu_thermal"],
        ),
        (
            ticks("gpu_thermal_slowdown", 2) + ticks("gpu_thermal_slowdown", 0, device="gpu1"),
            ["gpu_thermal"],
        ),
    ],
)
def test_ticks_of_the_gpu_within_the_clock_are_flagged(rows: Rows, flags: list[str]) -> None:
    found = health(START, QUIET_END, report(), rows=rows, total_s=10.0)
    assert found.flags == flags


def test_ticks_after_the_clock_raise_no_flag() -> None:
    rows = ticks("gpu_power_brake", 20, first_s=10.25)
    assert health(START, QUIET_END, report(), total_s=10.0, rows=rows).flags == []
    assert health(START, QUIET_END, report(), total_s=15.0, rows=rows).flags != []


def group(at_s: float, throttled_s: float | None, usage_s: float = 0.0) -> CgroupReading:
    return CgroupReading(
        at_s=at_s,
        usage_s=usage_s,
        throttled_s=throttled_s,
        memory_bytes=None,
    )


@pytest.mark.parametrize(
    ("throttled_s", "flags"),
    # Of 10 s, 0.11 are 1.1% and 0.09 are 0.9%.
    [(3.11, ["cpu_quota"]), (3.09, []), (None, [])],
)
def test_time_that_the_quota_took_is_flagged(throttled_s: float | None, flags: list[str]) -> None:
    cgroup = (group(0.0, 3.0), group(10.0, throttled_s))
    found = health(START, QUIET_END, report(), total_s=10.0, cgroup=cgroup)
    assert found.flags == flags


def test_all_that_disturbs_a_run_is_flagged_at_once() -> None:
    found = health(
        START,
        reading(10.0, 5.0, 16.0, steal_s=0.5),
        report(held_up_s=2.6),
        cgroup=(group(0.0, 0.0), group(10.0, 1.0)),
        rows=[
            *ticks("gpu_thermal_slowdown", 20),
            *ticks("gpu_power_brake", 20),
            *ticks("gpu_foreign_processes", 20),
        ],
        total_s=10.0,
        flags=["shared"],
    )
    assert not found.comparable
    assert set(found.flags) == {
        "shared",
        "other_load",
        "steal",
        "cpu_quota",
        "gpu_thermal",
        "gpu_power_brake",
        "foreign_gpu_process",
        "sampler_gap",
    }


def test_a_share_of_ticks_needs_ticks() -> None:
    assert ticks_frac(ticks("gpu_power_cap", 5), "gpu_power_cap") == 0.25
    assert ticks_frac(ticks("gpu_power_cap", 5), "gpu_power_brake") is None


def test_utilization_is_means_over_the_clock_and_peaks_over_the_run() -> None:
    rows = [
        row(-1.0, "gpu_busy_frac", 1.0),  # before the clock
        row(1.0, "gpu_busy_frac", 0.5),
        row(2.0, "gpu_busy_frac", 0.7),
        row(11.0, "gpu_busy_frac", 0.0),  # after it
        row(-1.0, "gpu_tensor_active_frac", 0.0),
        row(1.0, "gpu_tensor_active_frac", 0.25),
        row(2.0, "gpu_tensor_active_frac", 0.75),
        row(1.0, "gpu_sm_clock_mhz", 1980.0),
        row(-1.0, "gpu_memory_used_bytes", 9.0),
        row(1.0, "gpu_memory_used_bytes", 5.0),
        row(1.0, "rss_bytes", 100.0),
        row(-1.0, "gpu_power_cap", 0.0),
        row(1.0, "gpu_power_cap", 1.0),
        row(2.0, "gpu_power_cap", 0.0),
        row(11.0, "gpu_power_cap", 0.0),
    ]
    found = utilization(
        START,
        QUIET_END,
        rows,
        total_s=10.0,
        own_peak_rss_bytes=120,
        # 8 CPU seconds in 10 s on 2 CPUs.
        cgroup=(group(0.0, None, usage_s=5.0), group(10.0, None, usage_s=13.0)),
    )
    assert found.cpu_process_frac == 0.75
    assert found.cpu_machine_frac == 0.8
    assert found.memory_peak_bytes == 120
    assert found.gpu_busy_frac == pytest.approx(0.6)
    assert (found.gpu_tensor_active_frac, found.gpu_sm_active_frac) == (0.5, None)
    assert found.gpu_sm_clock_mhz == 1980.0
    assert found.gpu_memory_peak_bytes == 9
    assert found.cgroup_cpu_frac == pytest.approx(0.4)
    assert found.gpu_power_cap_frac == 0.5


def test_values_that_were_not_sampled_are_none() -> None:
    found = utilization(START, START, [], total_s=0.0)
    assert found.cpu_process_frac is None
    assert found.memory_peak_bytes is None
    assert found.gpu_busy_frac is None
    assert found.cgroup_cpu_frac is None
    assert found.gpu_power_cap_frac is None


def test_a_gap_that_the_run_itself_explains_is_taken_back() -> None:
    def after(*flags: str) -> tuple[bool, list[str]]:
        judged = without_gap(Health(comparable=False, flags=list(flags)))
        return judged.comparable, judged.flags

    assert after("sampler_gap") == (True, [])
    assert after("sampler_gap", "meter_failed") == (True, ["meter_failed"])
    assert after("sampler_gap", "other_load") == (False, ["other_load"])
