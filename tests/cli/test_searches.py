"""Searches that make real runs, as few as possible: a race, and repeat=auto of other commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import bench.maintain
from tests.cli.command import Answer, records, run_here, serve, train

pytestmark = pytest.mark.xdist_group("jobs")  # one worker, so that one server forks them

# A training with the shortest probe, and nothing that is not read here.
QUICK = (
    *("experiment=smoke", "trainer.num_warmup_steps=1", "codecarbon=none", "meter=none"),
    *("probe.num_requests=1", "probe.batch_sizes=[1]", "probe.min_batch_s=0.01"),
)
# An interval of 50% needs two runs: they lie on both sides of the median with a chance of 1 - 2^-1.
TWICE = (
    *("repeat=auto", "hydra.sweeper.repeats.alpha=0.5", "hydra.sweeper.repeats.max_runs=2"),
    "hydra.sweeper.repeats.width_frac=10",
)


def result(folder: Path) -> dict[str, Any]:
    """What the latest search of a folder found."""
    latest = max((folder / "results" / "sweeps").iterdir(), key=lambda path: path.stat().st_ctime)
    content: dict[str, Any] = json.loads((latest / "search.json").read_text())
    return content


def require_two_seeds(folder: Path, command: str, answer: Answer, unit: str) -> None:
    """A search has made two runs of one configuration, and found a narrow interval."""
    assert answer.code == 0, answer.out + answer.err
    runs, found = records(folder, command), result(folder)
    assert sorted(run.seed for run in runs) == [0, 1]
    assert len({run.config_hash for run in runs}) == 1
    (configuration,) = found["configurations"]
    assert (configuration["num_runs"], configuration["is_narrow"]) == (2, True)
    assert found["unit"] == unit
    assert configuration["low"] <= configuration["value"] <= configuration["high"]
    assert "1 of 1 intervals" in answer.out


@pytest.fixture(scope="module")
def race(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answer]:
    """A race of two learning rates, of which one does not reach the target in its budget."""
    folder = tmp_path_factory.mktemp("race")
    options = ("hydra/sweeper=race", "hydra.sweeper.max_seeds=1", "target.value=0.8")
    return folder, train(folder, "-m", *options, *QUICK, "lr=0.1,0.00001", "budget.max_epochs=300")


def test_a_race_of_real_trainings_stops_the_one_that_cannot_win(
    race: tuple[Path, Answer],
) -> None:
    folder, answer = race
    assert answer.code == 0, answer.out + answer.err
    winner, loser = sorted(records(folder), key=lambda record: -record.config["lr"])
    assert winner.target is not None
    assert winner.target.reached
    assert loser.target is not None
    assert loser.target.cut_off_by == "max_time_s"
    limit_s = loser.config["cutoff"]["max_time_s"]
    # With one seed of each, the limit is beta times the best.
    assert limit_s == pytest.approx(1.5 * (winner.target.time_to_target_s or 0.0))
    assert (loser.target.censored_at_s or 0.0) >= limit_s
    found = result(folder)
    assert "lr=0.1" in found["winner"]["overrides"]
    assert found["spent"] == pytest.approx(
        (winner.target.time_to_target_s or 0.0) + (loser.target.censored_at_s or 0.0)
    )
    assert "winner" in answer.out


def test_servings_are_repeated_with_further_seeds(race: tuple[Path, Answer]) -> None:
    folder, _ = race
    passes = ("scenario.min_duration_s=0.1", "scenario.warmup_queries=20", "meter=none")
    (run,) = [one.run_id for one in records(folder) if one.target and one.target.reached]
    answer = serve(folder, "-m", f"run={run}", *passes, *TWICE)
    require_two_seeds(folder, "serve", answer, "ms")


def test_deployments_are_repeated_with_further_seeds(tmp_path: Path) -> None:
    stream = (
        *("experiment=maintain_smoke", "accuracy_to_hold=0.4", "policy=never"),
        *("stream.num_windows=3", "stream.window=100", "stream.initial_samples=150"),
        *("stream.source.num_samples=4000", "model.width=8", "model.depth=1"),
        "budget.max_epochs=4",
    )
    answer = run_here(tmp_path, bench.maintain.main, "-m", *stream, *TWICE)
    require_two_seeds(tmp_path, "maintain", answer, "J")
