"""One training over several nodes, by the real commands: node 0 in this process, node 1 in another.

Both are on this host, so the second finds its lock taken. The variables are those of torchrun.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import psutil
import pyarrow.parquet as pq
import pytest

from bench.core.records.run import RunRecord
from bench.core.store import read_curve
from tests.cli.command import Answer, environment, own_modules, records, train
from tests.cli.second_node import make_parts
from tests.fork_server import start_process

pytestmark = pytest.mark.xdist_group("jobs")

QUICK = (
    *("experiment=smoke", "trainer=cpu", "trainer.num_threads=1", "trainer.num_warmup_steps=1"),
    *("codecarbon=none", "probe.num_requests=10", "probe.batch_sizes=[1]"),
    *("probe.max_s=0.1", "probe.min_batch_s=0.01", "meter=cpu_model"),
)
# Not reached within minutes. The budget bounds how long a signal that is lost is waited for.
LONG = ("target.value=0.9999", "budget.max_epochs=40000", "budget.max_time_s=60")
METER = """
import os
from bench.measure.meters.base import MeterUnavailable
from bench.measure.meters.cpu_model import CpuModelMeter

class OnNode0(CpuModelMeter):
    def open(self):
        if os.environ.get("NODE_OF_TEST") == "1":
            raise MeterUnavailable("no counter here")
        super().open()
"""


class Nodes:
    """Node 0 in this process, and node 1 in another, which makes the parts of all tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder  # of the first run, whose lock is that of all jobs of node 1
        self._orders, theirs = multiprocessing.Pipe()
        of_jobs = {"NODE_OF_TEST": "1", "BENCH_LOCK": environment(folder)["BENCH_LOCK"]}
        self._second = start_process(make_parts, theirs, of_jobs)
        theirs.close()

    def close(self) -> None:
        self._orders.close()  # which ends it
        self._second.join()

    def train(
        self,
        folder: Path,
        *arguments: str,
        second: tuple[str, ...] | None = None,
        when_evaluated: Callable[[psutil.Process], None] | None = None,
    ) -> tuple[Answer, Answer]:
        """Run the commands of both nodes to their end, and return what they printed.

        Args:
            folder: The folder in which they are started.
            arguments: Of both commands.
            second: Other arguments for the second.
            when_evaluated: Gets the second process once the run has a row in its curve.
        """
        variables = {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(free_port()),
            "GLOO_SOCKET_IFNAME": "lo",
            "WORLD_SIZE": "2",
            "LOCAL_WORLD_SIZE": "1",
        }
        others = {**variables, "RANK": "1"}
        theirs = arguments if second is None else second
        self._orders.send((folder, others, ("trainer.num_nodes=2", *theirs)))
        if when_evaluated is not None:
            threading.Thread(target=self._watch, args=(folder, when_evaluated)).start()
        with mock.patch.dict(os.environ, {**variables, "RANK": "0"}):
            first = train(folder, "trainer.num_nodes=2", *arguments)
        return first, self._orders.recv()

    def _watch(self, folder: Path, act: Callable[[psutil.Process], None]) -> None:
        deadline_s = time.monotonic() + 120.0
        while time.monotonic() < deadline_s:
            curves = folder.glob("results/train/*/curve.jsonl")
            if any(path.stat().st_size for path in curves):
                act(psutil.Process(self._second.pid))
                return
            time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    both = Nodes(tmp_path_factory.mktemp("two"))
    yield both
    both.close()


@pytest.fixture(scope="module")
def two(nodes: Nodes) -> tuple[Path, Answer, Answer]:
    return nodes.folder, *nodes.train(nodes.folder, *QUICK, "repeat=1")


@pytest.fixture(scope="module")
def record(two: tuple[Path, Answer, Answer]) -> RunRecord:
    (made,) = records(two[0])
    return made


def run_folder(folder: Path) -> Path:
    (found,) = (folder / "results" / "train").iterdir()
    return found


