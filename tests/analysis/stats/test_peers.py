"""Which runs may be compared, and how their groups are named."""

from __future__ import annotations

from typing import Any

import pytest
from pandas import DataFrame, Series

from analysis.stats.peer_keys import KEYS, NOT_RECORDED, peer_keys
from analysis.stats.peers import peer_groups
from bench.core.flat import flat
from tests.analysis.figures.literal import frame, reached, served


def training(name: str, **more: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "target__mode": "max",
        "config__data___target_": "bench.tasks.data.digits",
        "config__data__split_seed": 0,
        "host__num_cpus": 8,
        "host__memory_bytes": 16 * 2**30,
        "host__gpus": "",
    }
    run = reached(name, 1.0, **(facts | more))
    # literal.py turns every "__" into a dot, that of `_target_` too.
    target = run.pop("config.data._target_", run.pop("config.data.._target_", None))
    return {**run, "config.data._target_": target}


def titles(*runs: dict[str, Any], **options: Any) -> list[str]:
    return [group.title for group in peer_groups(frame(*runs), **options)]


def test_runs_that_may_be_compared_are_one_group_without_a_title() -> None:
    (only,) = peer_groups(frame(training("a"), training("b", seed=3, config__batch_size=64)))
    assert only.title == ""
    assert list(only.runs["configuration"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({"target__value": 0.95}, ["accuracy ≥ 0.9", "accuracy ≥ 0.95"]),
        (
            {"target__metric": "loss", "target__mode": "min", "target__value": 0.2},
            ["accuracy ≥ 0.9", "loss ≤ 0.2"],
        ),
        ({"target__rule": "final"}, ["rule first", "rule final"]),
        (
            {"target__rule": "consecutive", "target__consecutive": 3},
            ["rule first", "rule 3 in a row"],
        ),
        ({"config__data___target_": "mine.Faces"}, ["digits", "Faces"]),
        (
            {"task__name": "regression", "task__kind": "regression"},
            ["multiclass classification", "regression"],
        ),
        (
            {"config__task": "language_modelling"},
            ["multiclass classification", "language modelling"],
        ),
        ({"config__data__split_seed": 1}, ["split_seed=0", "split_seed=1"]),
        ({"host__cpu_name": "other cpu"}, ["cpu", "other cpu"]),
        ({"host__num_cpus": 4}, ["8 CPUs", "4 CPUs"]),
        ({"host__num_cpus_allowed": 2}, ["8 CPUs", "2 CPUs"]),
        ({"host__memory_bytes": 32 * 2**30}, ["16 GiB", "32 GiB"]),
        ({"host__gpus__name": "H100,H100", "host__gpus": None}, ["no GPU", "2 x H100"]),
    ],
)
def test_what_must_be_equal_makes_groups_and_only_that_is_in_their_titles(
    other: dict[str, Any], expected: list[str]
) -> None:
    assert titles(training("a"), training("a"), training("b", **other)) == expected


@pytest.mark.parametrize(
    "same",
    [
        {"config__data__batch_size": 64},
        {"config__data__seed": 7},
        {"config__data__root": "/elsewhere"},
        {"config__data__download": False},
        {"config__data__in_memory": True},
        {"config__data__num_workers": 2},
        {"config__data__eval_batch_size": 128},
        {"host__memory_bytes": 16 * 2**30 - 50_000},  # virtual machines differ by kilobytes
        {"host__name": "node7"},
    ],
)
def test_what_changes_no_sample_and_no_machine_makes_no_group(same: dict[str, Any]) -> None:
    assert titles(training("a"), training("b", **same)) == [""]


def test_the_consecutive_of_another_rule_is_no_difference() -> None:
    runs = (training("a", target__consecutive=2), training("b", target__consecutive=5))
    assert titles(*runs) == [""]


def test_the_largest_group_comes_first() -> None:
    runs = [training("a"), *(training("b", target__value=0.95) for _ in range(3))]
    assert titles(*runs) == ["accuracy ≥ 0.95", "accuracy ≥ 0.9"]
    assert [len(group.runs) for group in peer_groups(frame(*runs))] == [3, 1]


def killed(name: str, **more: Any) -> dict[str, Any]:
    """Killed before its record: it says nothing of its host."""
    unknown = dict.fromkeys(
        ("host__cpu_name", "host__num_cpus", "host__memory_bytes", "host__gpus")
    )
    return training(name, **(unknown | more))


def test_a_run_that_names_no_host_belongs_to_the_only_one_of_its_configuration() -> None:
    assert titles(training("a"), killed("a"), training("b")) == [""]


def test_a_run_without_a_host_is_a_separate_group_if_its_configuration_ran_on_several() -> None:
    found = peer_groups(
        frame(training("a"), training("a"), training("a", host__cpu_name="other"), killed("a"))
    )
    assert [group.title for group in found] == ["cpu", f"host {NOT_RECORDED}", "other"]
    assert [len(group.runs) for group in found] == [2, 1, 1]


def test_the_only_run_of_a_configuration_is_a_separate_group() -> None:
    assert titles(training("a"), training("a"), killed("b")) == ["cpu", f"host {NOT_RECORDED}"]


