"""A race and repeat=auto from the command line, with runs that cost what their lr says."""

from __future__ import annotations

import csv
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.cli.sweep import run_command
from bench.core.ledger import Ledger
from bench.core.sweep_folder import SweepFolder
from bench.training.plan import plan_training
from tests.cli import costed
from tests.cli.command import Answer, records, run_here, serve
from tests.cli.scripted_command import scripted
from tests.fork_server import LightServer, own_fork_server

RACE = ("-m", "hydra/sweeper=race")
COMMON = ("experiment=smoke", "codecarbon=none", "meter=none", "probe.batch_sizes=[1]")
# Costs of 1, 2, 4 and 8 s, with 1% more for each further seed.
GRID = "lr=8,1,4,2"


@pytest.fixture(scope="module", autouse=True)
def _server_without_libraries() -> Iterator[None]:
    with own_fork_server(LightServer):
        yield


def costed_main() -> int:
    """bench.train with these runs; not beside them, so that their server need not import it."""
    command = replace(scripted(plan_training), job="tests.cli.costed:run")
    return run_command("train", lambda: command)


def train(folder: Path, *arguments: str, **options: Any) -> Answer:
    return run_here(folder, costed_main, *arguments, *COMMON, **options)


def sweeps(folder: Path) -> list[Path]:
    """The folders of all sweeps, the latest last."""
    return sorted((folder / "results" / "sweeps").iterdir(), key=lambda path: path.stat().st_ctime)


