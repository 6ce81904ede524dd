"""What is gathered of a sweep whose jobs were made, or lost, in other processes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from bench.cli.await_jobs import Waiting
from bench.cli.gather import Gathered, Gathering
from bench.cli.multirun import Multirun
from bench.cli.worker import Worker
from bench.core.ledger import Ledger
from bench.core.outcome import outcome_record
from bench.core.process import Process
from bench.core.records.run import RunRecord
from bench.core.store import CurveWriter, create_run_folder, new_identity, read_record, write_record
from bench.core.sweep_folder import (
    JobNote,
    JobRun,
    LostJob,
    PlannedJob,
    RunKey,
    SweepFolder,
    SweepPlan,
)
from bench.launch.slurm import SlurmJob, SlurmStates
from tests.cli.scripted_command import scripted
from tests.rows import curve

# No process has this number: Linux gives none above 2^22.
DEAD = replace(Process.current(), pid=2**22 + 1)
ELSEWHERE = replace(Process.current(), host="node7")
KEY = RunKey(command="train", config_hash="0123456789ab", seed=0, repeat=0)
CONFIG = {"seed": 0, "repeat": 0, "lr": 0.1, "target": {"metric": "accuracy", "value": 0.9}}


class Sweep:
    """A sweep of jobs that were launched elsewhere; time passes only while it waits."""

    def __init__(self, results: Path, num_jobs: int) -> None:
        self.results = results
        self.folder = SweepFolder(results / "sweeps" / "x")
        jobs = [PlannedJob(num=n, overrides=[f"seed={n}"], keys=[KEY]) for n in range(num_jobs)]
        plan = SweepPlan(
            command="train", process=DEAD, swept=["seed"], num_runs=num_jobs, jobs=jobs
        )
        self.multirun = Multirun(
            folder=self.folder.path, num_runs=num_jobs, plan=plan, order=[j.overrides for j in jobs]
        )
        self.worker = Worker(lambda: scripted(lambda _: []))
        self.now_s = 0.0
        self.on_sleep: Callable[[], None] = lambda: None
        self.states = SlurmStates()

    def job(self, num: int, process: Process, folders: Sequence[Path], *, ended: bool) -> None:
        """Note how far a job has come."""
        runs = [
            JobRun(folder=str(each), overrides=[f"seed={num}"], key=KEY, ended=ended)
            for each in folders
        ]
        note = JobNote(num=num, overrides=[f"seed={num}"], process=process, runs=runs, ended=ended)
        self.folder.write_note(note)

    def run(self, *, values: Sequence[float] = (0.5, 0.95), has_record: bool = False) -> Path:
        """Leave the folder of a run, as its process does."""
        identity = new_identity("train", KEY.config_hash, KEY.seed, KEY.repeat)
        folder = create_run_folder(self.results, identity, CONFIG)
        writer = CurveWriter(folder)
        for row in curve(list(values)):
            writer.append(row)
        writer.close()
        if has_record:
            write_record(folder, outcome_record(identity, CONFIG, curve([0.95]), status="ok"))
        return folder

    def gather(self, *, interrupted: bool = False) -> Gathered:
        def sleep(seconds: float) -> None:
            self.now_s += seconds
            self.on_sleep()

        waiting = Waiting(states=self.states, clock=lambda: self.now_s, sleep=sleep)
        return Gathering(self.worker, self.multirun, waiting).gather(interrupted=interrupted)


def test_the_runs_of_other_processes_are_read_and_noted_in_the_ledger(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, 2)
    folders = [sweep.run(has_record=True) for _ in range(2)]
    for num, folder in enumerate(folders):
        sweep.job(num, ELSEWHERE, [folder], ended=True)
    gathered = sweep.gather()
    assert [(run.folder, run.record.status) for run in gathered.runs] == [
        (folder, "ok") for folder in folders
    ]
    events = [(line["event"], line["run_id"]) for line in Ledger(tmp_path).events]
    assert events == [(e, f.name) for f in folders for e in ("launched", "ended")]
    assert (gathered.failed, gathered.refused, gathered.errors) == (False, False, [])
    assert sweep.now_s == 0


def test_a_job_that_made_another_run_than_was_planned_is_reported(tmp_path: Path) -> None:
    """For example because somebody has edited a file of conf/ while it waited in the queue."""
    sweep = Sweep(tmp_path, 2)
    for num, key in enumerate((KEY, replace(KEY, config_hash="f" * 12))):
        run = JobRun(folder=str(sweep.run(has_record=True)), overrides=[], key=key, ended=True)
        sweep.folder.write_note(
            JobNote(num=num, overrides=[f"seed={num}"], process=DEAD, runs=[run], ended=True)
        )
    gathered = sweep.gather()
    assert len(gathered.runs) == 2
    assert gathered.failed
    (error,) = gathered.errors
    assert error.startswith(f"job 2, seed=1 ({DEAD.host}): its configuration is not the one that")


def test_a_run_whose_worker_was_killed_gets_a_record_from_its_curve(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, 1)
    folder = sweep.run(values=[0.5, 0.7])
    sweep.job(0, DEAD, [folder], ended=False)
    (run,) = sweep.gather().runs
    assert run.record == read_record(folder)
    assert run.record.status == "killed"
    assert run.record.error is not None
    assert f"process {DEAD.pid} on {DEAD.host}" in run.record.error.message
    assert run.record.host["name"] == DEAD.host
    assert run.record.target is not None
    assert run.record.target.best_value == 0.7
    # What scripted_command.with_log wants to recover is not there.
    assert "log" not in run.record.host
    assert (folder / "run.json").exists()


def test_a_lost_run_gets_what_its_command_recovers_from_its_folder(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, 1)
    folder = sweep.run()

    def recover(found: Path, record: RunRecord) -> RunRecord:
        assert (found, record.run_id) == (folder, folder.name)
        return replace(record, phases=replace(record.phases, serve_s=4.0))

    def complete(record: RunRecord) -> RunRecord:
        return replace(record, energy_total_j=2.0 * (record.phases.serve_s or 0.0))

    sweep.worker.command = replace(sweep.worker.command, recover=recover, complete=complete)
    sweep.job(0, DEAD, [folder], ended=False)
    (run,) = sweep.gather().runs
    assert run.record == read_record(folder)
    assert (run.record.phases.serve_s, run.record.energy_total_j) == (4.0, 8.0)


@pytest.mark.parametrize("status", ["killed", "interrupted"])
def test_what_a_batch_system_says_of_a_lost_job_is_in_its_record(
    tmp_path: Path, status: Literal["killed", "interrupted"]
) -> None:
    sweep = Sweep(tmp_path, 1)
    folder = sweep.run()
    sweep.job(0, ELSEWHERE, [folder], ended=False)
    sweep.worker.lost[0] = LostJob(
        num=0, state="TIMEOUT", node="node7", reason="SLURM ended its job as TIMEOUT", status=status
    )
    (run,) = sweep.gather().runs
    assert run.record.status == status
    assert run.record.error is not None
    assert run.record.error.message == "SLURM ended its job as TIMEOUT"


def test_a_record_that_was_written_before_the_worker_was_lost_stays(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, 1)
    sweep.job(0, DEAD, [sweep.run(has_record=True)], ended=False)
    (run,) = sweep.gather().runs
    assert run.record.status == "ok"


def test_a_job_that_never_began_is_named_with_the_reason(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, 3)
    sweep.job(0, ELSEWHERE, [sweep.run(has_record=True)], ended=True)
    for num in (1, 2):
        sweep.worker.lost[num] = LostJob(
            num=num, state="REFUSED", node=None, reason="no such partition", status="killed"
        )
    gathered = sweep.gather()
    assert gathered.errors == ["seed=1 and 1 more: never started: no such partition"]
    assert (gathered.failed, gathered.num_missing, len(gathered.runs)) == (True, 2, 1)


def test_after_a_signal_jobs_that_never_began_are_only_counted(tmp_path: Path) -> None:
    gathered = Sweep(tmp_path, 2).gather(interrupted=True)
    assert (gathered.errors, gathered.failed, gathered.num_missing) == ([], False, 2)


def test_a_job_that_is_still_made_here_is_waited_for_after_the_launcher_has_failed(
    tmp_path: Path,
) -> None:
    sweep = Sweep(tmp_path, 1)
    sweep.multirun.error = "TerminatedWorkerError"
    folder = sweep.run()
    sweep.job(0, Process.current(), [folder], ended=False)

    def end_after_an_hour() -> None:
        if sweep.now_s > 3600 and not (folder / "run.json").exists():
            identity = new_identity("train", KEY.config_hash, 0, 0)
            identity = replace(identity, run_id=folder.name)
            write_record(folder, outcome_record(identity, CONFIG, curve([0.95]), status="ok"))
            sweep.job(0, Process.current(), [folder], ended=True)

    sweep.on_sleep = end_after_an_hour
    (run,) = sweep.gather().runs
    assert run.record.status == "ok"
    assert sweep.now_s > 3600


def test_a_job_of_another_host_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, 2)
    sweep.multirun.error = "the launcher has failed"
    sweep.job(0, ELSEWHERE, [sweep.run()], ended=False)
    gathered = sweep.gather()
    assert [run.record.status for run in gathered.runs] == ["killed"]
    assert gathered.errors == ["seed=1: never started: the launcher has failed"]
    assert 10 < sweep.now_s < 120


def test_errors_of_other_processes_name_the_job_and_its_host(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, 1)
    note = JobNote(
        num=0,
        overrides=["seed=0"],
        process=ELSEWHERE,
        errors=["meter=rapl: no powercap here"],
        ended=True,
    )
    sweep.folder.write_note(note)
    gathered = sweep.gather()
    assert gathered.errors == ["job 1, seed=0 (node7): meter=rapl: no powercap here"]
    assert (gathered.refused, gathered.failed) == (True, False)


@pytest.mark.parametrize(("num_jobs", "num_lines"), [(10, 10), (11, 1)])
def test_very_many_jobs_with_the_same_error_share_a_line(
    tmp_path: Path, num_jobs: int, num_lines: int
) -> None:
    sweep = Sweep(tmp_path, num_jobs)
    for num in range(num_jobs):
        note = JobNote(
            num=num,
            overrides=[f"seed={num}"],
            process=ELSEWHERE,
            errors=["meter=rapl: no powercap here"],
            ended=True,
        )
        sweep.folder.write_note(note)
    gathered = sweep.gather()
    assert len(gathered.errors) == num_lines
    more = " and 10 more" if num_lines == 1 else ""
    assert gathered.errors[0] == f"job 1, seed=0 (node7){more}: meter=rapl: no powercap here"


def test_runs_that_were_found_finished_keep_their_place_in_the_table(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, 1)
    found, made = sweep.run(has_record=True), sweep.run(has_record=True)
    run = JobRun(folder=str(found), overrides=["seed=7"], key=KEY, found=True, ended=True)
    sweep.multirun.found = [
        JobNote(num=-1, overrides=["seed=7"], process=ELSEWHERE, runs=[run], ended=True)
    ]
    sweep.multirun.order = [["seed=0"], ["seed=7"]]
    sweep.job(0, ELSEWHERE, [made], ended=True)
    gathered = sweep.gather()
    assert [run.folder for run in gathered.runs] == [made, found]
    assert gathered.num_found == 1
    assert len(Ledger(tmp_path).events) == 2  # a run that was found has its lines already


def test_a_job_that_slurm_still_has_is_waited_for_after_the_launcher_has_failed(
    tmp_path: Path,
) -> None:
    """As with Hydra's own launcher for SLURM, which gives up all jobs with the first lost one."""
    sweep = Sweep(tmp_path, 1)
    sweep.multirun.error = "UncompletedJobError"
    folder = sweep.run()
    note = JobNote(
        num=0,
        overrides=["seed=0"],
        process=ELSEWHERE,
        scheduler={"kind": "slurm", "job_id": "12_3"},
        runs=[JobRun(folder=str(folder), overrides=["seed=0"], key=KEY)],
    )
    sweep.folder.write_note(note)
    sweep.states = _Slurm(lambda: sweep.now_s < 3600)
    (run,) = sweep.gather().runs
    assert run.record.status == "killed"
    assert 3600 < sweep.now_s < 3700


