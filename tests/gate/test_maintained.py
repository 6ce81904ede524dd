"""The gate on runs of bench.maintain: exact counts, and those of policies that weigh costs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bench.config.gate import JudgeConfig
from bench.core.records.run import RunRecord
from bench.gate.matching.compare import compare
from bench.gate.model import Comparison, GateRow
from bench.gate.sides.read import read_side
from bench.gate.sides.reduce import gate_run
from tests.analysis.made import identity
from tests.analysis.made_maintained import Maintained, maintained_record, make_maintained

EXACT = {
    "on_target_frac",
    "excess_errors",
    "num_retrains",
    "retrain_samples",
    "labels_used",
    "num_false_alarms",
}


def record(made: Maintained, config: dict[str, Any] | None = None) -> RunRecord:
    """The record of a run; `config` replaces keys of its groups."""
    found, _ = maintained_record(made, identity("maintain", made.config, made.start))
    groups = {key: {**found.config[key], **group} for key, group in (config or {}).items()}
    return replace(found, config={**found.config, **groups})


def compared(tmp_path: Path, base: Maintained, candidate: Maintained, num: int = 6) -> Comparison:
    """Sides of one configuration: that of the candidate is not recorded in its hash."""
    for name, made in (("base", base), ("head", candidate)):
        for repeat in range(num):
            start = made.start + timedelta(seconds=60 * repeat)
            make_maintained(tmp_path / name, replace(made, repeat=repeat, start=start))
    return compare(read_side(tmp_path / "base"), read_side(tmp_path / "head"), JudgeConfig())


def rows_of(comparison: Comparison) -> dict[str, GateRow]:
    return {row.metric.name: row for row in comparison.rows}


def test_the_same_code_has_equal_exact_rows_and_passes(tmp_path: Path) -> None:
    made = Maintained(policy="drift", label="counter")
    comparison = compared(tmp_path, made, made)
    rows = rows_of(comparison)
    assert {name for name, row in rows.items() if row.kind == "exact"} == EXACT
    assert {row.verdict for row in comparison.rows} == {"no change"}
    (name,) = {row.configuration for row in comparison.rows}
    assert name == "maintain drift two_sample Mlp batch_size=32"
    assert comparison.exit_code == 0


def test_code_that_retrains_more_is_a_regression_that_names_it(tmp_path: Path) -> None:
    """The distance is no key of the configuration, as a threshold in the code would be."""
    base = Maintained(policy="drift", schedule="seasonal", shift=0.5)
    comparison = compared(tmp_path, base, replace(base, shift=0.1))
    row = rows_of(comparison)["num_retrains"]
    assert (row.kind, row.verdict) == ("exact", "regression")
    assert row.candidate is not None
    assert row.base is not None
    assert row.candidate > row.base
    assert comparison.exit_code == 1


@pytest.mark.parametrize(
    ("policy", "config", "is_exact"),
    [
        ("every", {}, True),
        ("drift", {}, True),
        ("oracle", {}, False),
        ("oracle", {"retrain": {"usd": 0.01}}, True),
        ("oracle", {"retrain": {"usd": 0.01}, "policy": {"objective": "energy"}}, False),
        ("every", {"stream": {"rate_per_s": 100.0}}, False),
        ("oracle", {"retrain": {"usd": 0.01}, "stream": {"rate_per_s": 100.0}}, False),
    ],
)
def test_what_depends_on_measured_costs_is_not_exact(
    policy: Any, config: dict[str, Any], is_exact: bool
) -> None:
    run = gate_run(record(Maintained(policy=policy), config))
    assert set(run.inexact) == (set() if is_exact else EXACT)


def test_a_policy_that_weighs_costs_is_judged_as_measured_with_a_note(tmp_path: Path) -> None:
    made = Maintained(policy="oracle", label="counter")
    rows = rows_of(compared(tmp_path, made, made))
    assert {rows[name].kind for name in EXACT & set(rows)} == {"measured"}
    assert "depends on measured times or costs" in rows["num_retrains"].note


def test_the_stream_is_the_data_that_has_to_be_the_same() -> None:
    assert gate_run(record(Maintained())).facts["data"] == "synthetic"


def test_other_commands_are_exact_as_before() -> None:
    assert gate_run(replace(record(Maintained(policy="oracle")), maintenance=None)).inexact == []
