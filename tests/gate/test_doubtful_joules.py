"""Joules that the gate ignores: those of flagged runs, older files and mixed components."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.core.labels import ENERGY_FLAGS, ROW_FLAGS
from bench.gate.model import GateRun
from bench.gate.run.noise import add_noise
from bench.gate.sides.baseline import drift, read_baseline, write_baseline
from bench.gate.sides.joules import joule_flags, without_joules_in_doubt
from bench.gate.sides.noise import read_noise
from bench.gate.sides.reduce import gate_run
from tests.gate.made import side_of
from tests.gate.made_joules import CPU, GPU, LOST, MODELLED_CPU, compared, metered, names, row, side

TIME_AND_JOULES = ["time_to_target_s", "energy_to_target_j", "gpu_energy_j", "cpu_energy_j"]


# Joules that health speaks against


@pytest.mark.parametrize("flag", ENERGY_FLAGS)
def test_a_flagged_run_has_no_joules_whatever_its_record_holds(flag: str) -> None:
    run = gate_run(metered([CPU], flags=[flag]))
    assert not any("energy" in name for name in run.values)
    assert run.modelled == []
    assert not any("energy" in name for name, value in run.facts.items() if value is not None)
    assert "time_to_target_s" in run.values
    assert without_joules_in_doubt(metered([CPU])) == metered([CPU])


def as_true(flag: str) -> dict[str, Any]:
    return {flag: True}


@pytest.mark.parametrize("flag", ROW_FLAGS)
def test_flagged_joules_decide_nothing(flag: str) -> None:
    record = metered([GPU, CPU])
    flagged = [replace(record.energy[0], **as_true(flag)), *record.energy[1:]]
    run = gate_run(replace(record, energy=flagged))
    assert not any("energy" in name for name in run.values)
    assert run.flags == [flag]
    runs = [*side([GPU, CPU]).runs[1:], run]
    comparison = compared(side([GPU, CPU]), side_of(runs), metrics=TIME_AND_JOULES)
    assert row(comparison, "gpu_energy_j").num_candidate == 5
    assert f"joules are not compared of candidate {run.run_id} ({flag})" in comparison.remarks[0]


def test_modelled_joules_need_no_flag() -> None:
    """On a small machine, the clock of a short run is below the resolution of the model."""
    record = metered([MODELLED_CPU])
    rows = [replace(row, below_resolution=True) for row in record.energy]
    assert joule_flags(replace(record, energy=rows)) == []


@pytest.mark.parametrize("flag", ENERGY_FLAGS)
def test_flagged_runs_miss_in_rows_of_joules_only_and_are_named(flag: str) -> None:
    runs = [*side([GPU, CPU]).runs]
    runs[2] = gate_run(metered([CPU], repeat=2, flags=[flag]))
    comparison = compared(side([GPU, CPU]), side_of(runs), metrics=TIME_AND_JOULES)
    assert comparison.exit_code == 0
    assert row(comparison, "time_to_target_s").num_candidate == 6
    assert row(comparison, "gpu_energy_j").num_candidate == 5
    assert row(comparison, "energy_to_target_j").note.startswith("1 of 6 pairs left out: no value")
    assert comparison.remarks == [
        f"train Mlp digits batch_size=32: joules are not compared of candidate {runs[2].run_id} "
        f"({flag}); all else is"
    ]
    times = compared(side([GPU, CPU]), side_of(runs), metrics=["time_to_target_s"])
    assert times.remarks == []


def test_a_side_of_flagged_runs_only_is_too_little_to_compare_joules() -> None:
    flagged = side([CPU], flags=["gpu_energy_missing"])
    comparison = compared(side([GPU, CPU]), flagged)
    assert comparison.exit_code == 3
    messages = [problem.message for problem in comparison.problems]
    assert "energy_to_target_j: only base has it" in messages[0]
    assert not any("gpu_energy_j" in message for message in messages)  # follows from the total
    alone = compared(side([GPU, CPU]), flagged, metrics=["gpu_energy_j"])
    assert "gpu_energy_j: only base has it" in alone.problems[0].message
    both = compared(flagged, flagged)
    assert both.exit_code == 0
    assert "(gpu_energy_missing)" in both.remarks[0]


# Baselines and noise


def of_an_older_version(run: GateRun) -> GateRun:
    """As a baseline file of schema 1 holds it: totals, their labels, and no components."""
    facts = {
        name: value
        for name, value in run.facts.items()
        if "components" not in name and "label." not in name
    }
    values = {name: value for name, value in run.values.items() if name[:4] not in PART_PREFIXES}
    modelled = [name for name in run.modelled if name[:4] not in PART_PREFIXES]
    return replace(run, facts={**facts, "schema_version": 1}, values=values, modelled=modelled)


PART_PREFIXES = ("gpu_", "cpu_", "dram")


def test_an_older_baseline_is_compared_by_its_totals_and_says_what_it_does_not_record(
    tmp_path: Path,
) -> None:
    path = tmp_path / "baseline.json"
    write_baseline(path, side_of([of_an_older_version(run) for run in side([GPU, CPU]).runs]))
    now = side([GPU, CPU], factors={"gpu0": 1.2})
    comparison = compared(read_baseline(path), now)
    assert comparison.problems == []
    assert row(comparison, "energy_to_target_j").verdict == "regression"
    assert not {"gpu_energy_j", "gpu_energy_per_prediction_j"} & names(comparison)
    assert comparison.remarks == [
        "base: not all runs record energy_components, serving.energy_components, which may differ"
    ]
    assert any("energy_to_target_j has drifted by +18.0%" in line for line in drift(path, now))


def test_a_baseline_keeps_components_and_nothing_drifts_between_others(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    whole, without = side([GPU, CPU]), side([CPU], unavailable=[LOST])
    write_baseline(path, whole)
    assert read_baseline(path).runs == whole.runs
    assert compared(read_baseline(path), without).exit_code == 4
    assert drift(path, without) == []
    lines = drift(path, side([GPU, CPU], factors={"gpu0": 1.2}))
    moved = [line.partition(": ")[2].partition(" ")[0] for line in lines]
    assert moved == [
        "energy_to_target_j",
        "gpu_energy_j",
        "energy_per_sample_j",
        "energy_per_prediction_j",
        "gpu_energy_per_prediction_j",
    ]
    # Accepted without the card, the total begins anew; that of the CPU stays.
    write_baseline(path, without)
    lines = drift(path, side([CPU], factors={"cpu0": 1.5}))
    assert [line.partition(": ")[2].partition(" ")[0] for line in lines] == [
        "energy_to_target_j",
        "energy_per_sample_j",
        "energy_per_prediction_j",
    ]
    assert all("100.1 -> 150.2" in line or "0.1001" in line or "0.01001" in line for line in lines)


def test_a_baseline_of_mixed_components_has_no_median_of_its_total(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    runs = [*side([GPU, CPU]).runs]
    runs[2] = gate_run(metered([CPU], repeat=2))
    write_baseline(path, side_of(runs))
    lines = drift(path, side([GPU, CPU], factors={"gpu0": 2.0, "cpu0": 2.0}))
    moved = {line.partition(": ")[2].partition(" ")[0] for line in lines}
    assert "energy_to_target_j" not in moved
    assert "gpu_energy_j" in moved


def test_joules_of_other_components_are_no_noise(tmp_path: Path) -> None:
    path = tmp_path / "noise.json"
    mixed = [*side([GPU, CPU]).runs]
    mixed[2] = gate_run(metered([CPU], repeat=2))
    rows = add_noise(path, side([GPU, CPU]), side_of(mixed))
    stored = {each.metric for each in rows}
    assert not {"energy_to_target_j", "energy_per_sample_j"} & stored
    assert {"gpu_energy_j", "cpu_energy_j", "time_to_target_s"} < stored
    first = mixed[0]
    known = read_noise(path).find(first)
    assert known is not None
    assert 0 < known.floor_frac("gpu_energy_j") < 0.02
