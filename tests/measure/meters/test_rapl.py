"""The meter on a tree of real files whose true joules are known.

Bounds are asserted without the sensor's own error: the simulated sensor has none.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.measure.energy import error_bound_j
from bench.measure.meters.base import Component, MeterUnavailable, Reading
from bench.measure.meters.rapl import RaplMeter
from tests.fake_powercap import FakePowercap
from tests.fakes import FakeClock
from tests.power import EnergyCounter, PowerCurve, constant, ramp, square_wave, step

LIMIT_W = 200.0  # stated; the meter allows for twice as much


@pytest.fixture
def tree(tmp_path: Path) -> FakePowercap:
    return FakePowercap(tmp_path / "powercap", FakeClock(now_s=1000.0))


def opened(tree: FakePowercap, max_w: float | None = None) -> RaplMeter:
    meter = RaplMeter(tree.root, max_w, clock=tree.clock)
    meter.open()
    return meter


def bound_j(meter: RaplMeter, before: Reading, after: Reading, name: str = "cpu0") -> float:
    (component,) = (one for one in meter.components if one.name == name)
    return error_bound_j(replace(component, error_frac=0.0), before, after)


CURVES = {
    "constant": (constant(100.0), 1000.0),
    # 50 W for 4 s, then 150 W for 6 s.
    "step": (step(50.0, 150.0, at_s=1004.0), 1100.0),
    # From 0 W at 0 s to 200 W at 2000 s: 100 to 101 W meanwhile.
    "ramp": (ramp(0.0, 200.0, 2000.0), 1005.0),
    # Half of the time 150 W, half of it 50 W.
    "square wave of 50 ms": (square_wave(50.0, 150.0, 0.05, 1011.0), 1000.0),
    "square wave of 100 ms": (square_wave(50.0, 150.0, 0.1, 1011.0), 1000.0),
}


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("refresh_s", [0.0, 0.000976, 0.1])
def test_ten_seconds_of_a_curve(tree: FakePowercap, name: str, refresh_s: float) -> None:
    curve, true_j = CURVES[name]
    assert curve.energy_j(1000.0, 1010.0) == pytest.approx(true_j)
    tree.add("intel-rapl:0", "package-0", EnergyCounter(curve, refresh_s), limit_w=LIMIT_W)
    meter = opened(tree)
    before = meter.read()["cpu0"]
    tree.advance(10.0)
    after = meter.read()["cpu0"]
    error_j = abs(after.energy_j - before.energy_j - true_j)
    if refresh_s <= 0.001:
        assert error_j <= bound_j(meter, before, after)
        assert error_j <= 0.001 * true_j
    else:  # a counter slower than any of this kind: two refreshes of at most 150 W
        assert error_j <= 2 * refresh_s * 150.0


def test_packages_and_dram_are_components_and_nothing_else_is(tree: FakePowercap) -> None:
    counter = EnergyCounter(constant(50.0))
    tree.add("intel-rapl:0", "package-0", counter)
    tree.add("intel-rapl:0/intel-rapl:0:0", "core", counter)
    tree.add("intel-rapl:0/intel-rapl:0:1", "uncore", counter)
    tree.add("intel-rapl:0/intel-rapl:0:2", "dram", EnergyCounter(constant(5.0)))
    tree.add("intel-rapl:1", "package-1", counter)
    tree.add("intel-rapl:2", "psys", EnergyCounter(constant(300.0)))
    meter = opened(tree)
    tree.advance(2.0)
    joules = {name: reading.energy_j for name, reading in meter.read().items()}
    assert joules == pytest.approx({"cpu0": 100.0, "dram0": 10.0, "cpu1": 100.0})
    assert [component.source for component in meter.components] == [
        "rapl(intel-rapl:0)",
        "rapl(intel-rapl:0:2)",
        "rapl(intel-rapl:1)",
    ]
    assert {component.label for component in meter.components} == {"counter"}


def test_dies_of_a_package_are_told_apart(tree: FakePowercap) -> None:
    for die in (0, 1):
        counter = EnergyCounter(constant(10.0 + die))
        tree.add(f"intel-rapl:{die}", f"package-0-die-{die}", counter)
    assert [component.name for component in opened(tree).components] == ["cpu0-die0", "cpu0-die1"]


def test_the_class_folder_links_to_zones_that_are_also_below_it(
    tree: FakePowercap, tmp_path: Path
) -> None:
    counter = EnergyCounter(constant(10.0))
    tree.add("intel-rapl/intel-rapl:0", "package-0", counter)
    tree.add("intel-rapl/intel-rapl:0/intel-rapl:0:0", "dram", counter)
    links = tmp_path / "class"
    links.mkdir()
    for target in (
        "intel-rapl",
        "intel-rapl/intel-rapl:0",
        "intel-rapl/intel-rapl:0/intel-rapl:0:0",
    ):
        (links / Path(target).name).symlink_to(tree.root / target)
    for root in (tree.root, links):
        meter = RaplMeter(root, clock=tree.clock)
        meter.open()
        assert [component.name for component in meter.components] == ["cpu0", "dram0"]
        meter.close()


def test_a_package_with_two_ways_of_access_counts_once(tree: FakePowercap) -> None:
    tree.add("intel-rapl-mmio:0", "package-0", EnergyCounter(constant(70.0)))
    tree.add("intel-rapl:0", "package-0", EnergyCounter(constant(70.0)))
    (component,) = opened(tree).components
    assert component.source == "rapl(intel-rapl:0)"


def deny(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Refuse to open a file, whoever asks: tests may run as root, whom no mode stops."""
    real = os.open

    def refuse(file: Path, *arguments: int) -> int:
        if Path(file) == path:
            raise PermissionError(errno.EACCES, "Permission denied", str(file))
        return real(file, *arguments)

    monkeypatch.setattr(os, "open", refuse)


