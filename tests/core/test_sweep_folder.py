"""The plan of a sweep grows by one line for each job that a search adds."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.core.files import StoreError
from bench.core.process import Process
from bench.core.sweep_folder import PlannedJob, RunKey, SweepFolder, SweepPlan

KEY = RunKey(command="train", config_hash="0123456789ab", seed=0, repeat=0)


def job(num: int) -> PlannedJob:
    return PlannedJob(num=num, overrides=[f"lr={num}"], keys=[KEY])


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    found = SweepFolder(tmp_path)
    here = Process.current()
    found.write_plan(SweepPlan(command="train", process=here, swept=["lr"], num_runs=0, jobs=[]))
    return found


def jobs(folder: SweepFolder) -> list[PlannedJob]:
    plan = folder.read_plan()
    assert plan is not None
    return list(plan.jobs)


def test_each_job_that_is_added_writes_its_own_line_only(folder: SweepFolder) -> None:
    before = (folder.path / "plan.json").read_bytes()
    sizes = []
    for num in range(3):
        folder.add_to_plan(job(num))
        sizes.append((folder.path / "plan.jsonl").stat().st_size)
    assert sizes == [sizes[0], 2 * sizes[0], 3 * sizes[0]]
    assert (folder.path / "plan.json").read_bytes() == before
    assert jobs(folder) == [job(0), job(1), job(2)]


def test_a_line_that_is_being_written_is_no_job_yet(folder: SweepFolder) -> None:
    folder.add_to_plan(job(0))
    with (folder.path / "plan.jsonl").open("a") as file:
        file.write('{"num":1')
    assert jobs(folder) == [job(0)]


def test_a_full_disk_names_the_remedy(folder: SweepFolder) -> None:
    (folder.path / "plan.jsonl").mkdir()
    with pytest.raises(StoreError, match="free it or give results=DIR"):
        folder.add_to_plan(job(0))


def test_ids_of_further_jobs_are_added(folder: SweepFolder) -> None:
    assert folder.read_launched() == {}
    for ids in ({0: "7_0", 1: "7_1"}, {2: "8"}):
        folder.add_launched(ids)
    assert folder.read_launched() == {0: "7_0", 1: "7_1", 2: "8"}
