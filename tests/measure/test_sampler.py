from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bench.measure import cpu_samples
from bench.measure.cpu_samples import CgroupSamples, CpuSamples
from bench.measure.gpu import Sample
from bench.measure.os.cgroup import CgroupReader
from bench.measure.os.cpu_use import CpuReading
from bench.measure.os.system import CpuMeter, ProcessTree
from bench.measure.sampler import Sampler, TelemetryRow, write_telemetry
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
    assert sampler.report().held_up_s == 0.0


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
    assert sampler.report().num_ticks == 3


@pytest.mark.parametrize(
    ("tick_lengths_s", "span", "held_up_s"),
    [
        # Ticks at 0, 2, 2.5 and the end at 3 s. The second was due at 0.5, of which 0.1 s are
        # usual: 1.4 s.
        ([1.75, 0.0, 0.0], None, 1.4),
        ([1.75, 0.0, 0.0], (0.0, 3.0), 1.4),
        ([1.75, 0.0, 0.0], (1.5, 3.0), 0.5),  # of it within a clock that starts at 1.5 s
        ([1.75, 0.0, 0.0], (0.0, 1.0), 0.4),  # or stops at 1 s
        ([1.75, 0.0, 0.0], (2.0, 3.0), 0.0),
        ([0.0, 0.0, 0.0], None, 0.0),
        # Small pauses add up. Ticks at 0, 1 (due at 0.5) and 2 (due at 1.5), and the end at 3 (due
        # at 2.5): three times 0.4 s beyond what is usual.
        ([0.75, 0.75, 0.75], None, 1.2),
    ],
)
def test_time_in_which_a_tick_was_overdue_is_summed_within_the_clock(
    tick_lengths_s: list[float], span: tuple[float, float] | None, held_up_s: float
) -> None:
    clock = FakeClock()
    lengths_s = iter(tick_lengths_s)

    def held_up() -> list[Sample]:
        clock.advance(next(lengths_s))
        return []

    _, wait = waits(clock, 3)
    sampler = Sampler([held_up], period_s=0.5, clock=clock, wait=wait)
    sampler.run()
    assert sampler.report(span).held_up_s == pytest.approx(held_up_s)


def test_a_single_tick_is_judged_by_the_time_until_the_stop() -> None:
    clock = FakeClock()

    def wait(seconds: float) -> bool:
        clock.advance(3.0)  # held up for three seconds, and then told to stop
        return True

    sampler = Sampler([lambda: []], period_s=0.5, clock=clock, wait=wait)
    sampler.run()
    report = sampler.report((0.0, 3.0))
    assert report.num_ticks == 1
    assert report.held_up_s == pytest.approx(2.4)


def test_a_run_shorter_than_a_period_says_nothing() -> None:
    clock = FakeClock()
    _, wait = waits(clock, 1)
    sampler = Sampler([lambda: []], period_s=0.5, clock=clock, wait=wait)
    sampler.run()
    assert sampler.report((0.0, 0.4)).held_up_s == 0.0


def test_a_first_tick_that_comes_late_counts_as_well() -> None:
    clock = FakeClock()
    _, wait = waits(clock, 1)
    sampler = Sampler([lambda: []], period_s=0.5, clock=clock, wait=wait)
    sampler._started_s = clock()  # as start() has it, in the thread that starts it
    clock.advance(2.25)
    sampler.run()
    # Due at once, at 2.25 s; then on time: its deadlines count from there.
    assert sampler.report().held_up_s == pytest.approx(2.15)


def test_waits_that_end_a_hair_early_are_on_time() -> None:
    clock = FakeClock()
    num_waits = 0

    def wait(seconds: float) -> bool:
        nonlocal num_waits
        num_waits += 1
        clock.advance(seconds * (1 - 2**-20))
        return num_waits >= 5

    sampler = Sampler([lambda: []], period_s=1.0, clock=clock, wait=wait)
    sampler.run()
    assert sampler.report().held_up_s == 0.0


def test_its_cost_is_never_more_than_the_time_that_it_had() -> None:
    clock, cpu = FakeClock(), FakeClock(now_s=7.0)  # what the thread used before is not its cost

    def source() -> list[Sample]:
        clock.advance(0.001)
        cpu.advance(0.001)
        return []

    sampler = Sampler([source], clock=clock, wait=lambda _: True, thread_time=cpu)
    sampler.run()
    assert sampler.report().overhead_frac == pytest.approx(1.0)


