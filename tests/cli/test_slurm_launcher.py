"""What the launcher asks SLURM for and does with the answers, with stand-ins for its commands."""

from __future__ import annotations

import io
import math
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf
from rich.console import Console

from bench.cli.app import register
from bench.cli.cluster_progress import JobsLine, RunLines, standing_text
from bench.cli.multirun import Multirun
from bench.cli.terminal import RunCounter
from bench.cli.worker import Worker
from bench.core.files import config_dir
from bench.core.outcome import outcome_record
from bench.core.process import Process
from bench.core.store import create_run_folder, new_identity, read_record, write_record
from bench.core.sweep_folder import JobNote, JobRun, RunKey, SweepFolder
from bench.launch.slurm_jobs import Standing
from bench.launch.stopping import Stopped
from hydra_plugins.slurm_launcher import SlurmLauncher
from tests.cli.scripted_command import scripted, status
from tests.fakes import FakeClock
from tests.launch.slurm_commands import SlurmCommands, no_slurm, queued
from tests.rows import curve

ELSEWHERE = Process(host="node1", pid=1, start_ticks=1)
KEY = RunKey(command="train", config_hash="0123456789ab", seed=0, repeat=0)


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SlurmCommands:
    """A SLURM that takes every job; its array is number 7."""
    pytest.importorskip("submitit")
    monkeypatch.setattr("hydra_plugins.slurm_launcher.LOOK_EVERY_S", 0.0)
    monkeypatch.setattr("hydra_plugins.slurm_launcher._FAREWELL_EVERY_S", 0.0)
    commands = SlurmCommands(tmp_path / "bin", monkeypatch)
    commands.add("sbatch", "Submitted batch job 7")
    for name in ("srun", "squeue", "scancel"):
        commands.add(name)
    commands.add("scontrol", "MaxArraySize = 1001")
    return commands


class Launch:
    """A sweep whose jobs go to SLURM."""

    def __init__(self, folder: Path, **keys: Any) -> None:
        self.sweep = SweepFolder(folder)
        self.worker = Worker(lambda: scripted(lambda _: []))
        self.printed = io.StringIO()
        self.worker.console = Console(file=self.printed, width=200)
        register()
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            config = compose(
                "train",
                overrides=["hydra/launcher=slurm", f"hydra.sweep.dir={folder}"],
                return_hydra_config=True,
            )
        usual = OmegaConf.to_container(config.hydra.launcher, resolve=False)
        assert isinstance(usual, dict)
        usual.pop("_target_")
        self.launcher = SlurmLauncher(**{**usual, "name": "bench-train", **keys})
        self.launcher.setup(
            hydra_context=SimpleNamespace(),  # type: ignore[arg-type]  # only pickled here
            task_function=self.worker.run_job,
            config=config,
        )

    def end(self, *nums: int) -> None:
        """Note that jobs have ended."""
        for num in nums:
            note = JobNote(num=num, overrides=[f"seed={num}"], process=ELSEWHERE, ended=True)
            self.sweep.write_note(note)

    def launch(self, num_jobs: int, first: int = 0) -> Sequence[JobReturn]:
        return self.launcher.launch([[f"seed={n}"] for n in range(num_jobs)], first)

    def scripts(self) -> list[str]:
        """What was given to sbatch, in order."""
        return [path.read_text() for path in sorted(self.sweep.path.glob(".submitit/*/*.sh"))]


@pytest.fixture
def make(tmp_path: Path, slurm: SlurmCommands) -> Callable[..., Launch]:
    return lambda **keys: Launch(tmp_path / "sweep", **keys)


def options(script: str) -> dict[str, str]:
    """The options of sbatch in a script."""
    lines = [line for line in script.splitlines() if line.startswith("#SBATCH --")]
    return {
        name: value
        for name, _, value in (line.removeprefix("#SBATCH --").partition("=") for line in lines)
    }


