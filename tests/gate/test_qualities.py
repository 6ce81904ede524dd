"""Qualities of any task, and of a user's own metrics, from the record to the verdict."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from bench.config.gate import JudgeConfig
from bench.core.records.model import Quality
from bench.core.records.run import RunRecord
from bench.core.records.task import TaskFacts
from bench.gate.matching.compare import compare
from bench.gate.model import Comparison, Exit
from bench.gate.report.writers import as_json, junit_xml, markdown
from bench.gate.sides.baseline import read_baseline, write_baseline
from bench.gate.sides.read import read_side
from tests.gate.made import made_record, write_run

OWN = "val/f1 | <b>"  # a user may name a metric so
Directions = Mapping[str, Literal["max", "min"]]


def record_with(
    values: Mapping[str, float], directions: Directions | None = None, **task: Any
) -> RunRecord:
    """The record of a regression of these qualities on the test split."""
    record = made_record()
    facts = {"name": "regression", "kind": "regression", "sample": "row", **task}
    quality = Quality(at="end", num_samples=100, values=dict(values))
    made = TaskFacts(**facts, directions=dict(directions or {}))
    return replace(record, task=made, quality_test=quality)


def compared(folder: Path, base: RunRecord, candidate: RunRecord, **settings: Any) -> Comparison:
    """The comparison of two records, each written to a results folder and read from it."""
    for name, record in (("base", base), ("candidate", candidate)):
        write_run(folder / name, record)
    base_side, candidate_side = (read_side(folder / name) for name in ("base", "candidate"))
    return compare(base_side, candidate_side, JudgeConfig(**settings))


def verdicts(comparison: Comparison, *names: str) -> list[str | None]:
    """The verdict on each metric; None if it has no row."""
    rows = {row.metric.name: row.verdict for row in comparison.rows}
    return [rows.get(name) for name in names]


def test_the_main_quality_of_a_task_is_judged_and_others_on_request(tmp_path: Path) -> None:
    base = record_with({"rmse": 50.0, "mae": 40.0})
    # 0.6 of 50 are 1.2%, more than 1%; 0.3 of 40 are 0.75%, less.
    candidate = record_with({"rmse": 50.6, "mae": 40.3})
    by_default = compared(tmp_path / "default", base, candidate)
    assert verdicts(by_default, "rmse", "mae") == ["regression", None]
    chosen = compared(tmp_path / "chosen", base, candidate, metrics=["rmse", "mae"])
    assert verdicts(chosen, "rmse", "mae") == ["regression", "no change"]
    small = {"mae": 0.001}
    chosen = compared(tmp_path / "min", base, candidate, metrics=["mae"], min_effect=small)
    assert verdicts(chosen, "mae") == ["regression"]


@pytest.mark.parametrize(
    ("base", "candidate", "verdict"),
    [
        (-0.20, -0.25, "regression"),  # a quarter of 0.2 less; the sign of the base is no matter
        (-0.20, -0.15, "improvement"),
        (-0.20, 0.30, "improvement"),
        (0.30, -0.20, "regression"),
        (0.0, -0.20, "regression"),
    ],
)
def test_r2_may_be_negative(tmp_path: Path, base: float, candidate: float, verdict: str) -> None:
    one, other = (record_with({"r2": value}) for value in (base, candidate))
    comparison = compared(tmp_path, one, other, metrics=["r2"])
    assert verdicts(comparison, "r2") == [verdict]
    assert comparison.rows[0].ratio is None
    assert "R2" not in junit_xml(comparison).decode()  # the row goes by the metric's name
    assert "r2" in junit_xml(comparison).decode()


@pytest.mark.parametrize(("better", "verdict"), [("max", "improvement"), ("min", "regression")])
def test_a_metric_of_ones_own_has_the_direction_of_the_task(
    tmp_path: Path, better: Literal["max", "min"], verdict: str
) -> None:
    base, candidate = (
        record_with({"rmse": 1.0, OWN: value}, {OWN: better}) for value in (0.5, 0.6)
    )
    name = f"quality_test.{OWN}"
    assert verdicts(compared(tmp_path / "a", base, candidate), name) == [None]
    comparison = compared(tmp_path / "b", base, candidate, metrics=[name])
    assert verdicts(comparison, name) == [verdict]
    assert r"val/f1 \| &#60;b&#62;" in markdown(comparison)
    assert json.loads(as_json(comparison))["rows"][0]["metric"]["name"] == name
    assert "<b>" not in junit_xml(comparison).decode()


def test_the_target_gives_the_direction_of_its_metric(tmp_path: Path) -> None:
    def record(value: float) -> RunRecord:
        made = record_with({"mine": value})
        assert made.target is not None
        return replace(made, target=replace(made.target, metric="mine", mode="min"))

    comparison = compared(tmp_path, record(0.5), record(0.6), metrics=["quality_test.mine"])
    assert verdicts(comparison, "quality_test.mine") == ["regression"]


def test_a_metric_without_a_direction_is_refused(tmp_path: Path) -> None:
    base, candidate = (record_with({"mine": value}) for value in (0.5, 0.6))
    comparison = compared(tmp_path / "a", base, candidate, metrics=["quality_test.mine"])
    assert comparison.exit_code == Exit.INCOMPARABLE
    (problem,) = comparison.problems
    assert problem.message.startswith(
        "metrics=quality_test.mine: whether more or less of it is better is not known; take"
    )
    both: tuple[Directions, ...] = ({"mine": "max"}, {"mine": "min"})
    base, candidate = (record_with({"mine": 0.5}, each) for each in both)
    comparison = compared(tmp_path / "b", base, candidate, metrics=["quality_test.mine"])
    assert "is better differs between the runs" in comparison.problems[0].message


def test_a_metric_that_no_run_has_is_missing(tmp_path: Path) -> None:
    record = record_with({"rmse": 0.5})
    comparison = compared(tmp_path, record, record, metrics=["rmse", "quality_test.mine"])
    assert [each.message.partition(";")[0] for each in comparison.problems] == [
        "metrics=quality_test.mine: no run of either side has it"
    ]


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"name": "module"}, "task.name differs: regression / module; measure both alike"),
        ({"kind": "binary"}, "task.kind differs: regression / binary; measure both alike"),
        (
            {"data_hash": "b" * 64},
            "task.data_hash differs: aaaaaaaaaaaa / bbbbbbbbbbbb (the data have changed); measure "
            "both alike, or force=[task.data_hash]",
        ),
    ],
)
def test_other_tasks_and_data_are_incomparable(
    tmp_path: Path, task: dict[str, Any], message: str
) -> None:
    base = record_with({"rmse": 1.0}, data_hash="a" * 64)
    candidate = record_with({"rmse": 1.0}, **{"data_hash": "a" * 64, **task})
    comparison = compared(tmp_path, base, candidate)
    assert comparison.exit_code == Exit.INCOMPARABLE
    assert [problem.message[: len(message)] for problem in comparison.problems] == [message]


def test_a_record_without_a_task_is_compared(tmp_path: Path) -> None:
    old = replace(made_record(), task=None)
    new = replace(old, task=TaskFacts(name="classification", kind="multiclass", sample="image"))
    comparison = compared(tmp_path, old, new, metrics=["accuracy", "samples_to_target"])
    assert comparison.exit_code == Exit.PASS
    assert verdicts(comparison, "accuracy") == ["no change"]
    assert any("base: not all runs record task.name, task.kind" in r for r in comparison.remarks)


def test_a_baseline_keeps_metrics_of_ones_own(tmp_path: Path) -> None:
    write_run(tmp_path / "results", record_with({"r2": -0.5, "mine": -2.0}, {"mine": "max"}))
    side = read_side(tmp_path / "results")
    write_baseline(tmp_path / "baseline.json", side)
    (run,) = read_baseline(tmp_path / "baseline.json").runs
    assert run.values == side.runs[0].values
    assert (run.values["r2"], run.values["quality_test.mine"]) == (-0.5, -2.0)
    assert run.directions == {"quality_test.mine": "max"}


def test_an_impossible_value_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path, record_with({"rmse": -0.5}))
    (problem,) = read_side(tmp_path).problems
    assert "cannot be compared (rmse=-0.5: cannot be)" in problem.message
