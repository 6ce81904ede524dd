"""A sweep on two nodes: the same table, records and exit code as on one machine, and resume."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.core.ledger import Ledger
from tests.cli.command import Answer, records
from tests.cluster.slurm import Slurm
from tests.cluster.sweeps import EASY, ON_SLURM, QUICK, hosts

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]

GRID = ("batch_size=256,512", "lr=0.01,0.1")


@pytest.fixture(scope="module")
def sweep(cluster: Slurm, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answer]:
    """Four runs, measured on two nodes."""
    folder = tmp_path_factory.mktemp("sweep")
    return folder, cluster.run(folder, "-m", ON_SLURM, *QUICK, EASY, *GRID)


def logs(folder: Path, pattern: str) -> list[str]:
    return [path.read_text() for path in folder.glob(f"results/sweeps/*/.submitit/*/{pattern}")]


def test_each_node_measures_half_of_the_runs(sweep: tuple[Path, Answer]) -> None:
    folder, answer = sweep
    assert answer.code == 0, answer.err
    assert hosts(folder) == ["node1", "node1", "node2", "node2"]
    assert all(record.status == "ok" for record in records(folder))
    # Each node has a lock of its own: nobody waited for a run on the other one.
    assert not any("waiting" in text for text in logs(folder, "*.err"))


def test_one_table_names_the_nodes(sweep: tuple[Path, Answer]) -> None:
    _, answer = sweep
    rows = [line for line in answer.out.splitlines() if line.startswith("batch_size=")]
    assert sorted(cell for row in rows for cell in row.split() if cell.startswith("node")) == [
        *("node1", "node1", "node2", "node2")
    ]
    assert "force=[host.name]" in answer.out  # times of different nodes are not comparable


def test_progress_is_reported_while_jobs_run(sweep: tuple[Path, Answer]) -> None:
    _, answer = sweep
    assert "0 of 4 done, " in answer.err
    assert "run 4 of 4, batch_size=" in answer.err


def test_a_job_has_a_node_to_itself_and_is_not_repeated(sweep: tuple[Path, Answer]) -> None:
    folder, _ = sweep
    (script,) = logs(folder, "*.sh")
    options = {line.removeprefix("#SBATCH ") for line in script.splitlines()}
    assert {"--exclusive", "--no-requeue", "--nodes=1", "--ntasks-per-node=1"} <= options
    for record in records(folder):
        scheduler = record.host["scheduler"]
        assert scheduler["kind"] == "slurm"
        assert scheduler["exclusive"] is True
        assert scheduler["node"] == record.host["name"]
        assert scheduler["restarts"] == 0


def test_only_the_command_writes_the_ledger(sweep: tuple[Path, Answer]) -> None:
    folder, _ = sweep
    events = [line["event"] for line in Ledger(folder / "results").events]
    assert sorted(events) == ["ended"] * 4 + ["launched"] * 4


def test_resume_makes_no_run_again(slurm: Slurm, sweep: tuple[Path, Answer]) -> None:
    folder, _ = sweep
    answer = slurm.run(folder, "-m", ON_SLURM, *QUICK, EASY, *GRID, "resume=true")
    assert answer.code == 0, answer.err
    assert "4 of 4 runs were finished before" in answer.err
    assert len(records(folder)) == 4


def test_resume_needs_neither_the_ledger_nor_slurm(
    slurm: Slurm, sweep: tuple[Path, Answer]
) -> None:
    folder, _ = sweep
    (folder / "results" / "ledger.jsonl").unlink()
    answer = slurm.run(folder, "-m", *QUICK, EASY, *GRID, "resume=true")
    assert answer.code == 0, answer.err
    assert "4 of 4 runs were finished before" in answer.err
    assert len(records(folder)) == 4
