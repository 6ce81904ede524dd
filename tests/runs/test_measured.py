"""What the batch job of a run adds to the judgement of its health."""

from __future__ import annotations

from typing import Any

import pytest

from bench.core.records.health import Health
from bench.core.records.run import RunRecord
from bench.core.store import new_identity
from bench.runs.measured import measured_record


def record(scheduler: Any, health: Health | None) -> RunRecord:
    return measured_record(
        new_identity("train", "0" * 64, 0, 0),
        {},
        [],
        None,
        host={"scheduler": scheduler},
        fields={"health": health},
        status="ok",
        error=None,
    )


def test_a_run_whose_node_may_have_had_other_jobs_is_not_comparable() -> None:
    quiet = record({"kind": "slurm", "exclusive": False}, Health(comparable=True))
    assert quiet.health == Health(comparable=False, flags=["shared_node"])
    busy = record({"exclusive": False}, Health(comparable=False, flags=["other_load"]))
    assert busy.health == Health(comparable=False, flags=["other_load", "shared_node"])


@pytest.mark.parametrize("scheduler", [None, {"exclusive": True}, {"exclusive": None}])
def test_a_run_alone_or_outside_of_a_job_keeps_its_health(scheduler: Any) -> None:
    """Where SLURM does not answer nothing is known against the run; the record says so."""
    health = Health(comparable=True, sampler_overhead_frac=0.001)
    assert record(scheduler, health).health == health


def test_a_run_that_was_not_judged_is_not_flagged() -> None:
    assert record({"exclusive": False}, None).health is None