def test_servings_are_told_apart_by_the_data_of_the_training_that_they_served() -> None:
    runs = frame(
        training("a", run_id="t1"),
        training("b", run_id="t2", config__data__split_seed=1),
        served("s1", trained__run_id="t1", trained__config_hash="a", trained__data="digits"),
        served("s2", trained__run_id="t2", trained__config_hash="b", trained__data="digits"),
        # Its own training is gone; another one of the same configuration is there.
        served("s3", trained__run_id="gone", trained__config_hash="a", trained__data="digits"),
        served("s4", trained__run_id="lost", trained__config_hash="x", trained__data="faces"),
    )
    keys = peer_keys(runs).iloc[2:]
    assert list(keys["data"]) == ["digits", "digits", "digits", "faces"]
    assert keys["data_settings"].iloc[0] == keys["data_settings"].iloc[2]
    assert keys["data_settings"].nunique() == 3
    assert set(keys["metric"]) == {""}


def test_servings_of_other_scenarios_are_groups_unless_that_is_ignored() -> None:
    runs = (served("a", "single_stream"), served("a", "offline"))
    assert titles(*runs) == ["offline", "single stream"]
    assert titles(*runs, ignore=["scenario"]) == [""]


def test_generations_of_other_lengths_are_groups() -> None:
    runs = [
        served("a", "generate", serving__prompt_tokens=prompt, serving__output_tokens=8)
        for prompt in (16, 32)
    ]
    assert titles(*runs) == [f"prompts of {n} tokens, answers of 8" for n in (16, 32)]


def test_a_training_and_a_serving_are_never_in_one_group() -> None:
    assert titles(reached("a", 1.0), served("s")) == ["servings", "trainings"]
    several = (reached("a", 1.0), reached("b", 1.0, target__value=0.8), served("s"))
    assert titles(*several) == ["servings", "accuracy at 0.8", "accuracy at 0.9"]


def test_further_keys_split_groups_and_appear_in_titles() -> None:
    runs = frame(training("a"), training("b"))
    basis = Series(["electricity", "rental"], index=runs.index)
    assert [group.title for group in peer_groups(runs, more={"basis": basis})] == [
        "electricity",
        "rental",
    ]


def test_two_classes_of_one_name_are_two_groups_with_two_titles() -> None:
    runs = (
        training("a", config__data___target_="mine.Faces"),
        training("b", config__data___target_="theirs.Faces"),
    )
    assert titles(*runs) == ["mine.Faces", "theirs.Faces"]


def test_columns_that_no_run_has_are_no_difference() -> None:
    keys = peer_keys(DataFrame({"run_id": ["a", "b"], "config_hash": ["x", "y"]}))
    assert list(keys.columns) == list(KEYS)
    assert len(keys.drop_duplicates()) == 1
    assert peer_groups(DataFrame({"run_id": []})) == []


def test_a_list_of_dicts_becomes_a_text_for_each_of_its_leaves() -> None:
    """`host.gpus.name`: what kind of cards there are, without their indices."""
    gpus = [{"index": 0, "name": "H100"}, {"index": 1, "name": "H100"}]
    assert flat({"gpus": gpus}, "host.") == {
        "host.gpus.index": "0,1",
        "host.gpus.name": "H100,H100",
    }
    assert flat({"gpus": [], "ladder": [0.5, 0.9]}, "") == {"gpus": "", "ladder": "0.5,0.9"}


NEW = {"task__name": "classification", "task__kind": "multiclass", "task__sample": "image"}


def test_runs_of_older_versions_have_the_task_that_there_was() -> None:
    old, new = training("a"), training("b", **NEW)
    assert titles(old, new) == [""]
    keys = peer_keys(frame(old, new))
    assert list(keys["task"]) == ["classification"] * 2
    assert list(keys["sample"]) == ["image"] * 2  # from the other run on the same data


@pytest.mark.parametrize(
    ("metric", "task"),
    [
        ("rmse", "regression"),
        ("perplexity", "language_modelling"),
        ("loss", "classification"),
        ("mine", NOT_RECORDED),
    ],
)
def test_a_loop_without_a_task_has_the_first_that_reports_its_metric(
    metric: str, task: str
) -> None:
    assert list(peer_keys(frame(training("a", target__metric=metric)))["task"]) == [task]


def test_kinds_of_a_task_are_apart() -> None:
    runs = training("a", **NEW), training("b", **NEW | {"task__kind": "binary"})
    assert titles(*runs) == ["binary classification", "multiclass classification"]


def test_versions_of_the_data_are_apart() -> None:
    one, other = "a" * 64, "b" * 64
    runs = (
        training("a", **NEW, task__data_hash=one),
        training("a", **NEW, task__data_hash=one),
        training("a", **NEW, task__data_hash=other),
    )
    assert titles(*runs) == ["data version aaaaaaaa", "data version bbbbbbbb"]
    # A run that did not record it has the only version that there is.
    assert titles(runs[0], training("b", **NEW)) == [""]
    named = titles(*runs, training("b", **NEW))
    assert "data version not recorded" in named


def test_versions_of_different_data_are_no_difference() -> None:
    faces = {"config__data___target_": "mine.Faces", "task__data_hash": "b" * 64}
    runs = (training("a", **NEW, task__data_hash="a" * 64), training("b", **NEW, **faces))
    assert titles(*runs) == ["digits", "Faces"]


def test_a_serving_has_the_task_of_its_training() -> None:
    trained = training("a", **NEW | {"task__name": "regression", "task__kind": "regression"})
    runs = frame(trained, served("s", trained__run_id=trained["run_id"]))
    assert list(peer_keys(runs)["task"]) == ["regression"] * 2
