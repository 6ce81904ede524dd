"""CPU time of all processes below a program, and those that outlive it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from bench.programs.descendants import Descendants

LOOP = 'python3 -c "import time\nwhile time.process_time() < 0.05: pass"'


def test_cpu_time_is_that_of_all_processes_below_it(tmp_path: Path) -> None:
    """Each loop ends when the kernel has counted 50 ms for it.

    One belongs to the program itself. The other runs in the background of a shell that has ended,
    so nobody but us can wait for it; it ends after the program.
    """
    with Descendants() as below:
        subprocess.run(["sh", "-c", f"sh -c '({LOOP}) &'; {LOOP}"], check=True)
        below.count()
    assert below.num_left == 0
    assert 0.1 <= below.cpu_time_s < 2.0


def test_what_outlives_it_is_counted_and_left_alone(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with Descendants(sleep=lambda _: None) as below:
        subprocess.run(["sh", "-c", f"sleep 60 & echo $! > {pid_file}"], check=True)
        below.count()
    assert below.num_left == 1
    pid = int(pid_file.read_text())
    os.kill(pid, signal.SIGKILL)  # it was alive
    os.waitpid(pid, 0)


def test_children_from_before_do_not_count() -> None:
    with subprocess.Popen(["sleep", "60"]) as earlier:
        with Descendants(sleep=lambda _: None) as below:
            subprocess.run(["true"], check=True)
            below.count()
        assert below.num_left == 0
        assert earlier.poll() is None
        earlier.kill()
