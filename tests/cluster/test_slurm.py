"""The SLURM of the tests: two nodes, and nothing left of it when it ends, however it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.cli.command import ROOT
from tests.cluster.slurm import Slurm, SlurmStartError, missing, running_slurm, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]


def test_two_nodes_look_like_two_machines(slurm: Slurm) -> None:
    printed = slurm.ask("srun", "--nodes=2", "--ntasks=2", "bash", "-c", "hostname; ls /tmp")
    assert {"node1", "node2"} <= set(printed.split())
    accounts = ("sacct", "--allocations", "--noheader", "--format=State")
    wait_until("sacct knows the job", lambda: "COMPLETED" in slurm.ask(*accounts))


def test_nothing_is_left_when_whoever_started_it_is_killed(slurm: Slurm, tmp_path: Path) -> None:
    script = (
        "import sys, time, pathlib; from tests.cluster.slurm import running_slurm\n"
        "with running_slurm(pathlib.Path(sys.argv[1])): pass"
    )
    starter = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT)
    wait_until("its first daemon runs", (tmp_path / "munged.pid").exists)
    assert running(tmp_path)
    starter.kill()
    starter.wait()
    wait_until("its processes have ended", lambda: not running(tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert str(tmp_path) not in Path("/proc/mounts").read_text()


def test_what_fails_is_reported(slurm: Slurm, tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)  # the name of a socket has at most 107 characters
    folder.mkdir()
    message = "munged does not answer: munged: Error: Exceeded maximum length of 108"
    with pytest.raises(SlurmStartError, match=message), running_slurm(folder):
        pytest.fail("SLURM runs without munged")
    assert running(folder) == []


def running(folder: Path) -> list[str]:
    """The command lines of all processes that name a folder."""
    lines = [
        " ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])
    ]
    return [line for line in lines if str(folder) in line]


def test_missing_programs_are_named_by_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert missing() == (
        "needs the Debian packages munge slurmctld slurmd slurm-client slurmdbd mariadb-server-core"
    )
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert missing() == "starting SLURM needs Linux and root"