def test_the_twin_is_read_where_the_first_cannot_be(
    tree: FakePowercap, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.add("intel-rapl-mmio:0", "package-0", EnergyCounter(constant(70.0)))
    path = tree.add("intel-rapl:0", "package-0", EnergyCounter(constant(70.0)))
    deny(monkeypatch, path / "energy_uj")
    (component,) = opened(tree).components
    assert component.source == "rapl(intel-rapl-mmio:0)"


def test_of_twins_that_both_cannot_be_read_the_first_is_named(
    tree: FakePowercap, monkeypatch: pytest.MonkeyPatch
) -> None:
    for access in ("intel-rapl-mmio", "intel-rapl"):
        path = tree.add(f"{access}:0", "package-0", EnergyCounter(constant(70.0)))
        deny(monkeypatch, path / "energy_uj")
    with pytest.raises(MeterUnavailable, match=r"/intel-rapl:0/energy_uj'"):
        opened(tree)


def fail_reads(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """A counter that can be opened and not read, as the kernel has it for a zone without data."""
    real = os.pread

    def fail(file: int, *arguments: int) -> bytes:
        if Path(os.readlink(f"/proc/self/fd/{file}")) == path:
            raise OSError(errno.ENODATA, "No data available")
        return real(file, *arguments)

    monkeypatch.setattr(os, "pread", fail)


def test_a_counter_that_opens_but_gives_no_data_is_refused_by_name_and_closed(
    tree: FakePowercap, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tree.add("intel-rapl:0", "package-0", EnergyCounter(constant(70.0)))
    fail_reads(monkeypatch, path / "energy_uj")
    files = len(os.listdir("/proc/self/fd"))
    with pytest.raises(MeterUnavailable) as refused:
        opened(tree)
    # A permission would not help: none is asked for.
    assert str(refused.value) == f"[Errno 61] No data available: '{path / 'energy_uj'}'"
    assert len(os.listdir("/proc/self/fd")) == files


def test_a_counter_that_fails_later_is_named_and_leaves_the_other(
    tree: FakePowercap, monkeypatch: pytest.MonkeyPatch
) -> None:
    for socket in (0, 1):
        path = tree.add(f"intel-rapl:{socket}", f"package-{socket}", EnergyCounter(constant(70.0)))
    meter = opened(tree)
    fail_reads(monkeypatch, path / "energy_uj")
    tree.advance(1.0)
    readings = meter.read()
    assert readings["cpu0"].energy_j == pytest.approx(70.0)
    assert readings["cpu1"].failure == f"[Errno 61] No data available: '{path / 'energy_uj'}'"


def refusal(tree: FakePowercap) -> str:
    """Why the package cannot be opened, or else its memory, which is left out."""
    try:
        meter = opened(tree)
    except MeterUnavailable as refused:
        return str(refused)
    assert [component.name for component in meter.components] == ["cpu0"]
    reason = meter.refused["dram0"]
    meter.close()
    return reason


@pytest.mark.parametrize("denied", ["intel-rapl:0", "intel-rapl:0/intel-rapl:0:0"])
def test_a_file_for_root_only_is_refused_with_the_way_to_grant_it(
    tree: FakePowercap, monkeypatch: pytest.MonkeyPatch, denied: str
) -> None:
    counter = EnergyCounter(constant(70.0))
    tree.add("intel-rapl:0", "package-0", counter)
    tree.add("intel-rapl:0/intel-rapl:0:0", "dram", counter)
    deny(monkeypatch, tree.root / denied / "energy_uj")
    reason = refusal(tree)
    assert "sudo chmod a+r" in reason
    assert str(tree.root / denied / "energy_uj") in reason


def test_no_package_is_a_reason(tree: FakePowercap) -> None:
    with pytest.raises(MeterUnavailable, match=r"no processor package in .*virtual machine"):
        opened(tree)
    tree.add("intel-rapl:0", "psys", EnergyCounter(constant(1.0)))
    with pytest.raises(MeterUnavailable, match="no processor package"):
        opened(tree)


def test_reading_before_it_is_open_is_refused(tree: FakePowercap) -> None:
    with pytest.raises(MeterUnavailable, match="not open"):
        RaplMeter(tree.root).read()


@pytest.mark.parametrize("max_w", [0.0, -1.0, float("nan"), float("inf")])
def test_a_wrong_limit_is_refused(max_w: float) -> None:
    with pytest.raises(ValueError, match=r"meter.sources.rapl.max_w="):
        RaplMeter(max_w=max_w)


def test_a_wrap_between_two_readings_is_undone(tree: FakePowercap) -> None:
    # At 1000 s it has turned round 100 times; 95 J later it shows 95, 10 J after that 5.
    counter = EnergyCounter(constant(100.0), range_j=1000.0, offset_j=995.0)
    tree.add("intel-rapl:0", "package-0", counter, limit_w=LIMIT_W)
    meter = opened(tree)
    before = meter.read()["cpu0"]
    tree.advance(0.1)  # 10 J, and from 995 to 5
    after = meter.read()["cpu0"]
    assert after.energy_j - before.energy_j == pytest.approx(10.0)
    assert (after.resets, after.gaps) == (0, 0)


def test_several_wraps_are_undone_when_it_is_ticked_as_often_as_it_asks(
    tree: FakePowercap,
) -> None:
    counter = EnergyCounter(constant(390.0), range_j=1000.0)
    tree.add("intel-rapl:0", "package-0", counter, limit_w=LIMIT_W)
    meter = opened(tree)
    (component,) = meter.components
    tick_s = 0.1
    assert component.tick_s == pytest.approx(tick_s)
    for _ in range(100):
        tree.advance(tick_s)
        meter.read()
    reading = meter.read()["cpu0"]
    assert reading.energy_j == pytest.approx(100 * tick_s * 390.0)  # 3 wraps
    assert (reading.missed_j, reading.resets, reading.gaps) == (0.0, 0, 0)


def test_wraps_in_a_gap_are_flagged_and_within_the_bound(tree: FakePowercap) -> None:
    counter = EnergyCounter(constant(300.0), range_j=1000.0)
    tree.add("intel-rapl:0", "package-0", counter, limit_w=LIMIT_W)
    meter = opened(tree)
    before = meter.read()["cpu0"]
    tree.advance(10.0)  # 3000 J, three turns: the counter shows what it showed before
    after = meter.read()["cpu0"]
    assert after.energy_j == before.energy_j
    assert after.gaps == 1
    # No more than 400 W can have flowed: at most four turns.
    assert after.missed_j == 4000.0
    assert abs(3000.0) <= bound_j(meter, before, after)


def test_a_reset_is_not_taken_for_a_wrap(tree: FakePowercap) -> None:
    path = tree.add("intel-rapl:0", "package-0", EnergyCounter(constant(100.0), range_j=262143.0))
    meter = opened(tree, max_w=200.0)
    before = meter.read()["cpu0"]
    tree.advance(1.0)
    meter.read()
    # Begins anew half way through the next two seconds.
    restart_s = tree.clock() + 1.0
    tree.clock.advance(2.0)
    restarted = EnergyCounter(constant(100.0), range_j=262143.0, offset_j=-100.0 * restart_s)
    tree.replace(path, restarted)
    after = meter.read()["cpu0"]
    # 100 J before; the two seconds of the reset are estimated from the 100 W of that second.
    assert after.energy_j - before.energy_j == pytest.approx(300.0, abs=0.01)
    assert after.resets == 1
    # The counter shows 100 J, and 400 J can have flowed: 200 J may be 100 J or 200 J off.
    assert after.missed_j == pytest.approx(200.0, abs=1.0)


def test_a_failed_reading_loses_nothing(
    tree: FakePowercap, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.add("intel-rapl:0", "package-0", EnergyCounter(constant(100.0)))
    tree.add("intel-rapl:1", "package-1", EnergyCounter(constant(100.0)))
    meter = opened(tree)
    tree.advance(1.0)

    real, calls = os.pread, iter(range(100))

    def second_fails(*arguments: int) -> bytes:
        if next(calls) == 1:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", second_fails)
        readings = meter.read()
    assert readings["cpu0"].energy_j == pytest.approx(100.0)
    assert readings["cpu1"].failure is not None
    tree.advance(1.0)
    assert [reading.energy_j for reading in meter.read().values()] == pytest.approx([200.0] * 2)


def test_files_are_closed_also_when_opening_fails(
    tree: FakePowercap, monkeypatch: pytest.MonkeyPatch
) -> None:
    for socket in (0, 1):
        tree.add(f"intel-rapl:{socket}", f"package-{socket}", EnergyCounter(constant(1.0)))
    meter = opened(tree)
    files = len(os.listdir("/proc/self/fd"))
    meter.close()
    assert len(os.listdir("/proc/self/fd")) == files - 2
    meter.close()  # nothing is closed twice: the numbers may be those of other files by now
    with pytest.raises(MeterUnavailable, match="not open"):
        meter.read()
    deny(monkeypatch, tree.root / "intel-rapl:1" / "energy_uj")
    with pytest.raises(MeterUnavailable):
        opened(tree)
    assert len(os.listdir("/proc/self/fd")) == files - 2


@pytest.mark.parametrize(
    ("limits", "max_w"),
    [
        ({}, 1000.0),
        ({"constraint_0_power_limit_uw": "150000000"}, 300.0),
        ({"constraint_0_power_limit_uw": "1", "constraint_1_max_power_uw": "90000000"}, 180.0),
        ({"constraint_0_power_limit_uw": "0", "constraint_0_max_power_uw": "none"}, 1000.0),
    ],
)
def test_what_can_flow_is_twice_the_largest_stated_limit(
    tree: FakePowercap, limits: dict[str, str], max_w: float
) -> None:
    path = tree.add("intel-rapl:0", "package-0", EnergyCounter(constant(1.0)))
    for name, text in limits.items():
        (path / name).write_text(text)
    (component,) = opened(tree).components
    assert component.edge_error_j == pytest.approx(max_w * 0.001, abs=2e-4)


def test_a_limit_that_cannot_be_read_is_passed_over(tree: FakePowercap) -> None:
    path = tree.add("intel-rapl:0", "package-0", EnergyCounter(constant(1.0)), limit_w=150.0)
    (path / "constraint_1_max_power_uw").mkdir()  # reading it is an error, for root too
    (component,) = opened(tree).components
    assert component.edge_error_j == pytest.approx(2 * 150.0 * 0.001 + 1e-4)


MAX_W = 400.0
watts = st.floats(0.0, MAX_W)
curves = st.lists(
    st.tuples(st.floats(0.001, 5.0), watts, watts), min_size=1, max_size=8
)  # length, and watts at both ends: lines that jump between pieces


def curve_of(pieces: list[tuple[float, float, float]]) -> PowerCurve:
    points: list[tuple[float, float]] = []
    now_s = 0.0
    for length_s, start_w, end_w in pieces:
        points += [(now_s, start_w), (now_s + length_s, end_w)]
        now_s += length_s
    return PowerCurve(points)


@pytest.fixture
def trees(tmp_path: Path) -> Iterator[Path]:
    return (tmp_path / str(number) for number in range(10_000))


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    pieces=curves,
    waits_s=st.lists(st.floats(0.001, 4.0), min_size=2, max_size=8),
    range_j=st.sampled_from([300.0, 1000.0, 262143.0]),
    offset_j=st.floats(0.0, 300.0),
    refresh_s=st.sampled_from([0.0, 0.0005, 0.001]),
    ticked=st.booleans(),
)
def test_the_bound_holds_for_any_curve_reading_times_and_wraps(
    trees: Iterator[Path],
    pieces: list[tuple[float, float, float]],
    waits_s: list[float],
    range_j: float,
    offset_j: float,
    refresh_s: float,
    ticked: bool,
) -> None:
    curve = curve_of(pieces)
    tree = FakePowercap(next(trees), FakeClock())
    counter = EnergyCounter(curve, refresh_s, 1e-6, range_j, offset_j)
    tree.add("intel-rapl:0", "package-0", counter)
    meter = opened(tree, max_w=MAX_W)
    (component,) = meter.components
    assert component.tick_s is not None
    edges = [(tree.clock(), meter.read()["cpu0"])]
    for wait_s in waits_s:
        while ticked and wait_s > component.tick_s:
            tree.advance(component.tick_s)
            meter.read()
            wait_s -= component.tick_s
        tree.advance(wait_s)
        edges.append((tree.clock(), meter.read()["cpu0"]))
    for i, (start_s, before) in enumerate(edges):
        for end_s, after in edges[i + 1 :]:
            measured_j = after.energy_j - before.energy_j
            assert measured_j >= 0
            error_j = abs(measured_j - curve.energy_j(start_s, end_s))
            assert error_j <= bound_j(meter, before, after)
            if ticked:
                assert after.resets == 0
                # Almost without power it may be dead, too.
                assert after.gaps == 0 or any(min(piece[1:]) < 0.1 for piece in pieces)
    windows = [b.energy_j - a.energy_j for (_, a), (_, b) in itertools.pairwise(edges)]
    assert sum(windows) == pytest.approx(edges[-1][1].energy_j - edges[0][1].energy_j)
    meter.close()


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    pieces=curves,
    waits_s=st.lists(st.floats(0.001, 4.0), min_size=2, max_size=8),
    reset_after=st.integers(0, 7),
    reset_share=st.floats(0.01, 1.0),
)
def test_the_bound_holds_for_any_window_with_a_reset_in_it(
    trees: Iterator[Path],
    pieces: list[tuple[float, float, float]],
    waits_s: list[float],
    reset_after: int,
    reset_share: float,
) -> None:
    curve, range_j = curve_of(pieces), 262143.0
    tree = FakePowercap(next(trees), FakeClock())
    # Always a decrease, of at least 50 kJ - 8 x 4 s x 400 W, and never one that a wrap explains.
    counter = EnergyCounter(curve, range_j=range_j, offset_j=50_000.0)
    path = tree.add("intel-rapl:0", "package-0", counter)
    meter = opened(tree, max_w=MAX_W)
    edges = [(tree.clock(), meter.read()["cpu0"])]
    for i, wait_s in enumerate(waits_s):
        before_s = 0.0
        if i == reset_after % len(waits_s):
            before_s = wait_s * reset_share
            tree.advance(before_s)
            gone_j = curve.energy_j(0.0, tree.clock())
            # A hair above 0: rounding below it would be a whole turn.
            tree.replace(path, EnergyCounter(curve, range_j=range_j, offset_j=1e-5 - gone_j))
        tree.advance(wait_s - before_s)
        edges.append((tree.clock(), meter.read()["cpu0"]))
    assert edges[-1][1].resets == 1
    for i, (start_s, before) in enumerate(edges):
        for end_s, after in edges[i + 1 :]:
            error_j = abs(after.energy_j - before.energy_j - curve.energy_j(start_s, end_s))
            assert error_j <= bound_j(meter, before, after)
    meter.close()


def test_dram_is_trusted_less_and_allowed_less(tree: FakePowercap) -> None:
    tree.add("intel-rapl:0", "package-0", EnergyCounter(constant(1.0)), limit_w=LIMIT_W)
    tree.add("intel-rapl:0/intel-rapl:0:0", "dram", EnergyCounter(constant(1.0)))
    _, dram = opened(tree).components
    # No limit is stated for it, and that of its package is not its own.
    assert (dram.name, dram.error_frac) == ("dram0", 0.20)
    assert dram.edge_error_j == pytest.approx(200.0 * 0.001 + 1e-4)


def test_the_component_states_how_far_to_trust_it(tree: FakePowercap) -> None:
    tree.add("intel-rapl:0", "package-0", EnergyCounter(constant(1.0)))
    assert opened(tree, max_w=100.0).components == [
        Component(
            name="cpu0",
            source="rapl(intel-rapl:0)",
            label="counter",
            refresh_s=0.001,
            error_frac=0.05,
            edge_error_j=100.0 * 0.001 + 1e-4,
            tick_s=0.1,
            least_w=0.1,
            range_j=2**32 * 61e-6,  # as the fake tree states it
        )
    ]


def ticking(tree: FakePowercap) -> RaplMeter:
    """A meter whose time passes while it watches, open."""
    meter = RaplMeter(tree.root, clock=tree.clock, sleep=tree.advance)
    meter.open()
    return meter


def still(shown_j: float) -> EnergyCounter:
    return EnergyCounter(constant(0.0), offset_j=shown_j)


@pytest.mark.parametrize("shown_j", [0.0, 12345.0])
def test_a_package_that_stands_still_makes_the_meter_unavailable(
    tree: FakePowercap, shown_j: float
) -> None:
    tree.add("intel-rapl:0", "package-0", EnergyCounter(constant(70.0)))
    path = tree.add("intel-rapl:1", "package-1", still(shown_j))
    files = len(os.listdir("/proc/self/fd"))
    with pytest.raises(MeterUnavailable) as refused:
        ticking(tree)
    assert str(refused.value) == f"{path / 'energy_uj'} stands still at {shown_j:g} J"
    assert len(os.listdir("/proc/self/fd")) == files


def test_memory_that_stands_still_is_left_out_with_the_reason(tree: FakePowercap) -> None:
    tree.add("intel-rapl:0", "package-0", EnergyCounter(constant(70.0)))
    path = tree.add("intel-rapl:0/intel-rapl:0:0", "dram", still(0.0))
    meter = ticking(tree)
    assert [component.name for component in meter.components] == ["cpu0"]
    assert meter.refused == {"dram0": f"{path / 'energy_uj'} stands still at 0 J"}


def test_a_counter_that_changes_seldom_has_edges_that_nobody_knows(tree: FakePowercap) -> None:
    """A hypervisor that feeds it now and then; it happens to change while it is watched."""
    slow = EnergyCounter(constant(50.0), refresh_s=0.8)
    path = tree.add("intel-rapl:0", "package-0", slow)
    tree.advance(0.79 - tree.clock() % 0.8)
    with pytest.raises(MeterUnavailable) as refused:
        ticking(tree)
    reason = "changes too seldom, 1 times in 0.051 s"
    assert str(refused.value) == f"{path / 'energy_uj'} {reason}"


def test_a_limit_that_no_register_holds_states_nothing(tree: FakePowercap) -> None:
    tree.add("intel-rapl:0", "package-0", EnergyCounter(constant(70.0)), limit_w=1e12)
    (component,) = opened(tree).components
    assert component.edge_error_j == pytest.approx(1000.0 * 0.001 + 1e-4)


def test_a_clock_that_stands_still_cannot_say_that_a_counter_does(tree: FakePowercap) -> None:
    tree.add("intel-rapl:0", "package-0", still(7.0))
    meter = RaplMeter(tree.root, clock=tree.clock, sleep=lambda _: None)
    meter.open()
    assert [component.name for component in meter.components] == ["cpu0"]


def test_watching_ends_as_soon_as_all_have_moved(tree: FakePowercap) -> None:
    tree.add("intel-rapl:0", "package-0", EnergyCounter(constant(70.0), refresh_s=0.001))
    began_s = tree.clock()
    ticking(tree)
    assert tree.clock() - began_s < 0.01


@pytest.mark.parametrize("moves", [True, False])
def test_dies_that_show_one_counter_count_once(tree: FakePowercap, moves: bool) -> None:
    """As a 1950X has it: 125 W at the wall, and twice 68 W shown."""
    for die in range(4):
        watts = 68.0 if die < 3 else 50.0
        tree.add(f"intel-rapl:{die}", f"package-0-die-{die}", EnergyCounter(constant(watts)))
    meter = ticking(tree) if moves else opened(tree)
    assert [(one.name, one.source) for one in meter.components] == [
        ("cpu0-die0", "rapl(intel-rapl:0, mirrored by intel-rapl:1, mirrored by intel-rapl:2)"),
        ("cpu0-die3", "rapl(intel-rapl:3)"),
    ]
    before = meter.read()
    tree.advance(10.0)
    after = meter.read()
    joules = {name: after[name].energy_j - before[name].energy_j for name in after}
    assert joules == pytest.approx({"cpu0-die0": 680.0, "cpu0-die3": 500.0})


def test_packages_that_move_in_lockstep_count_once(tree: FakePowercap) -> None:
    for socket in (0, 1):
        tree.add(f"intel-rapl:{socket}", f"package-{socket}", EnergyCounter(constant(70.0)))
    (component,) = ticking(tree).components
    assert component.source == "rapl(intel-rapl:0, mirrored by intel-rapl:1)"


def test_dies_that_were_equal_once_and_move_apart_count_each(tree: FakePowercap) -> None:
    for die, watts in enumerate((60.0, 70.0)):
        counter = EnergyCounter(step(50.0, watts, at_s=tree.clock()), offset_j=10.0)
        tree.add(f"intel-rapl:{die}", f"package-0-die-{die}", counter)
    assert [one.name for one in ticking(tree).components] == ["cpu0-die0", "cpu0-die1"]


ODD = ["", "\n", "N/A\n", "-5\n", "1.5\n", "0x10\n", "\xff"]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        *itertools.product(["energy_uj", "max_energy_range_uj"], ODD),
        *itertools.product(["name"], ["", "\n", "N/A\n", "1.5\n", "\xff"]),
    ],
)
@pytest.mark.parametrize("zone", ["intel-rapl:0", "intel-rapl:0/intel-rapl:0:0"])
def test_a_file_that_holds_something_odd_is_refused_with_its_name_and_content(
    tree: FakePowercap, file: str, text: str, zone: str
) -> None:
    tree.add("intel-rapl:0", "package-0", EnergyCounter(constant(70.0)))
    tree.add("intel-rapl:0/intel-rapl:0:0", "dram", EnergyCounter(constant(7.0)))
    path = tree.root / zone / file
    path.write_bytes(text.encode("latin-1"))
    files = len(os.listdir("/proc/self/fd"))
    content = text.encode("latin-1").decode(errors="replace").strip()
    reason = f"{path} holds {content!r}, which cannot be"
    if file == "name":  # it may be a package
        with pytest.raises(MeterUnavailable, match=re.escape(reason)):
            opened(tree)
    else:
        assert refusal(tree) == reason
    assert len(os.listdir("/proc/self/fd")) == files