def test_node_0_makes_the_run_and_the_other_only_takes_part(
    two: tuple[Path, Answer, Answer],
) -> None:
    folder, first, second = two
    assert first.code == 0, first.err
    assert "reached" in first.out
    assert (second.code, second.out, second.err) == (0, "", "")
    ledger = (folder / "results" / "ledger.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in ledger] == ["launched", "ended"]
    names = {path.name for path in run_folder(folder).iterdir()}
    assert names >= {"run.json", "telemetry.parquet", "telemetry.node1.parquet", "log.node1.txt"}
    assert pq.read_table(run_folder(folder) / "telemetry.node1.parquet").num_rows


def test_the_joules_of_a_run_are_the_sum_over_its_nodes(
    two: tuple[Path, Answer, Answer], record: RunRecord
) -> None:
    assert [node.node for node in record.nodes] == [0, 1]
    parts = [node.energy_total_j for node in record.nodes]
    assert all(part is not None and part > 0 for part in parts)
    assert record.energy_total_j == pytest.approx(sum(part or 0.0 for part in parts))
    assert record.energy[0].energy_j == pytest.approx(record.energy_total_j)
    energy = record.phase_energy
    assert energy is not None
    phases_j = [energy.train_j, energy.eval_j, energy.checkpoint_j]
    assert sum(one or 0.0 for one in phases_j) == pytest.approx(record.energy_total_j)
    assert record.target is not None
    # The crossing is the last evaluation: only saving the model comes after it.
    assert record.target.energy_to_target_j == pytest.approx(record.energy_total_j, rel=0.5)
    assert record.nodes[1].telemetry == "telemetry.node1.parquet"
    # Node 0 holds the lock of this host, which node 1 wants too: no two nodes share a host.
    assert record.health is not None
    assert not record.health.comparable
    assert "node1.shared" in record.health.flags


def test_two_nodes_take_the_samples_of_two_devices(
    two: tuple[Path, Answer, Answer], tmp_path: Path
) -> None:
    """The ranks get the same samples, wherever they are."""
    answer = train(tmp_path, *QUICK, "trainer.devices=2", "repeat=1")
    assert answer.code == 0, answer.err
    curves = [
        [(row.samples, row.steps, row.quality) for row in read_curve(run_folder(folder))]
        for folder in (two[0], tmp_path)
    ]
    assert curves[0] == curves[1]


def test_a_node_without_a_meter_leaves_no_total_and_is_named(nodes: Nodes, tmp_path: Path) -> None:
    (tmp_path / "node_meter.py").write_text(METER)
    meter = ("meter=none", "+meter.sources.mine._target_=node_meter.OnNode0")
    with own_modules(tmp_path):
        first, second = nodes.train(tmp_path, *QUICK, *meter)
    assert (first.code, second.code) == (0, 0), first.err + second.err
    (record,) = records(tmp_path)
    own, other = record.nodes
    assert own.energy_total_j is not None
    assert (other.energy_total_j, record.energy_total_j) == (None, None)
    assert record.target is not None
    assert (record.target.reached, record.target.energy_to_target_j) == (True, None)
    reasons = {one.meter: one.reason for one in record.unavailable_meters}
    assert reasons["node1.mine"] == "no counter here"
    assert "has no joules, so the total of all nodes is unknown" in reasons["node1"]


def kill_job(command: psutil.Process) -> None:
    """Kill the job of a command, which is a child of its fork server."""
    next(job for job in command.children(recursive=True) if job.ppid() != command.pid).kill()


def test_a_node_that_is_killed_ends_the_run_and_is_named(nodes: Nodes, tmp_path: Path) -> None:
    first, second = nodes.train(tmp_path, *QUICK, *LONG, when_evaluated=kill_job)
    assert (first.code, second.code) == (5, 5)
    (record,) = records(tmp_path)
    assert record.status == "failed"
    assert record.error is not None
    assert record.error.kind == "node_failed"
    assert f"node1 ({socket.gethostname()}) was lost" in record.error.message
    assert "error: node1: ended by SIGKILL" in second.err
    assert record.health is not None
    assert "node1.node_lost" in record.health.flags
    assert read_curve(run_folder(tmp_path))


def test_a_signal_to_a_node_interrupts_the_run_with_the_joules_of_all(
    nodes: Nodes, tmp_path: Path
) -> None:
    """As SLURM sends it to all processes of a step; here it reaches node 1 first."""
    first, second = nodes.train(
        tmp_path, *QUICK, *LONG, when_evaluated=lambda process: process.send_signal(signal.SIGTERM)
    )
    assert (first.code, second.code) == (5, 130)
    (record,) = records(tmp_path)
    assert record.status == "interrupted"
    assert record.error is not None
    assert record.error.message.endswith("stopped by SIGTERM")
    assert record.energy_total_j == pytest.approx(
        sum(node.energy_total_j or 0.0 for node in record.nodes)
    )


def test_nodes_with_other_keys_are_turned_away(nodes: Nodes, tmp_path: Path) -> None:
    first, second = nodes.train(tmp_path, *QUICK, second=(*QUICK, "lr=0.5"))
    assert (first.code, second.code) == (5, 5)
    (record,) = records(tmp_path)
    assert record.error is not None
    assert "was started with another configuration, seed or repeat" in record.error.message
    assert "error: node1: node1 was started with another configuration" in second.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "trainer.num_nodes=2: must be started once on each node; type srun -N2 --ntasks-per"),
        (("-m", "lr=0.1,0.2"), "trainer.num_nodes=2: a sweep is made on one node; leave -m out"),
    ],
)
def test_a_command_in_the_wrong_place_is_refused_before_anything_is_created(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    answer = train(tmp_path, *QUICK, "trainer.num_nodes=2", *arguments)
    assert answer.code == 2
    assert message in answer.err
    assert answer.out == ""
    assert not (tmp_path / "results").exists()
