"""What a sweep checks, reports and refuses before its first job."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra.errors import InstantiationException
from omegaconf import OmegaConf
from rich.console import Console

from bench.cli.messages import root_cause
from bench.cli.multirun import MULTIRUN
from bench.cli.overrides import Checked, with_paths
from bench.cli.terminal import CheckingLine
from bench.core.process import Process
from bench.core.sweep_folder import JobNote, PlannedJob, SweepFolder
from bench.launch.needs import Need
from hydra_plugins.checked_sweeper import CheckedSweeper
from hydra_plugins.plannings import PLANNINGS, Planning
from tests.cli.command import train

pytestmark = pytest.mark.xdist_group("jobs")  # one worker, so that one server forks them


def said(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


class TestCheckingLine:
    def _after(self, *times_s: float, terminal: bool, wanted: bool = True) -> str:
        clock = iter([0.0, *times_s])
        console = Console(file=io.StringIO(), force_terminal=terminal, width=60)
        with CheckingLine(console, 10_000, wanted=wanted, clock=lambda: next(clock)) as line:
            for num in range(len(times_s)):
                line.show(num + 1)
        return said(console)

    def test_the_line_is_there_before_the_first_job_is_checked(self) -> None:
        assert "checking 10000 jobs" in self._after(terminal=True)
        assert self._after(terminal=False) == "checking 10000 jobs\n"

    def test_nothing_is_shown_without_progress(self) -> None:
        assert self._after(0.5, 1.5, terminal=False, wanted=False) == ""
        assert "checking" not in self._after(0.5, 1.5, terminal=True, wanted=False)

    def test_a_log_gets_one_line(self) -> None:
        assert self._after(0.5, 11.0, 30.0, terminal=False) == "checking 10000 jobs\n"

    def test_a_terminal_shows_how_many_jobs_are_checked(self) -> None:
        told = self._after(0.5, 1.5, 2.0, 3.0, terminal=True)
        assert "checking 10000 jobs: 2 done" in told
        assert "3 done" not in told  # not more often than once a second
        assert "checking 10000 jobs: 4 done" in told


class TestPlan:
    """With a command whose jobs are only counted."""

    @pytest.fixture
    def sweeper(self) -> CheckedSweeper:
        MULTIRUN.clear()
        # Not by its constructor: Hydra loads its base class anew where a test before composed one.
        sweeper = CheckedSweeper.__new__(CheckedSweeper)
        sweeper._job_values = _AsGiven()  # type: ignore[assignment]
        sweeper.hydra_context = SimpleNamespace(config_loader=None)  # type: ignore[assignment]
        launcher = {"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}
        sweeper.config = OmegaConf.create({"hydra": {"launcher": launcher}})
        return sweeper

    def test_the_agenda_has_the_planned_runs(self, sweeper: CheckedSweeper) -> None:
        planning = Planning(
            values=dict, check=lambda *_: Checked(num_runs=2), digests=lambda *_: ["a", "b"]
        )
        jobs = [["+model.width=1", "model@a=x", "lr=1"], ["+model.width=2", "model@a=y", "lr=1"]]
        agenda = sweeper._plan(planning, "train", jobs)
        assert agenda.first_jobs == {"r": jobs[0]}
        assert [(job.num, job.overrides) for job in agenda.jobs] == list(enumerate(jobs))
        keys = agenda.jobs[1].keys
        assert [(key.config_hash, key.seed, key.repeat) for key in keys] == [
            ("a", 3, 0),
            ("b", 3, 0),
        ]
        assert MULTIRUN.num_runs == 4
        assert list(MULTIRUN.swept) == ["model.width", "model", "run"]

    @pytest.mark.parametrize(("most", "sizes"), [(None, [4]), (3, [3, 1])])
    def test_what_a_job_was_spread_into_is_launched_together(
        self,
        sweeper: CheckedSweeper,
        monkeypatch: pytest.MonkeyPatch,
        most: int | None,
        sizes: list[int],
    ) -> None:
        planned = [PlannedJob(num=num, overrides=[f"run={num}"]) for num in range(4)]
        agenda = SimpleNamespace(first_jobs={}, jobs=planned)
        monkeypatch.setattr(sweeper, "_plan", lambda *_, **__: agenda)
        monkeypatch.setattr("hydra_plugins.checked_sweeper.keep_plan", lambda *_: None)
        monkeypatch.setattr(sweeper, "_parse_config", list)
        sweeper.max_batch_size = most
        facts = {"job": {"config_name": "serve"}, "launcher": {"_target_": "elsewhere"}}
        sweeper.config = OmegaConf.create({"hydra": facts})
        launched: list[int] = []

        def launch(batch: list[list[str]], initial_job_idx: int) -> list[Any]:
            launched.append(len(batch))
            return []

        sweeper.launcher = SimpleNamespace(launch=launch)  # type: ignore[assignment]
        sweeper.sweep(["run=x"])  # one job on the command line
        assert launched == sizes

    def test_needs_are_checked_once_for_all_jobs(
        self, sweeper: CheckedSweeper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[list[Need]] = []
        monkeypatch.setattr(
            "hydra_plugins.checked_sweeper.require", lambda needs: asked.append(list(needs))
        )
        needs = [Need("target", ("model", name)) for name in ("a", "b")]
        planning = Planning(
            values=dict, check=lambda *_: Checked(needs=needs), digests=lambda *_: ["a"]
        )
        sweeper._plan(planning, "train", [["seed=1"], ["seed=2"]])
        assert asked == [needs]


class _AsGiven:
    """In place of JobValues: all jobs have the same values."""

    def find(self, overrides: list[str]) -> dict[str, Any]:
        return {"results": "r", "resume": False, "seed": 3, "repeat": 0}


def test_every_command_that_sweeps_is_planned() -> None:
    assert set(PLANNINGS) == {"train", "serve", "maintain"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["seed=1,2,-1"], "seed=-1: must be at least 0"),
        (["model=custom", "model._target_=nosuch_a.A,nosuch_b.B"], "No module named 'nosuch_a'"),
        (["hydra.sweep.dir="], "hydra.sweep.dir=: must name a folder"),
        (["results=/dev/null/x"], "results=/dev/null/x: cannot write there"),
        (["seed=range(3,3)", "lr=0.1,0.2"], "seed=range(3,3): has no values to sweep"),
        (["hydra.sweeper.max_batch_size=0"], "hydra.sweeper.max_batch_size=0: must be at least 1"),
        (
            ["hydra/launcher=joblib", "results=a,b"],
            "results=a,b: the jobs of a launcher share one results folder",
        ),
    ],
)
def test_an_impossible_sweep_is_one_line_and_leaves_no_files(
    arguments: list[str], words: str, tmp_path: Path
) -> None:
    answer = train(tmp_path, "-m", "codecarbon=none", *arguments)
    errors = [line for line in answer.err.splitlines() if line.startswith("error: ")]
    assert answer.code == 2
    assert len(errors) == 1
    assert words in errors[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("seed", "message"),
    [
        (1, "hydra.sweep.dir=earlier: has the jobs of an earlier sweep; name a new folder"),
        (-1, "seed=-1: must be at least 0"),
    ],
)
def test_the_jobs_of_an_earlier_sweep_are_not_taken_for_those_of_this_one(
    tmp_path: Path, seed: int, message: str
) -> None:
    earlier = SweepFolder(tmp_path / "earlier")
    earlier.write_note(
        JobNote(num=0, overrides=[], process=Process.current(), errors=["refused"], ended=True)
    )
    answer = train(tmp_path, "-m", "codecarbon=none", f"seed={seed}", "hydra.sweep.dir=earlier")
    assert answer.code == 2
    assert [line for line in answer.err.splitlines() if "error" in line] == [f"error: {message}"]
    assert [each.name for each in earlier.path.iterdir()] == ["jobs"]


def test_paths_are_expanded_and_names_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    given = {
        "results": "~/r",
        "data": {"root": "$HOME/d", "seed": 1},
        "data_root": None,
        "run": "./*",
        "recipe": {"teacher": "~/t"},
        "lr": 1.0,
    }
    assert with_paths(given) == {
        **given,
        "results": "/home/me/r",
        "data": {"root": "/home/me/d", "seed": 1},
        "recipe": {"teacher": "/home/me/t"},
    }
    assert given["results"] == "~/r"


def test_the_root_cause_is_what_hydra_wraps() -> None:
    missing = ModuleNotFoundError("No module named 'my_parts'")
    located = ImportError("Error loading 'my_parts.Net':\n...")
    located.__cause__ = missing
    wrapped = InstantiationException("Error locating target 'my_parts.Net'")
    wrapped.__cause__ = located
    assert root_cause(wrapped) is missing
    own = ValueError("batch too large")
    own.__cause__ = KeyError("x")
    assert root_cause(own) is own  # what a user's own code raised says it best