def test_each_chore_keeps_its_own_period_and_only_probes_make_ticks() -> None:
    clock = FakeClock()
    called: dict[str, list[float]] = {"fast": [], "slow": []}
    chores = [
        (0.25, lambda: called["fast"].append(clock())),
        (0.75, lambda: called["slow"].append(clock())),
    ]

    def source() -> list[Sample]:
        return [("cpu", "value", 1.0)]

    asked, wait = waits(clock, 6)
    sampler = Sampler([source], period_s=0.5, clock=clock, wait=wait, chores=chores)
    sampler.run()
    assert called["fast"] == [0.0, 0.25, 0.5, 0.75, 1.0, 1.25]
    assert called["slow"] == [0.0, 0.75]
    assert [row.t_s for row in sampler.rows(origin_s=0.0)] == [0.0, 0.5, 1.0]
    assert asked == [0.25] * 6  # every deadline is a multiple of the fastest period
    assert sampler.report().num_ticks == 3  # the chores are no ticks


def test_a_chore_that_is_held_up_skips_the_deadlines_it_missed() -> None:
    clock = FakeClock()
    lengths_s = iter([0.875, 0.0, 0.0])
    called_s: list[float] = []

    def chore() -> None:
        called_s.append(clock())
        clock.advance(next(lengths_s))

    # The ticks are due at 0, 8 and 16 s: no deadline of theirs is near.
    asked, wait = waits(clock, 3)
    Sampler([], period_s=8.0, clock=clock, wait=wait, chores=[(0.25, chore)]).run()
    assert called_s == [0.0, 1.0, 1.25]  # what was due at 0.25, 0.5 and 0.75 s is lost
    assert asked == [0.125, 0.25, 0.25]


def test_a_wait_that_ends_early_is_not_followed_by_a_second_one() -> None:
    clock = FakeClock()
    ticks_s: list[float] = []
    num_waits = 0

    def wait(seconds: float) -> bool:
        nonlocal num_waits
        num_waits += 1
        clock.advance(seconds * (1 - 2**-20))
        return num_waits >= 3

    def source() -> list[Sample]:
        ticks_s.append(clock())
        return []

    Sampler([source], period_s=1.0, clock=clock, wait=wait).run()
    assert ticks_s == pytest.approx([0.0, 1.0, 2.0], abs=1e-5)


def test_its_cost_is_thread_time_over_elapsed_time() -> None:
    clock = FakeClock()
    cpu = FakeClock()

    def source() -> list[Sample]:
        cpu.advance(0.001)
        return []

    def chore() -> None:
        cpu.advance(0.0005)

    _, wait = waits(clock, 4)
    sampler = Sampler(
        [source], period_s=0.5, clock=clock, wait=wait, thread_time=cpu, chores=[(0.5, chore)]
    )
    sampler.run()
    report = sampler.report()
    # Four ticks and four chores of 1 ms and 0.5 ms in 2 s.
    assert report.overhead_frac == pytest.approx(0.006 / 2.0)
    assert report.tick_cost_s == pytest.approx(0.001)


@pytest.mark.parametrize(
    ("cost_s", "called_s"),
    [
        (0.01, [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]),  # 10 ms in 10 s are 0.1%
        (0.072, [0.0, 40.0]),  # 72 ms may be spent every 36 s, and are next due at 40 s
    ],
)
def test_a_source_that_is_asked_seldom_takes_no_more_than_its_share(
    cost_s: float, called_s: list[float]
) -> None:
    clock = FakeClock()
    called: list[float] = []

    def lists() -> list[Sample]:
        called.append(round(clock()))
        clock.advance(cost_s)
        return []

    _, wait = waits(clock, 106)
    sampler = Sampler([], seldom=[(10.0, lists)], period_s=0.5, clock=clock, wait=wait)
    sampler._started_s = clock()
    sampler.sample_now(lists)
    sampler.run()
    assert called == called_s


def test_a_chore_that_fails_ends_it_with_a_reason() -> None:
    def chore() -> None:
        raise OSError("the counter is gone")

    sampler = Sampler([], chores=[(0.1, chore)], clock=FakeClock(), wait=lambda _: True)
    sampler.run()
    report = sampler.report()
    assert report.failure == "OSError: the counter is gone"
    assert report.tick_cost_s is None


def test_a_probe_that_fails_is_given_up_with_a_reason_and_the_others_go_on() -> None:
    clock = FakeClock()

    def gpu() -> list[Sample]:
        if clock() >= 1:
            raise OSError("the GPU is lost")
        return [("gpu0", "gpu_busy_frac", 1.0)]

    _, wait = waits(clock, 3)
    sampler = Sampler(
        [gpu, lambda: [("cpu", "value", clock())]], period_s=1.0, clock=clock, wait=wait
    )
    sampler.run()
    report = sampler.report()
    assert report.failure == "OSError: the GPU is lost"
    assert [(row.device, row.t_s) for row in sampler.rows(origin_s=0.0)] == [
        ("gpu0", 0.0),
        ("cpu", 0.0),
        ("cpu", 1.0),
        ("cpu", 2.0),
    ]


