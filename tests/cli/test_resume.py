"""Which runs resume= leaves to other sweeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from bench.cli.resume import Finished, runs_at_work
from bench.core.files import StoreError
from bench.core.outcome import outcome_record
from bench.core.process import Process
from bench.core.store import create_run_folder, new_identity, write_record
from bench.core.sweep_folder import JobNote, PlannedJob, RunKey, SweepFolder, SweepPlan
from bench.launch.slurm import SlurmError
from tests.launch.slurm_commands import SlurmCommands, no_slurm, queued
from tests.rows import curve

HERE = Process.current()
DEAD = replace(HERE, pid=2**22 + 1)  # Linux gives no number above 2^22
ELSEWHERE = replace(HERE, host="node7")
KEYS = [RunKey(command="train", config_hash="0123456789ab", seed=n, repeat=0) for n in range(4)]


class Sweep:
    """A sweep of four jobs; the first has ended, the second runs elsewhere."""

    def __init__(self, results: Path, command: Process, name: str = "x") -> None:
        self.folder = SweepFolder(results / "sweeps" / name)
        jobs = [PlannedJob(num=n, overrides=[f"seed={n}"], keys=[KEYS[n]]) for n in range(4)]
        self.folder.write_plan(
            SweepPlan(command="train", process=command, swept=["seed"], num_runs=4, jobs=jobs)
        )
        for num, ended in ((0, True), (1, False)):
            self.folder.write_note(
                JobNote(num=num, overrides=[f"seed={num}"], process=ELSEWHERE, ended=ended)
            )

    def submit(self) -> None:
        ids = {num: f"7_{num}" for num in range(4)}
        self.folder.add_launched(ids)


@pytest.mark.parametrize(
    ("cutoff", "is_taken"),
    [
        ({}, False),
        ({"max_time_s": 5.0}, True),
        ({"max_time_s": 6.0}, False),
        ({"max_energy_j": 5.0}, False),
    ],
)
def test_a_run_that_a_search_stopped_is_taken_for_one_with_no_higher_limit(
    tmp_path: Path, cutoff: Mapping[str, float], is_taken: bool
) -> None:
    target = {"metric": "accuracy", "value": 0.9, "eval_every_samples": None}
    stored = {"target": target, "cutoff": {"max_time_s": 5.0}, "seed": 0, "repeat": 0}
    identity = new_identity("train", KEYS[0].config_hash, 0, 0)
    folder = create_run_folder(tmp_path, identity, stored)
    rows = curve([0.5, 0.6])
    write_record(
        folder, outcome_record(identity, stored, rows, status="ok", cut_off_by="max_time_s")
    )
    config = {**stored, "cutoff": cutoff, "resume": True, "results": str(tmp_path)}
    assert (Finished(print).find(KEYS[0], config) is not None) == is_taken


def test_the_jobs_of_a_command_that_is_alive_are_its_own(tmp_path: Path) -> None:
    Sweep(tmp_path, HERE)
    maker = f"process {HERE.pid} on {HERE.host}"
    assert runs_at_work(tmp_path, print) == dict.fromkeys(KEYS[1:], maker)


def test_a_sweep_whose_command_was_killed_has_ended(tmp_path: Path) -> None:
    Sweep(tmp_path, DEAD)
    assert runs_at_work(tmp_path, print) == {}


def test_jobs_in_slurm_outlive_their_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm = SlurmCommands(tmp_path / "bin", monkeypatch)
    slurm.add(
        "squeue",
        queued("7_0", "RUNNING", "0", "node1", "None"),  # its note says that it has ended
        queued("7_1", "RUNNING", "0", "node2", "None"),
        queued("7_2", "PENDING", "0", "", "Priority"),
        queued("7_3", "FAILED", "256", "node1", "NonZeroExitCode"),
    )
    sweep = Sweep(tmp_path, DEAD)
    sweep.submit()
    makers = {KEYS[1]: "SLURM job 7_1, running on node2", KEYS[2]: "SLURM job 7_2, pending"}
    assert runs_at_work(tmp_path, print) == makers
    slurm.add("squeue", error="slurm_load_jobs error: connect failure", code=1)
    with pytest.raises(SlurmError, match="connect failure"):
        runs_at_work(tmp_path, print)
    (sweep.folder.path / "sweep.csv").touch()  # its command has gathered all records
    assert runs_at_work(tmp_path, print) == {}


def test_slurm_is_asked_once_for_all_sweeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm = SlurmCommands(tmp_path / "bin", monkeypatch)
    slurm.add("squeue", queued("7_1", "RUNNING", "0", "node2", "None"))
    for name in ("x", "y", "z"):
        Sweep(tmp_path, DEAD, name).submit()
    assert runs_at_work(tmp_path, print) == {KEYS[1]: "SLURM job 7_1, running on node2"}
    assert len(slurm.calls("squeue")) == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [("", "Invalid JSON: EOF"), ('{"command": "train"}', "process: Field required")],
)
def test_a_damaged_plan_is_named_with_the_remedy(tmp_path: Path, content: str, reason: str) -> None:
    plan = Sweep(tmp_path, DEAD).folder.path / "plan.json"
    plan.write_text(content)
    with pytest.raises(StoreError, match=r"if nothing, remove its folder$") as caught:
        runs_at_work(tmp_path, print)
    assert str(caught.value).startswith(f"{plan}: {reason}")


def test_a_process_number_that_cannot_be_is_of_no_process(tmp_path: Path) -> None:
    Sweep(tmp_path, replace(HERE, pid=10**30))
    assert runs_at_work(tmp_path, print) == {}


def test_a_note_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    folder = Sweep(tmp_path, DEAD).folder.path
    for num in (2, 3):
        (folder / "jobs" / f"{num}.json").symlink_to("/nowhere")
    assert sorted(SweepFolder(folder).read_notes()) == [0, 1]


def test_without_squeue_a_note_says_that_nobody_can_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = Sweep(tmp_path, DEAD)
    sweep.submit()
    no_slurm(monkeypatch, tmp_path / "empty")
    said: list[str] = []
    assert runs_at_work(tmp_path, said.append) == {}
    assert "cannot be seen here, without squeue" in said[0]
