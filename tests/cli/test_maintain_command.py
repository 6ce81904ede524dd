"""The real command bench.maintain: a sweep of policies, its failures, and what it leaves behind."""

from __future__ import annotations

import csv
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import psutil
import pytest
import yaml

import bench.maintain
from bench import opbench
from bench.core.labels import EnergyLabel
from bench.core.maintenance_files import read_events, read_windows
from bench.core.objective import objective_of
from bench.core.records.run import RunRecord
from tests.cli import unconnected
from tests.cli.command import Answer, records, run_here
from tests.fork_server import start_process

pytestmark = pytest.mark.xdist_group("jobs")  # one worker, so that one server forks them

# The smoke experiment on five windows, which any model can hold; a training takes some 0.1 s.
QUICK = (
    *("experiment=maintain_smoke", "accuracy_to_hold=0.4"),
    *("stream.num_windows=5", "stream.window=100", "stream.initial_samples=150"),
    *("stream.source.num_samples=4000", "model.width=8", "model.depth=1", "budget.max_epochs=4"),
)
OBJECTIVE = "maintenance.energy_per_1000_on_target_j"


def maintain(folder: Path, *arguments: str) -> Answer:
    return run_here(folder, bench.maintain.main, *arguments)


def own_policy(*names: str) -> tuple[str, ...]:
    """Policies that do something unforeseen at the end of the third window."""
    targets = ",".join(f"tests.drift.own_parts.{name}" for name in names)
    return (*QUICK, "policy=custom", f"policy._target_={targets}", "+policy.windows=2")


def run_folders(folder: Path) -> list[Path]:
    return [folder / "results" / "maintain" / each.run_id for each in records(folder, "maintain")]


def require_two_windows(folder: Path, record: RunRecord) -> None:
    """Whatever ended a run in its third window, the first two are in its folder and its record."""
    rows, events = read_windows(folder), read_events(folder)
    assert [row.window for row in rows] == [0, 1]
    assert sorted(event.kind for event in events) == ["change", "initial"]
    summary = record.maintenance
    assert summary is not None
    assert summary.num_windows == 2
    assert summary.num_predictions == 200
    assert summary.num_errors == sum(row.errors for row in rows)
    assert summary.upkeep_j is not None
    assert summary.upkeep_j > 0


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answer]:
    """Two policies on one stream."""
    folder = tmp_path_factory.mktemp("sweep")
    return folder, maintain(folder, "-m", *QUICK, "policy=never,every")


class TestSweep:
    def test_ends_with_a_table_of_both_policies(self, sweep: tuple[Path, Answer]) -> None:
        _, answer = sweep
        assert answer.code == 0, answer.out + answer.err
        for words in ("policy=never", "policy=every", "on target", "retrainings", "Regret"):
            assert words in answer.out
        assert any(f"({label}" in answer.out for label in get_args(EnergyLabel))
        assert answer.out.splitlines()[-1] == "results: results/maintain"
        # Where there is no terminal: that the sweep is being checked, and a line for each run.
        assert answer.err.startswith("checking 2 jobs\n")
        first, second = answer.lines()
        assert first.startswith("run 1 of 2, policy=never: ")
        assert second.startswith("run 2 of 2, policy=every: ")

    def test_writes_a_table_of_all_runs(self, sweep: tuple[Path, Answer]) -> None:
        (path,) = sweep[0].glob("results/sweeps/*/sweep.csv")
        rows = list(csv.DictReader(path.read_text().splitlines()))
        assert [row["maintenance.policy"] for row in rows] == ["never", "every"]
        assert [row["maintenance.num_retrains"] for row in rows] == ["0", "1"]
        assert {row["status"] for row in rows} == {"ok"}

    def test_a_run_folder_has_its_files_and_no_others(self, sweep: tuple[Path, Answer]) -> None:
        never, every = run_folders(sweep[0])
        names = {"run.json", "config.yaml", "log.txt", "telemetry.parquet", "retrains"}
        names |= {"readings.parquet"}
        for folder in (never, every):
            files = {path.name for path in folder.iterdir()}
            assert files == names | {"windows.jsonl", "events.jsonl"}
            assert len(read_windows(folder)) == 5
        assert yaml.safe_load((every / "config.yaml").read_text())["policy"]["windows"] == 4
        assert [path.name for path in (never / "retrains").iterdir()] == ["0"]
        assert sorted(path.name for path in (every / "retrains").iterdir()) == ["0", "1"]

    def test_upkeep_has_joules_and_a_sweeper_gets_them(self, sweep: tuple[Path, Answer]) -> None:
        never, every = records(sweep[0], "maintain")
        for record in (never, every):
            assert record.config["objective"] == OBJECTIVE
            assert record.energy_label is not None
            assert 0 < objective_of(OBJECTIVE, [record]) < math.inf
        assert never.maintenance is not None
        assert every.maintenance is not None
        # The stream is the same until the retraining, at the end of the fourth window.
        assert never.maintenance.num_predictions == every.maintenance.num_predictions == 500
        assert every.phase_energy is not None
        assert (every.phase_energy.retrain_j or 0.0) > 0.0

    def test_resume_finds_finished_runs_and_makes_the_others(
        self, sweep: tuple[Path, Answer]
    ) -> None:
        folder, _ = sweep
        before = {record.run_id for record in records(folder, "maintain")}
        answer = maintain(folder, "-m", *QUICK, "policy=never,every,estimated", "resume=true")
        assert answer.code == 0, answer.err
        assert "2 of 3 runs were finished before" in answer.err
        after = {record.run_id for record in records(folder, "maintain")}
        assert len(after - before) == 1
        assert before < after
        assert "policy=estimated" in answer.out