def test_a_sampler_that_never_ran_has_nothing_to_report() -> None:
    report = Sampler([]).stop()
    assert (report.overhead_frac, report.held_up_s, report.num_ticks) == (None, 0.0, 0)
    assert report.tick_cost_s is None


class ScriptedCpu(CpuMeter):
    """CPU readings one after the other."""

    def __init__(self, readings: list[CpuReading]) -> None:
        self._readings = iter(readings)

    def read(self, *, refresh: bool = False) -> CpuReading:
        return next(self._readings)


def test_a_span_of_few_kernel_ticks_says_nothing_of_use() -> None:
    def reading(at_s: float, busy_s: float) -> CpuReading:
        return CpuReading(
            at_s=at_s, process_s=busy_s, machine_busy_s=busy_s, steal_s=None, num_cpus=2
        )

    # 10 ms of work are booked within 1 ms; over 0.5 s they are 1% of two CPUs.
    readings = [reading(0.0, 0.0), reading(0.001, 0.01), reading(0.5, 0.01)]
    source = CpuSamples(ScriptedCpu(readings), ProcessTree())
    use = [[value for _, name, value in source() if name == "cpu_busy_frac"] for _ in readings]
    assert use == [[], [], [0.01, 0.01]]


def test_the_real_thread_samples_this_machine_and_stops() -> None:
    tree = ProcessTree()
    ticked = threading.Semaphore(0)
    source = CpuSamples(CpuMeter(tree), tree)

    def signal() -> list[Sample]:
        ticked.release()
        return []

    chores: list[int] = []
    sampler = Sampler([source, signal], period_s=0.05, chores=[(0.01, lambda: chores.append(1))])
    sampler.start()
    for _ in range(4):
        assert ticked.acquire(timeout=10.0)
    report = sampler.stop()
    assert report == sampler.stop()
    assert report.failure is None
    assert report.num_ticks >= 4
    assert report.overhead_frac is not None
    assert report.overhead_frac > 0
    assert report.tick_cost_s is not None
    assert report.tick_cost_s > 0
    assert len(chores) >= report.num_ticks
    found = {(row.device, row.metric) for row in sampler.rows(origin_s=0.0)}
    assert {
        ("process_tree", "cpu_busy_frac"),
        ("process_tree", "rss_bytes"),
        ("machine", "cpu_busy_frac"),
    } <= found
    assert all(thread.name != "sampler" for thread in threading.enumerate())


def test_the_cgroup_probe_gives_shares_of_the_whole_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_samples, "num_cpus", lambda: 4)
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/\n")
    (tmp_path / "proc/self/mountinfo").write_text(
        "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
    )
    (group / "memory.current").write_text("4096\n")
    stat = "usage_usec {}\nnr_periods {}\nnr_throttled 0\nthrottled_usec {}\n"
    (group / "cpu.stat").write_text(stat.format(0, 0, 0))
    clock = FakeClock()
    source = CgroupSamples(CgroupReader(tmp_path, clock))
    assert source() == [("cgroup", "memory_bytes", 4096.0)]
    clock.advance(2.0)
    # 4 of 8 CPU seconds, and half a second of two throttled.
    (group / "cpu.stat").write_text(stat.format(4_000_000, 20, 500_000))
    assert source() == [
        ("cgroup", "memory_bytes", 4096.0),
        ("cgroup", "cpu_busy_frac", 0.5),
        ("cgroup", "throttled_frac", 0.25),
    ]


def test_values_that_the_machine_does_not_offer_are_not_sampled() -> None:
    readings = [
        CpuReading(at_s=at_s, process_s=at_s, machine_busy_s=None, steal_s=None, num_cpus=2)
        for at_s in (0.0, 1.0)
    ]
    source = CpuSamples(ScriptedCpu(readings), ProcessTree())
    source()
    samples = [(device, name, value) for device, name, value in source() if name != "rss_bytes"]
    assert samples == [("process_tree", "cpu_busy_frac", 0.5)]


def test_the_first_use_is_right_although_the_clock_was_read_late() -> None:
    """As it is where the main thread holds the interpreter while the run begins."""

    def reading(at_s: float, busy_s: float, idle_s: float) -> CpuReading:
        return CpuReading(
            at_s=at_s,
            process_s=0.0,
            machine_busy_s=busy_s,
            machine_idle_s=idle_s,
            steal_s=0.0,
            num_cpus=2,
        )

    # 2 s passed by the counters, with 1 of 4 CPU seconds busy, and 0.4 s by the clock.
    source = CpuSamples(
        ScriptedCpu([reading(1.6, 0.0, 0.0), reading(2.0, 1.0, 3.0)]), ProcessTree()
    )
    source()
    assert ("machine", "cpu_busy_frac", 0.25) in source()


def test_the_cgroup_probe_without_a_group_has_no_samples(tmp_path: Path) -> None:
    assert CgroupSamples(CgroupReader(tmp_path))() == []


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
