"""The joules of a record if only its curve or an old file exists, or if a meter failed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.core import store
from bench.core.labels import ENERGY_FLAGS
from bench.core.outcome import outcome_record, without_doubtful_joules
from bench.core.records.curve import CurveRow
from bench.core.records.energy import EnergyRow, PhaseEnergy
from bench.core.records.health import Health
from bench.core.records.maintenance import Maintenance
from bench.core.records.run import RunIdentity, Status
from bench.core.records.serving import Serving
from bench.core.target import Spent
from tests.rows import curve

CONFIG: dict[str, Any] = {
    "seed": 0,
    "repeat": 0,
    "target": {"metric": "accuracy", "value": 0.9, "eval_every_samples": 100, "ladder": [0.9]},
}


@pytest.fixture
def identity() -> RunIdentity:
    return store.new_identity("train", "0123456789ab", 0, 0)


@pytest.fixture
def folder(tmp_path: Path, identity: RunIdentity) -> Path:
    return store.create_run_folder(tmp_path, identity, CONFIG)


def metered(num_rows: int) -> list[CurveRow]:
    """10 J a row, of which 2 J went into the evaluation and 1 J into what was written."""
    return [
        replace(row, eval_energy_j=2.0 * n, checkpoint_energy_j=1.0 * n)
        for n, row in enumerate(curve([0.5] * num_rows), 1)
    ]


@pytest.mark.parametrize(
    ("status", "censored_at_s"),
    [
        ("ok", 6.0),
        ("interrupted", 6.0),
        ("failed", None),
        ("killed", None),
        ("out_of_memory", None),
    ],
)
def test_only_what_might_have_hit_later_is_censored(
    identity: RunIdentity, status: Status, censored_at_s: float | None
) -> None:
    record = outcome_record(identity, CONFIG, curve([0.5] * 3), status=status)
    assert record.target is not None
    assert record.target.censored_at_s == censored_at_s


def test_a_killed_run_has_the_energy_by_phase_of_its_last_evaluation(folder: Path) -> None:
    writer = store.CurveWriter(folder)
    for row in metered(3):
        writer.append(row)
    writer.close()

    record = store.read_record(folder)

    assert record.status == "interrupted"
    # Of 30 J; what bounds the split is not in the curve.
    assert record.phase_energy == PhaseEnergy(train_j=21.0, eval_j=6.0, checkpoint_j=3.0)
    assert record.phase_energy.eval_error_frac is None
    assert record.phase_energy.below_resolution is None


@pytest.mark.parametrize("missing", ["energy_total_j", "eval_energy_j", "checkpoint_energy_j"])
def test_a_curve_that_does_not_tell_leaves_no_energy_by_phase(
    missing: str, identity: RunIdentity
) -> None:
    nothing: dict[str, Any] = {missing: None}
    rows = [replace(row, **nothing) for row in metered(2)]
    assert outcome_record(identity, CONFIG, rows, status="interrupted").phase_energy is None


def test_no_evaluation_leaves_no_energy_by_phase(identity: RunIdentity) -> None:
    assert outcome_record(identity, CONFIG, [], status="interrupted").phase_energy is None


def test_a_total_that_was_lost_after_the_last_evaluation_takes_its_phases_with_it(
    identity: RunIdentity,
) -> None:
    spent = Spent(time_s=9.0, energy_j=None, samples=300)
    record = outcome_record(identity, CONFIG, metered(2), status="ok", spent=spent)
    assert (record.energy_total_j, record.phase_energy) == (None, None)


def test_a_record_from_before_energy_by_phase_reads_without_it(
    folder: Path, identity: RunIdentity
) -> None:
    path = store.write_record(folder, outcome_record(identity, CONFIG, metered(2), status="ok"))
    old = json.loads(path.read_text())
    assert old.pop("phase_energy")["train_j"] == 14.0
    path.write_text(json.dumps(old))

    record = store.read_record(folder)

    assert record.phase_energy is None
    assert record.energy_total_j == 20.0


def test_a_curve_from_before_energy_by_phase_reads_without_it(folder: Path) -> None:
    writer = store.CurveWriter(folder)
    writer.append(metered(1)[0])
    writer.close()
    path = folder / "curve.jsonl"
    line = json.loads(path.read_text())
    del line["eval_energy_j"], line["checkpoint_energy_j"]
    path.write_text(json.dumps(line) + "\n")

    (row,) = store.read_curve(folder)

    assert (row.energy_total_j, row.eval_energy_j, row.checkpoint_energy_j) == (10.0, None, None)
    assert store.read_record(folder).phase_energy is None


@pytest.mark.parametrize("flag", ENERGY_FLAGS)
def test_joules_that_a_flag_speaks_against_are_in_no_number_of_the_record(
    flag: str, identity: RunIdentity
) -> None:
    """What was read before a meter failed is a part of what was used: it looks like a saving."""
    row = EnergyRow(component="cpu0", energy_j=12.0, source="x", label="modelled")
    serving = Serving(
        num_requests=5,
        latency_p50_ms=1.0,
        energy_per_prediction_j=0.5,
        energy_per_prediction_label="modelled",
    )
    whole = replace(
        outcome_record(identity, CONFIG, curve([0.5, 0.95]), status="ok"),
        energy=[row],
        serving=serving,
        health=Health(comparable=True, flags=[flag]),
    )
    assert whole.target is not None
    assert whole.target.energy_to_target_j is not None
    kept = without_doubtful_joules(whole)

    assert (kept.energy_total_j, kept.energy_label, kept.phase_energy) == (None, None, None)
    assert kept.target is not None
    assert kept.target.time_to_target_s == whole.target.time_to_target_s
    assert (kept.target.energy_to_target_j, kept.target.energy_per_sample_j) == (None, None)
    assert [rung.energy_j for rung in kept.ladder] == [None]
    assert kept.serving == replace(
        serving, energy_per_prediction_j=None, energy_per_prediction_label=None
    )
    assert kept.energy == [row]  # what was measured of a component is no sum


@pytest.mark.parametrize(
    ("price", "cost_usd"),
    [({"usd_per_hour": 1.0, "usd_per_kwh": None}, 3.0), ({"usd_per_kwh": 0.2}, None), (None, None)],
)
def test_the_upkeep_of_a_deployment_goes_but_for_money_that_pays_no_joules(
    price: dict[str, Any] | None, cost_usd: float | None, identity: RunIdentity
) -> None:
    kept = Maintenance(
        policy="every",
        num_windows=2,
        num_predictions=200,
        target_value=0.9,
        num_errors=12,
        retrain_init_s=0.3,
        upkeep_j=50.0,
        detect_energy_per_prediction_j=1e-4,
        energy_per_1000_on_target_j=500.0,
        emissions_gco2e=0.1,
        cost_usd=3.0,
    )
    whole = replace(
        outcome_record(identity, {**CONFIG, "price": price}, [], status="ok"),
        maintenance=kept,
        health=Health(comparable=True, flags=[ENERGY_FLAGS[0]]),
    )
    assert without_doubtful_joules(whole).maintenance == replace(
        kept,
        upkeep_j=None,
        detect_energy_per_prediction_j=None,
        energy_per_1000_on_target_j=None,
        emissions_gco2e=None,
        cost_usd=cost_usd,
    )


def test_a_deployment_has_no_target_of_its_own(identity: RunIdentity) -> None:
    record = outcome_record(replace(identity, command="maintain"), CONFIG, [], status="ok")
    assert (record.target, record.ladder) == (None, [])


def test_other_flags_leave_the_joules(identity: RunIdentity) -> None:
    whole = replace(
        outcome_record(identity, CONFIG, curve([0.5, 0.95]), status="ok"),
        health=Health(comparable=False, flags=["other_load"]),
    )
    assert without_doubtful_joules(whole) is whole
