from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from bench.measure.os.process import KeptFile, Process, ProcProcess
from bench.measure.os.system import GONE, ProcessTree, PsutilProcess
from tests.fakes import FakeClock

HAS_PROC = Path("/proc/self/statm").exists()
KINDS = [pytest.param(ProcProcess, marks=pytest.mark.skipif(not HAS_PROC, reason="no /proc"))]
KINDS += [pytest.param(PsutilProcess)]

# Its own name has what would break a naive reading of /proc/PID/stat. It burns and reaps a child
# that burnt, holds 64 MiB, says so and waits.
CHILD = """
import pathlib, subprocess, sys, time
comm = pathlib.Path("/proc/self/comm")
if comm.exists(): comm.write_text("a) 1 1 1 1 1 (")
held = b"x" * (64 << 20)
burn = "import time\\nwhile time.process_time() < 0.1: pass"
exec(burn)
subprocess.run([sys.executable, "-c", burn])
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("kind", KINDS)
def test_time_and_memory_of_a_process_are_read_until_it_is_gone(kind: type[ProcProcess]) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        process: Process = kind(child.pid)
        # It and its child burnt 0.1 s each; the kernel tells in ticks of 10 ms, of four times.
        assert process.cpu_s() >= 0.16
        other = psutil.Process(child.pid)  # asked before and after: the child may still do a bit
        low_s, cpu_s, high_s = used_s(other), process.cpu_s(), used_s(other)
        assert low_s - 1e-6 <= cpu_s <= high_s + 1e-6
        low, rss_bytes, high = other.memory_info().rss, process.rss_bytes(), other.memory_info().rss
        assert 64 << 20 < low <= rss_bytes <= high
        child.communicate()
    with pytest.raises(GONE):
        process.cpu_s()
    with pytest.raises(GONE):
        process.rss_bytes()
    with pytest.raises(GONE):
        kind(child.pid)


def used_s(process: psutil.Process) -> float:
    """Its CPU time and that of its children that have ended."""
    return float(sum(process.cpu_times()[:4]))


def test_a_kept_file_is_read_again_each_time(tmp_path: Path) -> None:
    path = tmp_path / "counter"
    path.write_text("1\n")
    file = KeptFile(path)
    path.write_text("22\n")
    assert file.read() == b"22\n"
    assert file.read() == b"22\n"


def test_a_child_that_ends_between_two_looks_leaves_the_tree_in_peace() -> None:
    tree = ProcessTree(FakeClock())  # which never looks by itself: no time passes
    with subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        alive_s = tree.cpu_s(refresh=True)
        alive_bytes = tree.rss_bytes()
        assert child.pid in tree.pids()
        child.communicate()
    assert tree.cpu_s() >= alive_s  # it has been reaped, and counts as such
    assert tree.rss_bytes() < alive_bytes - (32 << 20)
    tree.cpu_s(refresh=True)
    assert child.pid not in tree.pids()