def test_each_job_gets_a_node_of_its_own(make: Callable[..., Launch]) -> None:
    launch = make(partition="gpu", nodelist="node2", mem_gb=1.5, setup=["module load cuda"])
    launch.end(0, 1)
    returned = launch.launch(2)
    assert [each.status for each in returned] == [JobStatus.COMPLETED] * 2
    (script,) = launch.scripts()
    asked = options(script)
    alone = {"exclusive": "", "no-requeue": "", "nodes": "1", "ntasks-per-node": "1"}
    chosen = {"partition": "gpu", "nodelist": "node2", "mem": "1536M", "array": "0-1%2"}
    usual = {"time": "60", "signal": "USR2@30", "job-name": "bench-train"}
    assert asked.items() >= {**alone, **chosen, **usual}.items()
    assert "\nmodule load cuda\n" in script
    assert launch.sweep.read_launched() == {0: "7_0", 1: "7_1"}
    assert launch.worker.lost == {}


def test_a_sweeper_that_searches_gets_the_objective_of_each_job(
    make: Callable[..., Launch], tmp_path: Path
) -> None:
    identity = new_identity("train", KEY.config_hash, 0, 0)
    config = {"seed": 0, "repeat": 0, "target": {"metric": "accuracy", "value": 0.9}}
    folder = create_run_folder(tmp_path, identity, config)
    write_record(folder, outcome_record(identity, config, curve([0.5, 0.95]), status="ok"))
    launch = make()
    run = JobRun(folder=str(folder), overrides=["seed=0"], key=KEY, ended=True)
    note = JobNote(num=0, overrides=["seed=0"], process=ELSEWHERE, runs=[run], ended=True)
    launch.sweep.write_note(note)
    launch.sweep.write_note(replace(note, num=1, runs=[replace(run, folder=str(tmp_path))]))
    launch.sweep.write_note(replace(note, num=2, errors=["refused"]))
    record = read_record(folder)
    assert record.target is not None
    values = [job.return_value for job in launch.launch(3)]
    assert values == [record.target.time_to_target_s, math.inf, math.inf]


@pytest.mark.parametrize(
    "override",
    [
        "hydra.launcher.additional_parameters={nodelist: node2}",
        "+hydra.launcher.additional_parameters.nodelist=node2",
    ],
)
def test_options_of_sbatch_can_be_added(override: str) -> None:
    register()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        config = compose(
            "train", overrides=["hydra/launcher=slurm", override], return_hydra_config=True
        )
    assert config.hydra.launcher.additional_parameters == {"nodelist": "node2"}


def test_the_user_may_share_the_node(make: Callable[..., Launch]) -> None:
    launch = make(additional_parameters={"exclusive": False, "reservation": "morning"})
    launch.end(0)
    launch.launch(1)
    asked = options(launch.scripts()[0])
    assert "exclusive" not in asked
    assert asked.items() >= {"no-requeue": "", "reservation": "morning"}.items()