def result(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((sweeps(folder)[-1] / "search.json").read_text())
    return content


def trials(folder: Path) -> list[dict[str, str]]:
    with (sweeps(folder)[-1] / "search.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def race(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answer]:
    folder = tmp_path_factory.mktemp("race")
    return folder, train(folder, *RACE, GRID, "hydra.sweeper.max_seeds=4")


class TestRace:
    def test_the_cheapest_configuration_wins(self, race: tuple[Path, Answer]) -> None:
        folder, answer = race
        assert answer.code == 0, answer.err
        found = result(folder)
        assert "lr=1" in found["winner"]["overrides"]
        # Its 4 seeds cost 1, 1.01, 1.02 and 1.03 s.
        assert found["winner"]["ert"] == pytest.approx(1.015)
        assert (found["winner"]["num_runs"], found["winner"]["num_reached"]) == (4, 4)
        assert found["is_over"]

    def test_runs_that_cannot_win_are_stopped_and_say_so(self, race: tuple[Path, Answer]) -> None:
        folder, _ = race
        stopped = [one for one in records(folder) if one.target and one.target.cut_off_by]
        assert stopped
        for record in stopped:
            assert record.target is not None
            assert record.target.censored_at_s == record.config["cutoff"]["max_time_s"]
            assert record.config["lr"] > 1
        assert len(stopped) == result(folder)["num_stopped"]
        # The limit is no part of the configuration.
        assert len({record.config_hash for record in records(folder)}) == 4

    def test_the_bill_is_that_of_the_runs(self, race: tuple[Path, Answer]) -> None:
        folder, _ = race
        costs = [
            one.target.time_to_target_s or one.target.censored_at_s
            for one in records(folder)
            if one.target
        ]
        found, rows = result(folder), trials(folder)
        assert found["spent"] == pytest.approx(sum(cost or 0.0 for cost in costs))
        assert float(rows[-1]["spent_so_far"]) == pytest.approx(found["spent"])
        assert float(rows[-1]["best_so_far"]) == pytest.approx(found["winner"]["ert"])
        assert found["num_runs"] == len(rows) == len(costs)
        assert found["grid"]["is_estimate"]
        assert found["grid"]["num_not_run"] == 0

    def test_the_report_names_the_winner_and_the_grid(self, race: tuple[Path, Answer]) -> None:
        _, answer = race
        words = " ".join(answer.out[answer.out.index("race by time to target") :].split())
        for each in (
            "winner",
            "lr=1",
            "The search has spent",
            "The whole grid with 4 seeds each",
            "again: ",
        ):
            assert each in words

    def test_the_plan_has_the_jobs_that_were_launched(self, race: tuple[Path, Answer]) -> None:
        folder, _ = race
        plan = SweepFolder(sweeps(folder)[-1]).read_plan()
        assert plan is not None
        assert len(plan.jobs) == len(records(folder))
        launched = [one for one in Ledger(folder / "results").events if one["event"] == "launched"]
        assert len(launched) == len(plan.jobs)


def test_a_finished_race_is_told_its_runs_and_makes_none(tmp_path: Path) -> None:
    arguments = (*RACE, GRID, "hydra.sweeper.max_seeds=2")
    train(tmp_path, *arguments)
    before = result(tmp_path)
    answer = train(tmp_path, *arguments, "resume=true")
    assert answer.code == 0, answer.err
    after = result(tmp_path)
    assert after["num_found"] == after["num_runs"] == len(records(tmp_path))
    assert after["spent"] == after["spent_before"] == pytest.approx(before["spent"])
    assert after["winner"] == before["winner"]
    assert "found by resume=" in answer.out


def test_a_sweep_makes_runs_again_that_a_race_stopped(tmp_path: Path) -> None:
    train(tmp_path, *RACE, GRID, "hydra.sweeper.max_seeds=1")
    num = len(records(tmp_path))
    stopped = result(tmp_path)["num_stopped"]
    assert stopped > 0
    answer = train(tmp_path, "-m", GRID, "resume=true")
    assert answer.code == 0, answer.err
    assert len(records(tmp_path)) == num + stopped


def test_ctrl_c_ends_a_race_with_its_bill_and_resume_goes_on(tmp_path: Path) -> None:
    def stop(text: str) -> None:
        if text.startswith("run 2"):
            os.kill(os.getpid(), signal.SIGINT)

    answer = train(tmp_path, *RACE, GRID, "hydra.sweeper.max_seeds=2", on_err=stop)
    assert answer.code == 130
    assert "best so far" in answer.out
    assert "interrupted; the same command with resume=true continues" in answer.err
    num = result(tmp_path)["num_runs"]
    assert not result(tmp_path)["is_over"]
    answer = train(tmp_path, *RACE, GRID, "hydra.sweeper.max_seeds=2", "resume=true")
    assert answer.code == 0, answer.err
    assert result(tmp_path)["num_found"] == num
    assert "lr=1" in result(tmp_path)["winner"]["overrides"]


def test_a_configuration_that_fails_has_a_cost_and_does_not_win(tmp_path: Path) -> None:
    batch_sizes = f"batch_size={costed.FAILS},8"
    answer = train(tmp_path, *RACE, batch_sizes, "lr=1", "hydra.sweeper.max_seeds=2")
    assert answer.code == 5
    found = result(tmp_path)
    assert found["num_failed"] == 1
    assert "batch_size=8" in found["winner"]["overrides"]


def test_where_nothing_reaches_the_target_the_report_says_what_may_help(tmp_path: Path) -> None:
    batch_sizes = f"batch_size={costed.MISSES}"
    answer = train(tmp_path, *RACE, batch_sizes, "lr=1,2", "hydra.sweeper.max_seeds=2")
    assert answer.code == 0, answer.err
    assert result(tmp_path)["winner"] is None
    assert "No configuration has reached the target; a larger budget" in answer.out


def test_a_budget_that_is_spent_is_named(tmp_path: Path) -> None:
    answer = train(tmp_path, *RACE, "lr=1,2", "hydra.sweeper.max_spent=0.5")
    assert answer.code == 0, answer.err
    words = " ".join(answer.out.split())
    assert "No configuration has reached the target within hydra.sweeper.max_spent." in words
    assert "The search has spent 0.500 s, all that hydra.sweeper.max_spent allows." in words


def test_the_seeds_of_the_command_line_are_those_of_the_race(tmp_path: Path) -> None:
    train(tmp_path, *RACE, "lr=1,2", "seed=5,9")
    assert {record.seed for record in records(tmp_path)} == {5, 9}


def test_optuna_suggests_the_order(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    options = ("hydra.sweeper.suggest=optuna", "hydra.sweeper.max_seeds=1")
    answer = train(tmp_path, *RACE, GRID, "batch_size=8,16", *options)
    assert answer.code == 0, answer.err
    assert result(tmp_path)["num_tried"] == 8
    assert "lr=1" in result(tmp_path)["winner"]["overrides"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([*RACE, "lr=1,-1"], "lr=-1.0: must be a positive number"),
        ([*RACE, "lr=1,2", "hydra.sweeper.beta=1"], "hydra.sweeper.beta=1"),
        ([*RACE, "lr=1,2", "hydra.sweeper.suggest=x"], "hydra.sweeper.suggest=x"),
        ([*RACE, "lr=1,2", "repeat=auto"], "repeat=auto: a race repeats runs itself"),
        ([*RACE, "lr=1,2", "repeat=0,1"], "repeat=0,1: a search repeats runs itself"),
        ([*RACE, "lr=1,2", "objective=serving.latency_p90_ms"], "a race is by a cost; give one of"),
        ([*RACE, "lr=1,2", "objective=target.energy_to_target_j"], "with meter=none"),
        (
            [*RACE, "lr=1,2", "hydra/launcher=submitit_local"],
            "hydra/launcher=submitit_local: returns no result before all have ended",
        ),
        ([*RACE, "lr=1,2", "target.value=0.8,0.9"], "target.value=0.8,0.9: a race compares"),
        ([*RACE, "lr=1,2", "data=digits,breast_cancer"], "a race compares the cost of one target"),
        ([*RACE, "lr=1"], "the grid has only one configuration; give a key several values"),
        ([*RACE, "lr=1,1e0,2"], "lr=1 and lr=1.0: give the same configuration"),
        (
            ["-m", "lr=1", "repeat=auto", "objective=target.energy_to_target_j"],
            "nothing would measure it with meter=none",
        ),
        (["-m", "lr=1,2", "repeat=auto", "seed=1,2"], "repeat=auto chooses the seeds"),
        (["-m", "lr=1", "repeat=auto", "hydra.sweeper.repeats.max_runs=2"], "max_runs=2: too few"),
        (
            ["lr=1", "repeat=auto"],
            "repeat=auto: only our sweepers repeat runs by themselves; add -m",
        ),
    ],
)
def test_what_cannot_be_searched_is_refused_before_any_run(
    arguments: list[str], words: str, tmp_path: Path
) -> None:
    answer = train(tmp_path, *arguments)
    assert answer.code == 2, answer.err
    assert words in answer.err.splitlines()[-1]
    assert not (tmp_path / "results" / "train").exists()


def test_only_trainings_race(tmp_path: Path) -> None:
    answer = serve(tmp_path, *RACE, "run=x,y")
    assert answer.code == 2
    assert "hydra/sweeper=race: serve has no target to race to; use bench.train" in answer.err


def test_repeats_end_where_the_interval_is_narrow(tmp_path: Path) -> None:
    answer = train(tmp_path, "-m", "lr=1,2", "repeat=auto", "hydra.sweeper.repeats.width_frac=0.5")
    assert answer.code == 0, answer.err
    found = result(tmp_path)
    assert [each["is_narrow"] for each in found["configurations"]] == [True, True]
    runs = records(tmp_path)
    assert found["num_runs"] == len(runs)
    seeds = sorted(record.seed for record in runs if record.config["lr"] == 1)
    assert seeds == list(range(len(seeds)))  # further seeds, from the given one on
    assert "repeat=auto: " in answer.out
    assert "2 of 2 intervals" in answer.out


def test_repeats_end_with_their_budget(tmp_path: Path) -> None:
    options = [
        f"hydra.sweeper.repeats.{one}" for one in ("width_frac=1e-6", "max_spent=5", "max_runs=9")
    ]
    answer = train(tmp_path, "-m", "lr=1,2", "repeat=auto", *options)
    assert answer.code == 0, answer.err
    # 1, 2, 1.01 and 2.02 s: the fifth run would start after 6.03 s.
    assert result(tmp_path)["num_runs"] == 4
    assert "max_spent" in answer.out
