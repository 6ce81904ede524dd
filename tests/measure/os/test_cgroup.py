"""Control groups, on small trees with the kernel's paths and formats."""

from __future__ import annotations

import errno
import gc
import os
import time
from pathlib import Path

import psutil
import pytest

from bench.measure.os.cgroup import CgroupReader, CgroupReading, CgroupUse, cgroup_use
from tests.fakes import FakeClock

Tree = dict[str, str]

V2_MOUNT = "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
ROOT_STAT = "usage_usec 900000000\nuser_usec 800000000\nsystem_usec 100000000\n"


def v2_stat(usage_usec: int, periods: int, throttled: int, throttled_usec: int) -> str:
    return (
        f"usage_usec {usage_usec}\nuser_usec 1\nsystem_usec 1\n"
        f"nr_periods {periods}\nnr_throttled {throttled}\nthrottled_usec {throttled_usec}\n"
        "nr_bursts 0\nburst_usec 0\n"
    )


def v1_stat(periods: int, throttled: int, throttled_ns: int) -> str:
    return f"nr_periods {periods}\nnr_throttled {throttled}\nthrottled_time {throttled_ns}\n"


# A unit of systemd with a quota, in a slice with another.
V2: Tree = {
    "proc/self/cgroup": "0::/jobs.slice/run.service\n",
    "proc/self/mountinfo": "25 30 0:23 / /proc rw - proc proc rw\n" + V2_MOUNT,
    "sys/fs/cgroup/cpu.stat": ROOT_STAT,
    "sys/fs/cgroup/jobs.slice/cpu.stat": v2_stat(70_000_000, 20, 2, 250_000),
    "sys/fs/cgroup/jobs.slice/memory.current": "9000\n",
    "sys/fs/cgroup/jobs.slice/run.service/cpu.stat": v2_stat(12_500_000, 10, 4, 1_500_000),
    "sys/fs/cgroup/jobs.slice/run.service/memory.current": "4096\n",
}

# A container without a namespace of its own: the mounts begin at its group.
V1: Tree = {
    "proc/self/cgroup": (
        "11:memory:/docker/ab\n4:cpu,cpuacct:/docker/ab\n1:name=systemd:/docker/ab\n"
    ),
    "proc/self/mountinfo": (
        "40 39 0:31 /docker/ab /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n"
        "41 39 0:32 /docker/ab /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
    ),
    "sys/fs/cgroup/cpu,cpuacct/cpuacct.usage": "12500000000\n",
    "sys/fs/cgroup/cpu,cpuacct/cpu.stat": v1_stat(10, 4, 1_500_000_000),
    "sys/fs/cgroup/memory/memory.usage_in_bytes": "4096\n",
}

# A container with a namespace of its own: its group is "/", and looks like a root with a quota.
NAMESPACE: Tree = {
    "proc/self/cgroup": "0::/\n",
    "proc/self/mountinfo": V2_MOUNT,
    "sys/fs/cgroup/cpu.stat": v2_stat(12_500_000, 10, 4, 1_500_000),
    "sys/fs/cgroup/memory.current": "4096\n",
}

