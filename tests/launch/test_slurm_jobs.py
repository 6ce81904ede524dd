"""How the jobs of a sweep are followed, with a SLURM that answers by a script."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest

from bench.core.process import Process
from bench.core.sweep_folder import JobNote, LostJob, SweepFolder
from bench.launch.slurm import SlurmError, SlurmJob, SlurmStates
from bench.launch.slurm_jobs import SlurmJobs, Standing
from tests.fakes import FakeClock
from tests.launch.slurm_commands import SlurmCommands

RUNNING = SlurmJob(state="RUNNING", node="node1")
WAITING = SlurmJob(state="PENDING", reason="Priority")


class ScriptedStates(SlurmStates):
    """Answers with what a test has put in `jobs`, and counts the questions."""

    def __init__(self) -> None:
        self.jobs: dict[str, SlurmJob] = {}
        self.error: str | None = None
        self.num_asked = 0

    def ask(self, job_ids: Collection[str]) -> dict[str, SlurmJob]:
        self.num_asked += 1
        if self.error is not None:
            raise SlurmError(self.error)
        return {each: self.jobs[each] for each in job_ids}


class Trial:
    """Two jobs of a sweep, 7_0 and 7_1."""

    def __init__(self, folder: Path) -> None:
        self.sweep = SweepFolder(folder)
        self.clock = FakeClock()
        self.states = ScriptedStates()
        self.states.jobs = {"7_0": RUNNING, "7_1": WAITING}
        self.logs = folder / "logs"
        self.logs.mkdir()
        self.jobs = SlurmJobs(self.sweep, self.logs.joinpath, states=self.states, clock=self.clock)
        self.jobs.add({0: "7_0", 1: "7_1"})

    def note(self, num: int, *, ended: bool) -> None:
        process = Process(host="node1", pid=1, start_ticks=1)
        self.sweep.write_note(JobNote(num=num, overrides=["a=1"], process=process, ended=ended))

    def wait(self, seconds: int) -> Standing:
        """Let time pass, and look once a second as the launcher does."""
        for _ in range(seconds):
            self.clock.advance(1.0)
            notes = self.jobs.update()
        return self.jobs.standing(notes)

    def lost(self, seconds: int = 12) -> LostJob:
        self.wait(seconds)
        return self.jobs.lost[0]


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path)


def test_jobs_wait_run_and_end(trial: Trial) -> None:
    assert trial.wait(1) == Standing(num_jobs=2, num_done=0, num_lost=0, nodes=[], waiting={"": 2})
    assert trial.wait(2) == Standing(
        num_jobs=2, num_done=0, num_lost=0, nodes=["node1"], waiting={"Priority": 1}
    )
    trial.note(0, ended=True)
    trial.note(1, ended=False)  # it has begun, which SLURM was not asked since
    assert trial.wait(1) == Standing(
        num_jobs=2, num_done=1, num_lost=0, nodes=["node1"], waiting={}
    )
    trial.note(1, ended=True)
    trial.wait(1)
    assert trial.jobs.are_over()
    assert trial.jobs.lost == {}


def test_jobs_of_an_earlier_batch_are_not_its_own(trial: Trial) -> None:
    trial.note(5, ended=True)
    trial.note(1, ended=True)
    assert list(trial.jobs.update()) == [1]


def test_slurm_is_asked_at_most_every_ten_seconds(trial: Trial) -> None:
    trial.wait(62)  # at 2, 12, 22, 32, 42, 52 and 62 s
    assert trial.states.num_asked == 7


@pytest.mark.parametrize(
    ("job", "status", "reason"),
    [
        (
            SlurmJob(state="CANCELLED", node="node2", exit_code=0, signal=15),
            "interrupted",
            "SLURM ended its job 7_0 as CANCELLED on node2",
        ),
        (SlurmJob(state="TIMEOUT"), "interrupted", "SLURM ended its job 7_0 as TIMEOUT"),
        (SlurmJob(state="PREEMPTED"), "interrupted", "SLURM ended its job 7_0 as PREEMPTED"),
        (
            SlurmJob(state="NODE_FAIL", node="node2"),
            "killed",
            "SLURM ended its job 7_0 as NODE_FAIL on node2",
        ),
        (
            SlurmJob(state="FAILED", node="node2", exit_code=137),  # 128 + 9, as shells count
            "killed",
            "SLURM ended its job 7_0 as FAILED on node2 (SIGKILL)",
        ),
        (
            SlurmJob(state="FAILED", node="node2", exit_code=1),
            "killed",
            "SLURM ended its job 7_0 as FAILED on node2 (exit code 1): ModuleNotFoundError: bench",
        ),
        (
            SlurmJob(state="FAILED", node="node2", exit_code=0, signal=53),
            "killed",
            "SLURM ended its job 7_0 as FAILED on node2: it cannot write to {sweep}; start the "
            "command where all nodes share a folder",
        ),
        (
            SlurmJob(state="PENDING", reason="launch failed requeued held"),
            "killed",
            "SLURM could not start its job 7_0 (launch failed requeued held)",
        ),
    ],
)
def test_a_job_that_left_no_note_is_lost_with_the_reason(
    trial: Trial,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    job: SlurmJob,
    status: str,
    reason: str,
) -> None:
    commands = SlurmCommands(tmp_path / "bin", monkeypatch)
    commands.add("scancel")
    (trial.logs / "7_0").write_text(
        "submitit INFO - Starting\nTraceback:\nModuleNotFoundError: bench\n"
        "srun: error: node2: task 0: Exited with exit code 1\n"
    )
    trial.states.jobs["7_0"] = job
    lost = trial.lost()
    reason = reason.format(sweep=tmp_path)
    assert (lost.status, lost.reason, lost.state) == (status, reason, job.state)
    assert lost.node == job.node
    assert commands.calls("scancel") == ["--quiet 7"] * job.is_held
    assert not trial.jobs.are_over()  # the other one goes on


def test_a_held_job_is_not_given_up_before_it_is_cancelled(
    trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = SlurmCommands(tmp_path / "bin", monkeypatch)
    commands.add("scancel", error="scancel: error: Access denied", code=1)
    trial.states.jobs["7_0"] = SlurmJob(state="PENDING", reason="launch failed requeued held")
    trial.wait(20)
    assert trial.jobs.lost == {}


def test_without_words_of_its_own_the_log_of_slurm_is_quoted(trial: Trial) -> None:
    trial.states.jobs["7_0"] = SlurmJob(state="FAILED", exit_code=2)
    (trial.logs / "7_0").write_text("srun: error: Unable to create step\n")
    assert trial.lost().reason.endswith("(exit code 2): srun: error: Unable to create step")


def test_a_note_may_arrive_a_minute_after_its_job_was_completed(trial: Trial) -> None:
    trial.states.jobs["7_0"] = SlurmJob(state="COMPLETED", node="node1")
    trial.wait(61)  # SLURM said so at 2 s
    assert trial.jobs.lost == {}
    trial.note(0, ended=True)
    trial.wait(10)
    assert trial.jobs.lost == {}


def test_a_completed_job_without_a_note_is_lost(trial: Trial) -> None:
    trial.states.jobs["7_0"] = SlurmJob(state="COMPLETED", node="node1", exit_code=0)
    lost = trial.lost(63)
    assert lost.reason == "SLURM ended its job 7_0 as COMPLETED on node1"
    assert lost.status == "killed"


def test_a_job_that_nobody_knows_is_lost_and_names_the_node_of_its_note(trial: Trial) -> None:
    trial.states.jobs["7_0"] = SlurmJob(state="UNKNOWN")
    trial.note(0, ended=False)
    trial.wait(61)
    assert trial.jobs.lost == {}
    assert trial.lost(2).node == "node1"
    assert "does not know its job 7_0 any more, which ran on node1" in trial.jobs.lost[0].reason


def test_a_job_that_comes_back_is_not_lost(trial: Trial) -> None:
    trial.states.jobs["7_0"] = SlurmJob(state="UNKNOWN")
    trial.wait(3)
    trial.states.jobs["7_0"] = RUNNING
    trial.wait(60)
    assert trial.jobs.lost == {}


def test_an_outage_of_a_minute_is_reported_and_loses_no_job(trial: Trial) -> None:
    trial.states.error = "squeue: Unable to contact slurm controller"
    trial.wait(52)
    assert trial.jobs.outage is None
    trial.wait(10)
    assert trial.jobs.outage == "squeue: Unable to contact slurm controller"
    trial.states.error = None
    trial.wait(10)
    assert trial.jobs.outage is None
    assert trial.jobs.lost == {}


def test_jobs_that_were_not_taken_are_lost_with_the_reason(trial: Trial) -> None:
    trial.jobs.refuse(range(2, 4), "sbatch: error: no such partition")
    assert [trial.jobs.lost[num].reason for num in (2, 3)] == [
        "sbatch: error: no such partition"
    ] * 2
    assert trial.wait(3).num_jobs == 4
    standing = trial.wait(3)
    assert (standing.num_done, standing.num_lost) == (2, 2)


def test_all_jobs_are_cancelled_and_those_without_a_note_given_up(
    trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = SlurmCommands(tmp_path / "bin", monkeypatch)
    commands.add("scancel")
    trial.jobs.cancel()
    assert commands.calls("scancel") == ["--quiet 7"]
    assert not trial.jobs.have_left()
    cancelled = SlurmJob(state="CANCELLED")
    trial.states.jobs = {"7_0": cancelled, "7_1": cancelled}
    trial.note(0, ended=True)
    assert trial.jobs.have_left()
    trial.jobs.update()
    trial.jobs.give_up()
    assert trial.jobs.are_over()
    assert {num: lost.status for num, lost in trial.jobs.lost.items()} == {1: "interrupted"}
