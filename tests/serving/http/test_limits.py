"""Memory control groups on synthetic trees; test_process.py has the real ones."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path

import pytest

from bench.serving.http.limits import (
    LimitUnavailable,
    make_memory_group,
    require_connections,
    thread_environment,
)


def mounted(root: Path, own: str, mount: str, files: dict[str, str]) -> None:
    """A tree with one mounted hierarchy and files in groups below it."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(own)
    (root / "proc/self/mountinfo").write_text(mount)
    for name, content in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def v1(root: Path) -> Path:
    """The own group of a version 1 tree."""
    mount = "30 20 0:25 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    files = {"memory/job/memory.limit_in_bytes": "9223372036854771712"}
    mounted(root, "4:memory:/job\n0::/\n", mount, files)
    return root / "sys/fs/cgroup/memory/job"


def v2(root: Path, **files: str) -> Path:
    """The own group, /slice/job, of a version 2 tree."""
    mount = "30 20 0:25 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n"
    given = {
        "slice/job/cgroup.controllers": "cpu memory pids\n",
        "slice/job/cgroup.subtree_control": "\n",
        "slice/job/cpu.max": "max 100000\n",
        "slice/job/memory.max": "max\n",
        "slice/cgroup.subtree_control": "cpu memory\n",
    }
    mounted(root, "0::/slice/job\n", mount, {**given, **files})
    return root / "sys/fs/cgroup/slice/job"


def occupied(own: Path) -> None:
    """What the kernel does not let be written, as for a group with processes of its own."""
    (own / "cgroup.subtree_control").unlink()
    (own / "cgroup.subtree_control").mkdir()


def test_version_1_is_limited_below_the_own_group(tmp_path: Path) -> None:
    own = v1(tmp_path)
    group = make_memory_group(12345678, name="server", root=tmp_path)
    assert group.folder == own / "server"
    assert group.procs == own / "server/cgroup.procs"
    assert (own / "server/memory.limit_in_bytes").read_text() == "12345678"
    assert group.description == "cgroup v1, memory.limit_in_bytes=12345678"
    (own / "server/memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    assert group.num_oom_kills() == 2
    group.remove(shutil.rmtree)
    assert not group.folder.exists()


def test_version_2_lets_groups_below_have_limits_first(tmp_path: Path) -> None:
    own = v2(tmp_path)
    group = make_memory_group(12345678, name="server", root=tmp_path)
    assert group.folder == own / "server"
    assert (own / "cgroup.subtree_control").read_text() == "+memory"
    assert (own / "server/memory.max").read_text() == "12345678"
    assert group.description == "cgroup v2, memory.max=12345678"
    (own / "server/memory.events").write_text("low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\n")
    assert group.num_oom_kills() == 1


def test_version_2_makes_the_group_beside_one_that_has_processes(tmp_path: Path) -> None:
    own = v2(tmp_path)
    occupied(own)
    group = make_memory_group(12345678, name="server", root=tmp_path)
    assert group.folder == own.parent / "server"


@pytest.mark.parametrize("limit", [{"cpu.max": "50000 100000\n"}, {"memory.max": "1000\n"}])
def test_version_2_does_not_escape_from_limits(tmp_path: Path, limit: dict[str, str]) -> None:
    own = v2(tmp_path, **{f"slice/job/{name}": value for name, value in limit.items()})
    occupied(own)
    with pytest.raises(LimitUnavailable, match="limits that a group beside it would not have"):
        make_memory_group(12345678, name="server", root=tmp_path)
    assert not (own.parent / "server").exists()


def test_version_2_changes_nothing_above_the_own_group(tmp_path: Path) -> None:
    own = v2(tmp_path, **{"slice/cgroup.subtree_control": "cpu\n"})
    occupied(own)
    with pytest.raises(LimitUnavailable, match="gives no memory limits to the groups below it"):
        make_memory_group(12345678, name="server", root=tmp_path)
    assert (own.parent / "cgroup.subtree_control").read_text() == "cpu\n"


def test_a_kernel_without_the_controller(tmp_path: Path) -> None:
    v2(tmp_path, **{"slice/job/cgroup.controllers": "cpu\n", "slice/cgroup.subtree_control": ""})
    with pytest.raises(LimitUnavailable, match="has no memory controller"):
        make_memory_group(12345678, name="server", root=tmp_path)


def test_a_group_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    own = v1(tmp_path)
    (own / "server").write_text("in the way")
    with pytest.raises(LimitUnavailable, match="no permission to make a control group"):
        make_memory_group(12345678, name="server", root=tmp_path)


def test_no_groups_at_all(tmp_path: Path) -> None:
    with pytest.raises(LimitUnavailable, match="no control groups here"):
        make_memory_group(12345678, name="server", root=tmp_path)
    mounted(tmp_path, "4:memory:/job\n", "30 20 0:25 / /x rw - tmpfs tmpfs rw\n", {})
    with pytest.raises(LimitUnavailable, match="no mounted control group shows the memory"):
        make_memory_group(12345678, name="server", root=tmp_path)


def test_threads_of_libraries() -> None:
    assert thread_environment(None) == {}
    assert thread_environment(2)["OMP_NUM_THREADS"] == "2"


def test_more_connections_than_files_may_be_open_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = {"now": (256, 1000)}
    monkeypatch.setattr(resource, "getrlimit", lambda which: limits["now"])
    monkeypatch.setattr(resource, "setrlimit", lambda which, both: limits.update(now=both))
    require_connections(50)
    assert limits["now"] == (256, 1000)  # enough already
    require_connections(800)
    assert limits["now"] == (1000, 1000)
    wanted = r"backend\.http\.concurrency=801: a process may have 1000 files open here"
    with pytest.raises(ValueError, match=wanted):
        require_connections(801)
