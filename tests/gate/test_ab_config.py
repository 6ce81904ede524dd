from __future__ import annotations

from typing import Any

import pytest

from bench.config.gate import AbConfig, NoiseConfig
from bench.gate.run.ab import judge_config


@pytest.mark.parametrize(
    ("min_runs", "max_runs", "looks"),
    [
        (6, 16, [6, 10, 14, 16]),
        (5, 15, [6, 10, 14, 16]),  # up to whole rounds, which have two runs per side
        (6, 14, [6, 10, 14]),
        (4, 4, [4]),
        (1, 2, [2]),
    ],
)
def test_looks_are_two_rounds_apart_and_the_last_is_at_the_most_runs(
    min_runs: int, max_runs: int, looks: list[int]
) -> None:
    config = AbConfig(base="main", min_runs=min_runs, max_runs=max_runs)
    assert config.looks() == looks
    # As many servers, each with three runs.
    assert config.looks(3) == [3 * num for num in looks]


def test_a_key_that_one_revision_does_not_know_is_no_difference() -> None:
    assert judge_config(AbConfig(base="main", force=["health"]), 1).force == ["health", "config"]


def test_noise_is_measured_in_whole_rounds() -> None:
    assert [NoiseConfig(runs=runs).num_runs() for runs in (2, 9, 10)] == [2, 10, 10]
    assert NoiseConfig(runs=9).num_runs(4) == 40


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "base: must be given: the revision to compare with, as in base=origin/main"),
        ({"base": ""}, "base=: must name a revision, for example origin/main"),
        ({"base": "a", "head": ""}, "head=: must name a revision"),
        ({"base": "a", "other": 1}, "other: no such key"),
        ({"base": "a", "module": "bench/train.py"}, "module=bench/train.py: must be a module"),
        ({"base": "a", "install": ""}, "install=: must not be empty; leave it out, or give null"),
        ({"base": "a", "python": ""}, "python=: must not be empty"),
        ({"base": "a", "results": ""}, "results=: must name a folder"),
        ({"base": "a", "runs_per_server": -1}, "runs_per_server=-1: must be at least 0"),
        ({"base": "a", "warmup": -1}, "warmup=-1: must be at least 0"),
        ({"base": "a", "min_runs": 0}, "min_runs=0: must be at least 1"),
        ({"base": "a", "max_runs": 5}, "max_runs=5: must be at least min_runs=6"),
        ({"base": "a", "budget_s": 0}, "budget_s=0: must be a positive number"),
        ({"base": "a", "alpha": 1}, "alpha=1: must be less than 0.5"),
        ({"base": "a", "json": "x", "junit": "x"}, "junit=x: json= writes this file"),
    ],
)
def test_a_wrong_value_of_ab_names_its_key(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        AbConfig.from_dict(keys)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"ref": ""}, "ref=: must name a revision"),
        ({"runs": 1}, "runs=1: must be at least 2"),
        ({"noise": ""}, "noise=: must name a file"),
        ({"base": "main"}, "base: no such key"),
        ({"module": ""}, "module=: must be a module"),
    ],
)
def test_a_wrong_value_of_noise_names_its_key(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        NoiseConfig.from_dict(keys)