def test_a_job_may_submit_jobs_that_do_not_inherit_its_limits(
    make: Callable[..., Launch], slurm: SlurmCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    (slurm.folder / "sbatch").write_text(
        f"#!/bin/sh\nenv > {slurm.folder}/environment\necho Submitted batch job 7\n"
    )
    own = {"SLURM_JOB_ID": "5", "SLURM_MEM_PER_NODE": "500"}
    kept = {"SLURM_CONF": "/etc/slurm.conf", "SBATCH_ACCOUNT": "me"}
    for name, value in (own | kept).items():
        monkeypatch.setenv(name, value)
    launch = make()
    launch.end(0)
    launch.launch(1)
    given = (slurm.folder / "environment").read_text().splitlines()
    assert {f"{name}={value}" for name, value in kept.items()} <= set(given)
    assert not [line for line in given if line.startswith(tuple(own))]
    assert {name: os.environ[name] for name in own} == own


def test_many_jobs_are_submitted_in_arrays(
    make: Callable[..., Launch], slurm: SlurmCommands
) -> None:
    slurm.add("scontrol", "MaxArraySize = 2")
    (slurm.folder / "sbatch").write_text(
        f"#!/bin/sh\nn=$(cat {slurm.folder}/n 2>/dev/null || echo 7)\n"
        f'echo $((n + 1)) > {slurm.folder}/n\necho "Submitted batch job $n"\n'
    )
    launch = make(array_parallelism=6)
    launch.end(*range(10, 15))
    launch.launch(5, first=10)
    assert launch.sweep.read_launched() == {10: "7_0", 11: "7_1", 12: "8_0", 13: "8_1", 14: "9"}
    # 6 jobs at a time: 2 of each of the three arrays
    assert [options(each).get("array") for each in launch.scripts()] == ["0-1%2", "0-1%2", None]


def test_what_slurm_refuses_is_told_once_and_the_rest_is_waited_for(
    make: Callable[..., Launch], slurm: SlurmCommands, capsys: pytest.CaptureFixture[str]
) -> None:
    slurm.add("scontrol", "MaxArraySize = 2")
    (slurm.folder / "sbatch").write_text(
        f"#!/bin/sh\nif mkdir {slurm.folder}/once; then echo Submitted batch job 7; exit; fi\n"
        "echo sbatch: error: invalid partition specified: nope >&2\n"
        "echo sbatch: error: Batch job submission failed: Invalid partition name >&2\nexit 1\n"
    )
    launch = make()
    launch.end(0, 1)
    launch.launch(5)
    reason = "sbatch: error: Batch job submission failed: Invalid partition name"
    assert {num: lost.reason for num, lost in launch.worker.lost.items()} == dict.fromkeys(
        (2, 3, 4), reason
    )
    assert reason not in launch.printed.getvalue() + capsys.readouterr().err  # gathering prints it


def test_ctrl_c_cancels_the_jobs_and_waits_until_they_have_left(
    make: Callable[..., Launch], slurm: SlurmCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = make()
    slurm.add("squeue", *(queued(f"7_{n}", "RUNNING", "0", "node1", "None") for n in range(2)))
    ended = queued("7_0", "CANCELLED", "15", "node1", "None")
    never = queued("7_1", "CANCELLED", "0", "", "None")
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 1:
            raise Stopped(signal.SIGINT)
        if len(slept) == 3:  # it took the run a moment to write its record
            launch.end(0)
            slurm.add("squeue", ended, never)

    monkeypatch.setattr("hydra_plugins.slurm_launcher.sleep", sleep)
    with pytest.raises(Stopped):
        launch.launch(2)
    assert slurm.calls("scancel") == ["--quiet 7"]
    assert len(slept) == 3
    (lost,) = launch.worker.lost.values()
    assert (lost.num, lost.status, lost.node) == (1, "interrupted", None)
    assert "cancelling SLURM job 7" in launch.printed.getvalue()


def test_a_signal_before_the_first_submission_cancels_nothing(
    make: Callable[..., Launch], slurm: SlurmCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> int:
        raise Stopped(signal.SIGINT)

    monkeypatch.setattr("hydra_plugins.slurm_launcher.max_array_size", interrupt)
    launch = make()
    with pytest.raises(Stopped):
        launch.launch(2)
    assert slurm.calls("scancel") == slurm.calls("squeue") == []
    assert launch.printed.getvalue() == ""
    assert launch.worker.lost == {}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"timeout_min": 0}, r"^hydra\.launcher\.timeout_min=0: must be at least 1"),
        ({"foo": 1}, r"^hydra\.launcher\.foo: no such key"),
        ({"array_parallelism": 0}, r"^hydra\.launcher\.array_parallelism=0: must be at least 1"),
        ({"additional_parameters": 3}, r"^hydra\.launcher\.additional_parameters=3: must be"),
        ({"additional_parameters": {"nodes": 2}}, r"\.nodes: the launcher sets this option itself"),
        ({"additional_parameters": {"ntasks_per_node": 2}}, r"\.ntasks_per_node: the launcher"),
    ],
)
def test_wrong_keys_are_refused(
    make: Callable[..., Launch], keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make(**keys).launcher.require()


def test_missing_commands_and_libraries_are_refused(
    make: Callable[..., Launch], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = make()
    launch.launcher.require()
    no_slurm(monkeypatch, tmp_path / "empty")
    with pytest.raises(ValueError, match=r"^hydra/launcher=slurm: there is no sbatch on PATH"):
        launch.launcher.require()
    monkeypatch.setattr("hydra_plugins.slurm_launcher.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"submitit is not installed; install it with .* 'slurm'"):
        launch.launcher.require()


class TestProgress:
    @pytest.mark.parametrize(
        ("nodes", "waiting", "text"),
        [
            ([], {"": 12}, "3 of 15 done, 12 waiting in the queue"),
            (["b", "a"], {}, "3 of 15 done, 2 running on a, b"),
            (
                ["a", "a"],
                {"Priority": 2, "Resources": 5, "": 1},
                "3 of 15 done, 2 running on a, 8 waiting in the queue (Resources, Priority)",
            ),
            ([f"n{n}" for n in range(5)], {}, "3 of 15 done, 5 running on 5 nodes"),
        ],
    )
    def test_the_standing_in_words(
        self, nodes: list[str], waiting: dict[str, int], text: str
    ) -> None:
        standing = Standing(num_jobs=15, num_done=3, num_lost=0, nodes=nodes, waiting=waiting)
        assert standing_text(standing) == text

    def test_lost_jobs_are_counted(self) -> None:
        standing = Standing(num_jobs=15, num_done=3, num_lost=1, nodes=["a"], waiting={})
        assert standing_text(standing) == "3 of 15 done (1 lost), 1 running on a"

    def _after(self, texts: Sequence[str], *, terminal: bool, wanted: bool = True) -> str:
        """Show a text every 20 seconds."""
        clock = FakeClock()
        out = io.StringIO()
        console = Console(file=out, force_terminal=terminal, width=60)
        with JobsLine(console, wanted=wanted, clock=clock) as line:
            for text in texts:
                line.show(text)
                clock.advance(20.0)
        return out.getvalue()

    def test_a_log_gets_the_line_when_it_changes_and_twice_a_minute(self) -> None:
        assert self._after(["a", "b", "b", "b", "b"], terminal=False) == "a\nb\n"  # at 0 and 40 s
        assert self._after(["a"], terminal=False, wanted=False) == ""

    def test_a_terminal_shows_every_change(self) -> None:
        shown = self._after(["2 done \x1b[2J", "3 done"], terminal=True)
        assert r"2 done \x1b[2J" in shown
        assert "3 done" in shown

    def test_each_run_that_ended_leaves_a_line_with_its_node(self, tmp_path: Path) -> None:
        def run(num: int, **facts: Any) -> JobRun:
            identity = new_identity("train", KEY.config_hash, num, 0)
            config = {"seed": num, "repeat": 0, "target": {"metric": "accuracy", "value": 0.9}}
            folder = create_run_folder(tmp_path, identity, config)
            write_record(folder, outcome_record(identity, config, curve([0.95]), status="ok"))
            overrides = [f"seed={num}", "codecarbon=none"]
            return JobRun(folder=str(folder), overrides=overrides, key=KEY, **facts)

        out = io.StringIO()
        clock = FakeClock()
        counter = RunCounter(Console(file=out, width=100), clock=clock)
        lines = RunLines(counter, Multirun(num_runs=3, swept=["seed"]), status)
        first, second, found = run(0, ended=True), run(1), run(2, found=True, ended=True)
        note = JobNote(num=0, overrides=[], process=ELSEWHERE, runs=[first, second])
        other = JobNote(num=1, overrides=[], process=ELSEWHERE, runs=[found])
        for notes in ({0: note}, {0: note, 1: other}):
            lines.show(notes)
            clock.advance(10.0)
        gone = JobRun(folder=str(tmp_path / "gone"), overrides=["seed=1"], key=KEY, ended=True)
        scheduler = {"node": "node2"}
        last = JobNote(
            num=0, overrides=[], process=ELSEWHERE, runs=[first, gone], scheduler=scheduler
        )
        lines.show({0: last, 1: other})
        one, two = out.getvalue().splitlines()
        assert one == "run 1 of 3, seed=0 (node1): ok"
        assert two.startswith("run 3 of 3, seed=1 (node2): ")
