"""What the page's form chooses from, and how it chooses (in a browser, as on the page)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from analysis.load.runs import load_runs
from analysis.page.decide import COSTS, LIMITS, decisions
from tests.analysis.made import Made, Served, make_served, make_sweep


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Two trained configurations, one of which mostly missed; one of them served in two ways."""
    results = tmp_path_factory.mktemp("decide")
    folders = make_sweep(results, batch_sizes=(32, 128), seeds=range(3), missed=(3, 4))
    make_served(results, folders[0], Served(num_requests=700))
    make_served(results, folders[0], Served(num_requests=700, compression="int8_static"))
    return decisions(load_runs([results]).runs)


def of(groups: list[dict[str, Any]], command: str) -> dict[str, Any]:
    (group,) = (group for group in groups if group["title"].startswith(command))
    return group


def test_groups_are_those_that_may_be_compared(groups: list[dict[str, Any]]) -> None:
    assert len(groups) == 2
    for command in ("train", "serve"):
        group = of(groups, command)
        assert (group["metric"], group["better"]) == ("accuracy", "max")
        assert len(group["choices"]) == 2
        for choice in group["choices"]:
            assert {*LIMITS, "quality", "training", "each", "labels"} <= choice.keys()
            assert choice["training"].keys() == choice["each"].keys() == set(COSTS)


def test_a_configuration_that_mostly_missed_has_no_cost_of_training(
    groups: list[dict[str, Any]],
) -> None:
    choices = of(groups, "train")["choices"]
    hit, missed = (
        next(each["training"]["time_s"] for each in choices if size in each["name"])
        for size in ("32", "128")
    )
    assert hit[0] is not None
    assert hit[1] <= hit[0] <= hit[2]
    assert missed[0] is None


def test_a_served_model_costs_its_training_and_each_prediction(
    groups: list[dict[str, Any]],
) -> None:
    for choice in of(groups, "serve")["choices"]:
        assert choice["num"] == 1
        # One run has no interval.
        assert choice["training"]["time_s"][0] is not None
        assert choice["training"]["time_s"][1:] == [None, None]
        assert choice["each"]["energy_j"][0] is not None


def test_what_failed_is_left_out_and_what_is_not_comparable_is_marked(tmp_path: Path) -> None:
    make_sweep(tmp_path, batch_sizes=(32, 128, 512), seeds=range(2), unhealthy=(0,), failed=(2, 3))
    (group,) = decisions(load_runs([tmp_path]).runs)
    assert {choice["name"]: choice["unfit"] for choice in group["choices"]} == {
        "batch_size=32": "1 of 2 runs not comparable",
        "batch_size=512": "",
    }
    assert group["left_out"] == [
        {"name": "batch_size=128", "reason": "failed: loss is nan at step 96"}
    ]


def test_servings_say_how_they_were_served_and_invalid_ones_why_not(tmp_path: Path) -> None:
    (trained,) = make_sweep(tmp_path, batch_sizes=(32,), seeds=(0,))
    make_served(tmp_path, trained, Served(num_requests=700, place="edge"))
    invalid = make_served(tmp_path, trained, Served(num_requests=700, compression="int8_static"))
    raw = json.loads((invalid / "run.json").read_text())
    raw["serving"] |= {"valid": False, "invalid_reasons": ["too few queries", "p99 over 10 ms"]}
    (invalid / "run.json").write_text(json.dumps(raw))
    group = of(decisions(load_runs([tmp_path]).runs), "serve")
    assert [choice["how"] for choice in group["choices"]] == [
        "backend onnxruntime on cpu, not compressed, placement edge (round trip 4 ms)"
    ]
    (left,) = group["left_out"]
    assert left["reason"] == "1 of 1 passes not valid: too few queries; p99 over 10 ms"


def test_without_runs_that_cost_anything_there_is_no_form(tmp_path: Path) -> None:
    make_sweep(tmp_path, batch_sizes=(32,), seeds=(0,), base=Made(outcome="failed"))
    assert decisions(load_runs([tmp_path]).runs) == []
