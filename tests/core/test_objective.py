"""What a sweeper that searches is told of a job."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from bench.core.objective import objective_of, require_objective
from bench.core.outcome import outcome_record
from bench.core.records.model import Quality
from bench.core.records.run import RunIdentity, RunRecord
from tests.rows import curve

IDENTITY = RunIdentity(
    run_id="x", command="train", config_hash="0" * 12, seed=0, repeat=0, started_utc="2026-01-01"
)
CONFIG: dict[str, Any] = {"target": {"metric": "accuracy", "value": 0.9}}
TTA, RATE = "target.time_to_target_s", "serving.throughput_per_s"


def run(*accuracies: float, **changes: Any) -> RunRecord:
    """A run with an evaluation each second of the clock."""
    record = outcome_record(IDENTITY, CONFIG, curve(list(accuracies)), status="ok")
    return replace(record, **changes)


def test_the_slowest_run_of_a_job_counts() -> None:
    slow, fast = run(0.5, 0.6, 0.95), run(0.5, 0.95)
    assert objective_of(TTA, [fast, slow]) == slow.target.time_to_target_s  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "runs",
    [
        [],
        [run(0.5, 0.6)],
        [run(0.5, 0.95), run(0.5, 0.6)],
        [run(0.5, 0.95, status="failed")],
        [run(0.5, 0.95, status="refused")],
    ],
    ids=["refused job", "missed", "one of two missed", "failed", "refused run"],
)
def test_what_is_no_success_is_as_bad_as_can_be(runs: list[RunRecord]) -> None:
    assert objective_of(TTA, runs) == math.inf
    assert objective_of("energy_total_j", runs) == math.inf  # a run that gave up early spent little
    assert objective_of(RATE, runs) == -math.inf


def test_a_number_that_was_not_measured_is_as_bad_as_can_be() -> None:
    assert objective_of("target.energy_to_target_j", [run(0.95, energy_total_j=None)]) > 0
    assert objective_of("utilization.memory_peak_bytes", [run(0.95)]) == math.inf


def test_the_quality_of_a_run_that_missed_its_target_counts() -> None:
    quality = Quality(at="end", values={"accuracy": 0.6}, num_samples=10)
    assert objective_of("quality.accuracy", [run(0.5, 0.6, quality=quality)]) == 0.6


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("target.time_to_targt_s", "did you mean target.time_to_target_s?"),
        ("seed", "neither more nor less of it is better"),
        ("quality.my_metric", "neither more nor less of it is better"),
    ],
)
def test_a_quantity_that_cannot_be_an_objective_is_refused(name: str, words: str) -> None:
    with pytest.raises(ValueError, match=f"objective={name}") as refused:
        require_objective(name)
    assert words in str(refused.value)