def test_a_run_that_breaks_keeps_its_windows_and_the_sweep_goes_on(tmp_path: Path) -> None:
    """`kill -9` of a job: the command writes the record."""
    answer = maintain(tmp_path, "-m", *own_policy("KillsItself", "Raises"))
    assert answer.code == 5, answer.err
    killed, failed = records(tmp_path, "maintain")
    assert [killed.status, failed.status] == ["killed", "failed"]
    assert failed.error is not None
    assert failed.error.message == "a bug in the policy"
    for folder, record in zip(run_folders(tmp_path), (killed, failed), strict=True):
        require_two_windows(folder, record)
        assert objective_of(OBJECTIVE, [record]) == math.inf
    assert "Traceback" not in answer.err


def wait_for_windows(folder: Path, num_runs: int = 1) -> None:
    """Wait until the last of `num_runs` runs has written two windows, but not for ever."""
    deadline_s = time.monotonic() + 120
    while time.monotonic() < deadline_s:
        paths = sorted(folder.glob("results/maintain/*/windows.jsonl"))
        if len(paths) == num_runs and len(paths[-1].read_bytes().splitlines()) == 2:
            return
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_what_was_measured_and_stops_the_sweep(
    tmp_path: Path, number: signal.Signals
) -> None:
    def press() -> None:
        wait_for_windows(tmp_path)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=press)
    thread.start()
    answer = maintain(tmp_path, "-m", *own_policy("Waits"), "seed=0,1")
    thread.join()
    assert answer.code == 130, answer.err
    (record,) = records(tmp_path, "maintain")  # the second run was not started
    assert record.status == "interrupted"
    assert record.energy_total_j is not None
    (folder,) = run_folders(tmp_path)
    require_two_windows(folder, record)
    assert "1 of 2 runs were not started; the same command with resume=true" in answer.err


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep without a network, killed with its job in its second run.

    It has a network of its own, without even a loopback, where that is permitted.
    """
    folder = tmp_path_factory.mktemp("killed")
    arguments = [*own_policy("Waits")[:-1], "+policy.windows=9,2"]  # there is no tenth window
    process = start_process(unconnected.maintain, folder, "-m", *arguments)
    wait_for_windows(folder, num_runs=2)
    command = psutil.Process(process.pid)
    jobs = command.children(recursive=True)
    command.suspend()  # otherwise it would write the record of the killed job
    for job in jobs:
        job.kill()
    command.kill()
    process.join()
    return folder


def may_be_unconnected() -> bool:
    """Whether a process may have a network of its own."""
    asked = ["unshare", "--net", "true"]
    has_program = shutil.which("unshare") is not None
    return has_program and subprocess.run(asked, stderr=subprocess.DEVNULL).returncode == 0


def test_a_run_needs_no_network(killed: Path) -> None:
    if not may_be_unconnected():
        pytest.skip("needs the right to make a network namespace (unshare --net)")
    first = records(killed, "maintain")[0]
    assert first.status == "ok", first.error
    assert first.maintenance is not None
    assert first.maintenance.num_windows == 5


def test_a_run_that_is_killed_with_its_command_reads_as_interrupted(killed: Path) -> None:
    """As if the machine had lost its power: nobody is left to write the record."""
    _, folder = run_folders(killed)
    assert not (folder / "run.json").exists()
    second = records(killed, "maintain")[1]
    assert second.status == "interrupted"
    require_two_windows(folder, second)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("polcy=never",), "polcy: no such key; did you mean policy?"),
        (("policy=evry",), "did you mean every?"),
        (("policy.windows=3",), "policy.windows: no such key of policy=never; policy=every has it"),
        (("-m", "retrain.cooldown=0,-1"), "retrain.cooldown=-1: must be at least 0"),
        (
            ("-m", "policy=never,drift", "detector=none"),
            "policy=drift: acts on the alarms of a detector, and detector=none raises none; ",
        ),
        (("stream.num_windows=1000",), "and the source has 100000; choose at most 246"),
        (("results=/proc/nowhere",), "results=/proc/nowhere: cannot write there"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    answer = maintain(tmp_path, *arguments)
    assert answer.code == 2, (answer.out, answer.err)
    (line,) = answer.lines()
    assert line.startswith("error: ")
    assert words in line
    assert not (tmp_path / "results" / "maintain").exists()


def as_module() -> int:
    return bench.maintain.main()


def as_opbench() -> int:
    sys.argv.insert(1, "maintain")
    return opbench.main()


@pytest.mark.parametrize("command", [as_module, as_opbench])
def test_help_lists_the_policies(tmp_path: Path, command: Callable[[], int]) -> None:
    answer = run_here(tmp_path, command, "--help")
    assert answer.code == 0
    for words in ("policy", "oracle", "detector", "error_price_usd"):
        assert words in answer.out


def test_the_configuration_can_be_printed(tmp_path: Path) -> None:
    answer = maintain(tmp_path, *QUICK, "policy=every", "--cfg", "job")
    assert answer.code == 0
    assert yaml.safe_load(answer.out)["stream"]["num_windows"] == 5
    assert not (tmp_path / "results").exists()