@pytest.mark.parametrize(
    ("text", "reason"), [("0\n", "holds '0', which cannot be"), ("5\n", "wrap too soon to follow")]
)
def test_a_range_that_cannot_be_is_refused(tree: FakePowercap, text: str, reason: str) -> None:
    path = tree.add("intel-rapl:0", "package-0", EnergyCounter(constant(70.0)))
    (path / "max_energy_range_uj").write_text(text)
    with pytest.raises(MeterUnavailable, match=reason):
        opened(tree)


@pytest.mark.parametrize("text", ODD)
def test_a_counter_that_holds_something_odd_later_has_failed(tree: FakePowercap, text: str) -> None:
    for socket in (0, 1):
        path = tree.add(f"intel-rapl:{socket}", f"package-{socket}", EnergyCounter(constant(70.0)))
    meter = opened(tree)
    tree.advance(1.0)
    (path / "energy_uj").write_bytes(text.encode("latin-1"))
    readings = meter.read()
    assert readings["cpu0"].energy_j == pytest.approx(70.0)
    failure = readings["cpu1"].failure
    assert failure is not None
    assert failure.startswith(f"{path / 'energy_uj'} holds ")


def test_a_limit_too_low_to_be_one_states_nothing(tree: FakePowercap) -> None:
    tree.add("intel-rapl:0", "package-0", EnergyCounter(constant(1.0)), limit_w=0.5)
    (component,) = opened(tree).components
    assert component.edge_error_j == pytest.approx(1000.0 * 0.001 + 1e-4)