# Processors under v1, memory under v2, whose own counters of CPU time are those of another group.
HYBRID: Tree = {
    "proc/self/cgroup": "2:cpuacct:/run\n1:cpu:/run\n0::/\n",
    "proc/self/mountinfo": (
        "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
        "33 31 0:30 / /sys/fs/cgroup/cpuacct rw - cgroup cgroup rw,cpuacct\n"
        "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    ),
    "sys/fs/cgroup/cpu/run/cpu.stat": v1_stat(10, 4, 1_500_000_000),
    "sys/fs/cgroup/cpuacct/run/cpuacct.usage": "12500000000\n",
    "sys/fs/cgroup/unified/cpu.stat": ROOT_STAT,
    "sys/fs/cgroup/unified/memory.current": "4096\n",
}


def write(root: Path, tree: Tree) -> Path:
    for name, text in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def read(root: Path) -> CgroupReading:
    reader = CgroupReader(root, FakeClock(7.0))
    assert reader.unavailable is None
    reading = reader.read()
    assert reading is not None
    return reading


@pytest.mark.parametrize("tree", [V1, NAMESPACE, HYBRID], ids=["v1", "namespace", "hybrid"])
def test_all_versions_give_the_same_counters_in_the_same_units(tmp_path: Path, tree: Tree) -> None:
    assert read(write(tmp_path, tree)) == CgroupReading(
        at_s=7.0,
        usage_s=12.5,
        throttled_s=1.5,
        memory_bytes=4096,
    )


def test_quotas_above_the_own_group_throttle_too(tmp_path: Path) -> None:
    assert read(write(tmp_path, V2)) == CgroupReading(
        at_s=7.0,
        usage_s=12.5,  # of the own group alone
        throttled_s=1.75,  # 1.5 s here and 0.25 s in the slice
        memory_bytes=4096,
    )


def test_the_root_of_v2_counts_only_time(tmp_path: Path) -> None:
    tree = {
        "proc/self/cgroup": "0::/\n",
        "proc/self/mountinfo": V2_MOUNT,
        "sys/fs/cgroup/cpu.stat": ROOT_STAT,
    }
    assert read(write(tmp_path, tree)) == CgroupReading(
        at_s=7.0,
        usage_s=900.0,
        throttled_s=None,
        memory_bytes=None,
    )


def test_a_reader_sees_what_changes_in_files_that_it_keeps_open(tmp_path: Path) -> None:
    clock = FakeClock()
    reader = CgroupReader(write(tmp_path, V2), clock)
    start = reader.read()
    clock.advance(10.0)
    folder = tmp_path / "sys/fs/cgroup/jobs.slice/run.service"
    (folder / "cpu.stat").write_text(v2_stat(32_500_000, 110, 54, 6_500_000))
    (folder / "memory.current").write_text("123456789\n")
    end = reader.read()
    assert start is not None
    assert end is not None
    assert end.memory_bytes == 123456789
    # 20 of 40 CPU seconds; 5 of 10 s throttled.
    use = cgroup_use(start, end, num_cpus=4)
    assert use is not None
    assert use.cpu_frac == pytest.approx(0.5)
    assert use.throttled_frac == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("tree", "reason"),
    [
        ({}, r"cgroup: .*No such file.*proc/self/cgroup"),
        ({"proc/self/cgroup": "0::/\n"}, r"cgroup: .*No such file.*mountinfo"),
        # A kernel with control groups, and nobody who mounted them.
        ({"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": ""}, "no mounted cgroup"),
        # The mount shows a group above this namespace, and not which of its children this is.
        (NAMESPACE | {"proc/self/mountinfo": V2_MOUNT.replace(" / ", " /.. ")}, "no mounted"),
        # The process was moved out of the namespace that it sees.
        (NAMESPACE | {"proc/self/cgroup": "0::/../other\n"}, "no mounted cgroup"),
        # A container that was given a mount of another one's group.
        (V1 | {"proc/self/cgroup": "4:cpu,cpuacct:/x\n11:memory:/x\n"}, "no mounted cgroup"),
        # A mount over which something else was mounted.
        ({"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": V2_MOUNT}, "no mounted cgroup"),
    ],
)
def test_without_a_readable_group_the_reason_is_given(
    tmp_path: Path, tree: Tree, reason: str
) -> None:
    reader = CgroupReader(write(tmp_path, tree))
    assert reader.read() is None
    with pytest.raises(OSError, match=reason):
        raise OSError(reader.unavailable)


ODD = ["", "\n", "max\n", "N/A\n", "\0\1", "12.5\n"]
FOLDER = "sys/fs/cgroup/jobs.slice/run.service"


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("later", [False, True])
def test_odd_memory_is_not_known_and_says_why(tmp_path: Path, text: str, later: bool) -> None:
    path = write(tmp_path, V2) / FOLDER / "memory.current"
    reader = CgroupReader(tmp_path)
    if not later:
        path.write_text(text)
        reader = CgroupReader(tmp_path)
    path.write_text(text)
    found = reader.read()
    assert found is not None
    assert (found.memory_bytes, found.usage_s, found.throttled_s) == (None, 12.5, 1.75)
    assert reader.problems == {path: f"{path} holds {text.strip()!r}, which is no number"}


@pytest.mark.parametrize("text", ["", "\n", "N/A\n", "\0\1", "user_usec 5\n"])
@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize(
    ("folder", "usage_s"), [(FOLDER, None), ("sys/fs/cgroup/jobs.slice", 12.5)]
)
def test_a_group_that_says_nothing_leaves_the_sum_over_groups_unknown(
    tmp_path: Path, text: str, later: bool, folder: str, usage_s: float | None
) -> None:
    path = write(tmp_path, V2) / folder / "cpu.stat"
    reader = CgroupReader(tmp_path)
    path.write_text(text)
    if not later:
        reader = CgroupReader(tmp_path)
    found = reader.read()
    assert found is not None
    assert (found.usage_s, found.throttled_s, found.memory_bytes) == (usage_s, None, 4096)
    assert reader.problems == {path: f"{path} holds {text.strip()!r}, which counts nothing"}


