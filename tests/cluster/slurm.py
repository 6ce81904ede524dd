"""A real SLURM with two nodes on this machine, and commands whose jobs run on it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cli.command import ROOT, STARTED, Answer, environment

# The program of each Debian package that the tests need.
PROGRAMS = {
    "munged": "munge",
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "sbatch": "slurm-client",
    "slurmdbd": "slurmdbd",
    "mariadbd": "mariadb-server-core",
}
START_LIMIT_S = 120.0  # it takes 8 s on an idle machine


class SlurmStartError(Exception):
    """SLURM cannot run on this machine; the message says why."""


def wait_until(what: str, condition: Callable[[], bool], limit_s: float = 90.0) -> None:
    """Wait until a condition holds.

    Args:
        what: The condition in words.
        condition: Asked ten times a second.
        limit_s: How long to wait at most, in seconds.

    Raises:
        AssertionError: It does not hold by then.
    """
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {limit_s:.0f} s: {what}"
        time.sleep(0.1)


@dataclass(frozen=True, slots=True)
class Slurm:
    """A SLURM that runs.

    Attributes:
        conf: Its slurm.conf.
    """

    conf: Path

    def ask(self, *command: str) -> str:
        """Run a command of SLURM and return what it prints.

        Raises:
            subprocess.CalledProcessError: It failed.
        """
        variables = {**os.environ, "SLURM_CONF": str(self.conf)}
        return subprocess.run(
            command, env=variables, capture_output=True, text=True, check=True
        ).stdout

    def start(
        self, folder: Path, *arguments: str, module: str = "bench.train", **variables: str
    ) -> subprocess.Popen[str]:
        """Start `python -m bench.train`, or another command, with these arguments in a folder.

        Args:
            folder: A folder of the test.
            arguments: The command line.
            module: The command.
            variables: Environment variables to set besides the usual ones.
        """
        return self.start_program(folder, sys.executable, "-m", module, *arguments, **variables)

    def start_program(self, folder: Path, *command: str, **variables: str) -> subprocess.Popen[str]:
        """Start any program as a user of the cluster does."""
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=self._environment(folder) | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        STARTED.append(process)
        return process

    def run(
        self, folder: Path, *arguments: str, module: str = "bench.train", **variables: str
    ) -> Answer:
        """Run a command to its end, as start() starts it."""
        return answer(self.start(folder, *arguments, module=module, **variables))

    def without_accounting(self) -> str:
        """A slurm.conf of the same SLURM, for users to whom sacct does not answer.

        Only the daemons use the database, so clients see the same as on a cluster without one.
        """
        conf = self.conf.with_name("no_accounting") / "slurm.conf"
        conf.parent.mkdir(exist_ok=True)
        lines = self.conf.read_text().splitlines(keepends=True)
        conf.write_text("".join(line for line in lines if not line.startswith("Accounting")))
        return str(conf)

    def queue(self) -> list[str]:
        """The jobs that wait or run; an array that waits is one line."""
        return self.ask("squeue", "--noheader", "--format=%i %T").splitlines()

    def cancel_all(self) -> None:
        """End all jobs and wait until they have ended."""
        self.ask("scancel", "--user=root")
        wait_until("the queue is empty", lambda: not self.queue())

    def _environment(self, folder: Path) -> dict[str, str]:
        """What a user of the cluster has: each node has a lock in its own /tmp."""
        variables = environment(folder) | {"SLURM_CONF": str(self.conf), "TMPDIR": "/tmp"}
        del variables["BENCH_LOCK"]
        return variables


def answer(process: subprocess.Popen[str], limit_s: float = 120.0) -> Answer:
    """Wait until a command has ended and return what it printed.

    Raises:
        subprocess.TimeoutExpired: It still runs after `limit_s` seconds.
    """
    out, err = process.communicate(timeout=limit_s)
    return Answer(code=process.returncode, out=out, err=err)


def missing() -> str | None:
    """Say why SLURM cannot even be started here; None if it can be tried."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "starting SLURM needs Linux and root"
    absent = [package for name, package in PROGRAMS.items() if shutil.which(name) is None]
    return f"needs the Debian packages {' '.join(absent)}" if absent else None


@contextmanager
def running_slurm(folder: Path, *paths: Path) -> Iterator[Slurm]:
    """Start SLURM, and stop it at the end; it also stops when this process is killed.

    Args:
        folder: An empty folder for its files.
        paths: What its nodes see of this machine's /tmp.

    Raises:
        SlurmStartError: It does not start.
    """
    script = Path(__file__).with_name("slurm.sh")
    interpreter = {Path(sys.prefix), Path(sys.prefix).resolve(), Path(sys.base_prefix)}
    process = subprocess.Popen(
        ["bash", str(script), str(folder), *map(str, {ROOT, *interpreter, *paths})],
        stdin=subprocess.PIPE,  # closed by the kernel if this process is killed, which ends SLURM
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    limit = threading.Timer(START_LIMIT_S, process.kill)
    limit.start()
    try:
        line = process.stdout.readline().strip()
        limit.cancel()
        if line != "ready":
            raise SlurmStartError(line or f"SLURM is not ready after {START_LIMIT_S:.0f} s")
        yield Slurm(folder / "slurm.conf")
    finally:
        limit.cancel()
        process.stdin.close()
        process.wait(30)
        process.stdout.close()