class _Slurm(SlurmStates):
    """Has the job 12_3 as long as it is told."""

    def __init__(self, has: Callable[[], bool]) -> None:
        self._has = has

    def ask(self, job_ids: Collection[str]) -> dict[str, SlurmJob]:
        assert list(job_ids) == ["12_3"]
        return {"12_3": SlurmJob(state="RUNNING" if self._has() else "NODE_FAIL")}


def test_a_record_that_its_node_could_not_share_is_not_written_a_second_time(
    tmp_path: Path,
) -> None:
    sweep = Sweep(tmp_path, 1)
    folder = sweep.run()
    sweep.job(0, ELSEWHERE, [folder], ended=True)
    gathered = sweep.gather()
    assert gathered.errors == [f"{folder}: its record is on node7 and not here"]
    assert (gathered.failed, [run.record.status for run in gathered.runs]) == (True, ["failed"])
    assert not (folder / "run.json").exists()


def test_a_record_may_show_up_late(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, 1)
    folder = sweep.run()
    sweep.job(0, ELSEWHERE, [folder], ended=True)

    def show() -> None:
        identity = replace(new_identity("train", KEY.config_hash, 0, 0), run_id=folder.name)
        write_record(folder, outcome_record(identity, CONFIG, curve([0.95]), status="ok"))

    sweep.on_sleep = show
    assert [run.record.status for run in sweep.gather().runs] == ["ok"]


def test_a_finished_run_whose_record_went_to_the_temporary_folder_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    sweep = Sweep(tmp_path / "results", 0)
    folder = sweep.run()
    identity = replace(new_identity("train", KEY.config_hash, 0, 0), run_id=folder.name)
    record = outcome_record(identity, CONFIG, curve([0.95]), status="ok")
    write_record(folder, record).rename(tmp_path / f"{folder.name}.run.json")
    run = JobRun(folder=str(folder), overrides=["seed=0"], key=KEY, found=True, ended=True)
    sweep.multirun.found = [
        JobNote(num=-1, overrides=["seed=0"], process=ELSEWHERE, runs=[run], ended=True)
    ]
    assert [run.record.status for run in sweep.gather().runs] == ["ok"]
    assert sweep.now_s == 0