@pytest.mark.parametrize(
    ("line", "usage_s", "throttled_s"),
    [
        ("usage_usec N/A", None, 1.75),
        ("throttled_usec N/A", 12.5, None),
        ("nr_throttled N/A", 12.5, 1.75),  # only asked whether it is there
    ],
)
def test_of_a_file_only_what_is_odd_is_unknown(
    tmp_path: Path, line: str, usage_s: float | None, throttled_s: float | None
) -> None:
    path = write(tmp_path, V2) / FOLDER / "cpu.stat"
    name = line.split()[0]
    lines = [line if old.startswith(name) else old for old in path.read_text().splitlines()]
    path.write_text("\n".join(lines))
    found = CgroupReader(tmp_path).read()
    assert found is not None
    assert (found.usage_s, found.throttled_s) == (usage_s, throttled_s)


def test_odd_cpu_time_of_v1_is_not_known(tmp_path: Path) -> None:
    path = write(tmp_path, V1) / "sys/fs/cgroup/cpu,cpuacct/cpuacct.usage"
    path.write_text("N/A\n")
    reader = CgroupReader(tmp_path)
    found = reader.read()
    assert found is not None
    assert (found.usage_s, found.throttled_s) == (None, 1.5)
    assert reader.problems == {path: f"{path} holds 'N/A', which is no number"}


@pytest.mark.parametrize("file", ["proc/self/cgroup", "proc/self/mountinfo"])
def test_odd_lines_of_the_process_make_the_group_unavailable(tmp_path: Path, file: str) -> None:
    write(tmp_path, V2 | {file: "nonsense\n"})
    reader = CgroupReader(tmp_path)
    assert reader.read() is None
    assert reader.unavailable is not None
    assert f"{tmp_path / file} is not understood: " in reader.unavailable
    assert "'nonsense\\n'" in reader.unavailable


def test_a_group_that_is_removed_later_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = CgroupReader(write(tmp_path, V2))

    def gone(*arguments: int) -> bytes:
        raise OSError(errno.ENODEV, "No such device")

    monkeypatch.setattr(os, "pread", gone)
    found = reader.read()
    assert found is not None
    assert (found.usage_s, found.throttled_s, found.memory_bytes) == (None, None, None)
    assert len(reader.problems) == 3
    assert all("No such device" in problem for problem in reader.problems.values())


def reading(at_s: float, usage_s: float | None, throttled_s: float | None) -> CgroupReading:
    return CgroupReading(
        at_s=at_s,
        usage_s=usage_s,
        throttled_s=throttled_s,
        memory_bytes=None,
    )


def test_several_throttled_cpus_can_wait_longer_than_time_passes() -> None:
    # In 2 s three CPUs stood still for 1 s each.
    use = cgroup_use(reading(0.0, 0.0, 0.0), reading(2.0, 1.0, 3.0), num_cpus=4)
    assert use == CgroupUse(cpu_frac=0.125, throttled_frac=1.5)


def test_use_is_never_more_than_all_and_what_runs_backwards_is_not_known() -> None:
    # The clock was read late: 9 CPU seconds in 1 s on 4 CPUs.
    use = cgroup_use(reading(1.0, 0.0, 5.0), reading(2.0, 9.0, 5.5), num_cpus=4)
    assert use == CgroupUse(cpu_frac=1.0, throttled_frac=0.5)
    use = cgroup_use(reading(1.0, 9.0, 5.0), reading(2.0, 8.0, 4.0), num_cpus=4)
    assert use == CgroupUse(cpu_frac=None, throttled_frac=None)


def test_use_is_unknown_without_time_or_without_a_counter() -> None:
    start = reading(1.0, None, None)
    assert cgroup_use(start, start, num_cpus=4) is None
    assert cgroup_use(start, reading(2.0, 1.0, 1.0), num_cpus=4) == CgroupUse(
        cpu_frac=None, throttled_frac=None
    )


def test_a_reader_that_is_gone_keeps_no_files_open(tmp_path: Path) -> None:
    gc.collect()
    process = psutil.Process()
    before = process.num_fds()
    reader = CgroupReader(write(tmp_path, V2))
    assert process.num_fds() == before + 3  # two groups that can throttle, and memory
    del reader
    gc.collect()
    assert process.num_fds() == before


def test_the_group_of_this_process_counts_what_it_burns() -> None:
    reader = CgroupReader()
    start = reader.read()
    if start is None or start.usage_s is None:
        pytest.skip(f"no group that counts CPU time: {reader.unavailable}")
    began_s = time.process_time()
    sum(range(10_000_000))
    burnt_s = time.process_time() - began_s
    end = reader.read()
    assert end is not None
    assert end.usage_s is not None
    # Of a process that is running the kernel may book the last tick (10 ms) later.
    assert end.usage_s - start.usage_s >= burnt_s - 0.02
    assert burnt_s > 0.04
