"""A sweep by another sweeper than ours, which makes up its jobs as it goes."""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig

from tests.cli import scripted, scripted_command
from tests.cli.command import Answer, run_here
from tests.fork_server import LightServer, own_fork_server

COMMON = ("experiment=smoke", "codecarbon=none", "meter=none", "probe.batch_sizes=[1]")


class Searcher(Sweeper):
    """Makes a job that fails, one that succeeds, and one whose result decides whether it breaks."""

    seen: ClassVar[list[float]] = []

    def __init__(self, **options: Any) -> None:
        """Take the options of the sweeper that it replaces."""

    def setup(self, *, hydra_context: Any, task_function: Any, config: DictConfig) -> None:
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        for num, seed in enumerate((scripted.FAILS, scripted.OK)):
            jobs = [[*arguments, f"seed={seed}"]]
            assert self.launcher is not None
            (result,) = self.launcher.launch(jobs, initial_job_idx=num)
            self.seen.append(result.return_value)
        if "lr=7" in arguments:
            raise RuntimeError("the study is full\nof errors")


@pytest.fixture(scope="module", autouse=True)
def _sweeper_is_a_plugin() -> Iterator[None]:
    """As one that is installed in the package where Hydra looks for plugins."""
    module = ModuleType("hydra_plugins.searcher")
    module.Searcher = Searcher  # type: ignore[attr-defined]
    Searcher.__module__ = module.__name__
    with pytest.MonkeyPatch.context() as patch, own_fork_server(LightServer):
        patch.setitem(sys.modules, module.__name__, module)
        Plugins.instance().register(Searcher)
        yield
    del Plugins.instance().class_name_to_class[f"{module.__name__}.Searcher"]


def search(folder: Path, *arguments: str) -> Answer:
    Searcher.seen.clear()
    own = "hydra.sweeper._target_=hydra_plugins.searcher.Searcher"
    return run_here(folder, scripted_command.main, "-m", own, *arguments, *COMMON)


def test_it_is_given_the_objective_and_every_run_is_gathered(tmp_path: Path) -> None:
    answer = search(tmp_path)
    assert answer.code == 5  # one run failed
    assert "Traceback" not in answer.err
    # The second evaluation reaches the target, after 4 s.
    assert Searcher.seen == [math.inf, 4.0]
    (table,) = tmp_path.glob("results/sweeps/*/sweep.csv")
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [(row["seed"], row["status"]) for row in rows] == [("2", "failed"), ("0", "ok")]
    # A finished run is found when its turn comes, and gives the same number.
    again = search(tmp_path, "resume=true")
    assert Searcher.seen == [math.inf, 4.0]
    assert "1 of 2 runs were finished before" in again.err
    assert len(list(tmp_path.glob("results/train/*/run.json"))) == 3


def test_a_refused_job_is_as_bad_as_can_be(tmp_path: Path) -> None:
    answer = search(tmp_path, "lr=-1", "objective=serving.throughput_per_s")
    assert answer.code == 2
    assert "lr=-1" in answer.err
    assert Searcher.seen == [-math.inf, -math.inf]
    assert not (tmp_path / "results" / "train").exists()


def test_a_wrong_objective_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    answer = search(tmp_path, "objective=energy_totl_j")
    assert answer.code == 2
    assert "objective=energy_totl_j: no quantity" in answer.err
    assert "did you mean energy_total_j?" in answer.err
    assert Searcher.seen == [None, None]


def test_a_sweeper_that_fails_costs_one_line_and_no_run(tmp_path: Path) -> None:
    answer = search(tmp_path, "lr=7")
    assert answer.code == 5
    assert "failed: RuntimeError: the study is full; HYDRA_FULL_ERROR=1" in answer.err
    assert "Traceback" not in answer.err
    assert len(list(tmp_path.glob("results/train/*/run.json"))) == 2
