"""Joules by part of the machine: which are judged, which only shown, which incomparable."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.core.labels import ComponentEnergy
from bench.gate.report.cells import cells
from bench.gate.sides.joules import by_part
from bench.gate.sides.reduce import gate_run
from tests.gate.made import side_of
from tests.gate.made_joules import (
    CPU,
    GPU,
    LOST,
    MODELLED_CPU,
    compared,
    metered,
    names,
    row,
    side,
    verdicts,
)

JOULES = ["energy_to_target_j", "gpu_energy_j", "cpu_energy_j", "dram_energy_j"]


# What is judged


def test_components_of_a_part_are_added_and_have_the_weakest_label() -> None:
    rows = [
        ComponentEnergy(component="gpu0", energy_j=1.0, label="counter"),
        ComponentEnergy(component="gpu3", energy_j=2.0, label="integrated"),
        ComponentEnergy(component="cpu", energy_j=4.0, label="modelled"),
        ComponentEnergy(component="wall", energy_j=8.0, label="counter"),
    ]
    found = {name: (p.energy_j, p.label, p.num) for name, p in by_part(rows).items()}
    assert found == {
        "gpu": (3.0, "integrated", 2),
        "cpu": (4.0, "modelled", 1),
        "wall": (8.0, "counter", 1),
    }


def test_a_counted_gpu_is_judged_even_with_a_modelled_cpu() -> None:
    """The commonest machine in a cloud: no counter of the CPU, 90% of the joules counted."""
    base, candidate = side([GPU, MODELLED_CPU]), side([GPU, MODELLED_CPU], factors={"gpu0": 1.2})
    comparison = compared(base, candidate)
    assert comparison.exit_code == 1
    assert verdicts(comparison, *JOULES[:3], "energy_per_sample_j", "energy_per_prediction_j") == {
        "energy_to_target_j": "not judged",
        "gpu_energy_j": "regression",
        "cpu_energy_j": "not judged",
        "energy_per_sample_j": "not judged",
        "energy_per_prediction_j": "not judged",
    }
    assert row(comparison, "gpu_energy_per_prediction_j").verdict == "regression"
    assert cells(row(comparison, "cpu_energy_j"))["verdict"] == "modelled, not judged"
    assert cells(row(comparison, "energy_to_target_j"))["verdict"] == "modelled, not judged"
    assert compared(base, base).exit_code == 0


def test_the_parts_are_judged_in_place_of_a_total_of_several() -> None:
    base = side([GPU, CPU])
    comparison = compared(base, side([GPU, CPU], factors={"cpu0": 1.5}))
    total = row(comparison, "energy_to_target_j")
    assert (total.kind, total.verdict, total.p) == ("sum", "not judged", None)
    assert total.base == pytest.approx(1001, abs=0.01)  # medians of SPREAD: (1 + 1.002) / 2
    assert total.note == "judged by its parts: gpu_energy_j, cpu_energy_j"
    assert verdicts(comparison, "gpu_energy_j", "cpu_energy_j") == {
        "gpu_energy_j": "no change",
        "cpu_energy_j": "regression",
    }
    assert row(comparison, "energy_per_sample_j").kind == "measured"  # has no parts of its own


def test_a_total_of_one_part_is_judged_as_a_total() -> None:
    comparison = compared(side([CPU]), side([CPU], factors={"cpu0": 1.2}))
    assert {"cpu_energy_j", "cpu_energy_per_prediction_j"}.isdisjoint(names(comparison))
    assert row(comparison, "energy_to_target_j").verdict == "regression"
    asked = compared(side([CPU]), side([CPU]), metrics=["energy_to_target_j", "cpu_energy_j"])
    assert names(asked) == {"energy_to_target_j", "cpu_energy_j"}


def test_a_total_that_is_asked_for_alone_is_judged() -> None:
    sides = side([GPU, CPU]), side([GPU, CPU], factors={"gpu0": 1.2})
    comparison = compared(*sides, metrics=["energy_to_target_j"])
    assert verdicts(comparison, "energy_to_target_j") == {"energy_to_target_j": "regression"}
    comparison = compared(*sides, metrics=["energy_to_target_j", "gpu_energy_j"])
    assert row(comparison, "energy_to_target_j").kind == "measured"  # not all of its parts are


def test_the_total_is_judged_if_a_part_has_no_metric() -> None:
    parts = [GPU, ("wall", 300.0, "counter")]
    comparison = compared(side(parts), side(parts, factors={"wall": 2.0}))
    assert verdicts(comparison, "energy_to_target_j", "gpu_energy_j") == {
        "energy_to_target_j": "regression",
        "gpu_energy_j": "no change",
    }


def test_a_total_is_judged_too_where_the_clock_went_on_beyond_the_target() -> None:
    """Parts are of the whole clock, here 80 J more each: a loss on the way there may hide."""
    base, candidate = (
        side([GPU, CPU], factors={"gpu0": factor}, after_target_j=after_j)
        for factor, after_j in ((1.0, 580.0), (1.2, 400.0))
    )
    comparison = compared(base, candidate)
    assert verdicts(comparison, "energy_to_target_j", "gpu_energy_j") == {
        "energy_to_target_j": "regression",  # 1000 -> 1180
        "gpu_energy_j": "no change",  # 1480 -> 1480
    }


def test_constants_are_shown_and_are_no_part_of_a_total() -> None:
    parts = [CPU, ("dram", 5.0, "constant")]
    comparison = compared(side(parts), side(parts, factors={"cpu0": 1.2}))
    assert row(comparison, "energy_to_target_j").verdict == "regression"
    assert row(comparison, "dram_energy_j").kind == "modelled"
    assert compared(side(parts), side([CPU])).exit_code == 0


def test_runs_that_miss_their_target_have_the_worst_rank_in_every_part() -> None:
    comparison = compared(side([GPU, CPU]), side([GPU, CPU], missed=True))
    parts = ("gpu_energy_j", "cpu_energy_j")
    assert verdicts(comparison, *parts) == dict.fromkeys(parts, "regression")
    both = compared(side([GPU, CPU], missed=True), side([GPU, CPU], missed=True))
    assert verdicts(both, *parts) == dict.fromkeys(parts, "not judged")


def test_a_miss_has_no_joules_of_its_clock_to_the_target() -> None:
    run = gate_run(metered([GPU, CPU], missed=True))
    assert not {*JOULES} & set(run.values)
    assert run.values["energy_per_sample_j"] == pytest.approx(0.1)


def test_a_serving_has_joules_per_prediction_and_none_of_its_clock() -> None:
    record = replace(metered([GPU, CPU]), command="serve", target=None)
    values = gate_run(record).values
    assert not {*JOULES} & set(values)
    assert values["gpu_energy_per_prediction_j"] == pytest.approx(0.9)


# What does not compare


def test_a_total_without_its_gpu_is_no_saving() -> None:
    """Case 19: 900 of 1,000 J are of a card whose meter was lost on one side."""
    whole, without = side([GPU, CPU]), side([CPU], unavailable=[LOST])
    for base, candidate, told in (
        (whole, without, "gpu 1 / none (candidate: no nvml (NVML: GPU is lost))"),
        (without, whole, "gpu none / 1 (base: no nvml (NVML: GPU is lost))"),
    ):
        comparison = compared(base, candidate)
        assert comparison.exit_code == 4
        assert comparison.problems[0].message == (
            f"energy_components differs: {told}; measure both alike, or force=[energy_components]"
        )
        facts = [problem.message.partition(" ")[0] for problem in comparison.problems]
        assert facts == ["energy_components", "serving.energy_components"]
        # What both have is judged: time, and the joules of the CPU.
        assert {"cpu_energy_j", "cpu_energy_per_prediction_j"} < names(comparison)
        assert names(comparison).isdisjoint(
            {"energy_to_target_j", "energy_per_sample_j", "energy_per_prediction_j", "gpu_energy_j"}
        )
        only_total = compared(base, candidate, metrics=["energy_to_target_j"])
        assert (only_total.exit_code, only_total.rows) == (4, [])


def test_other_components_may_be_forced_and_the_remark_stays() -> None:
    force = ["energy_components", "serving.energy_components"]
    comparison = compared(side([GPU, CPU]), side([CPU], unavailable=[LOST]), force=force)
    assert comparison.problems == []
    assert row(comparison, "energy_to_target_j").verdict == "improvement"
    assert comparison.remarks[0].startswith("energy_components differs: gpu 1 / none (candidate:")
    assert comparison.remarks[0].endswith("(forced)")


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ([("gpu0", 450.0, "counter"), ("gpu1", 450.0, "counter"), CPU], "gpu 1 / 2"),
        ([GPU], "cpu 1 / none"),
        ([GPU, CPU, ("dram0", 10.0, "counter")], "dram none / 1"),
    ],
)
def test_totals_of_other_numbers_of_components_do_not_compare(other: Any, told: str) -> None:
    comparison = compared(side([GPU, CPU]), side(other), metrics=["energy_to_target_j"])
    assert comparison.exit_code == 4
    assert comparison.problems[0].message.startswith(f"energy_components differs: {told};")


def test_two_cards_do_not_compare_with_one_and_one_card_does_with_another() -> None:
    two = [("gpu0", 450.0, "counter"), ("gpu1", 450.0, "counter"), CPU]
    comparison = compared(side([GPU, CPU]), side(two), metrics=["gpu_energy_j"])
    assert comparison.exit_code == 4
    assert comparison.problems[0].message.startswith("energy_components.gpu differs: 1 / 2;")
    third = side([("gpu3", 900.0, "counter"), CPU], factors={"gpu3": 1.2})
    comparison = compared(side([GPU, CPU]), third)
    assert (comparison.problems, comparison.exit_code) == ([], 1)
    assert row(comparison, "gpu_energy_j").verdict == "regression"


def test_labels_matter_part_by_part() -> None:
    """The total is `modelled` on both sides, but the card was counted on one and sampled on one."""
    sampled = side([("gpu0", 900.0, "integrated"), MODELLED_CPU])
    comparison = compared(side([GPU, MODELLED_CPU]), sampled)
    assert comparison.exit_code == 4
    assert comparison.problems[0].message == (
        "energy_label.gpu differs: counter / integrated; measure both alike, or "
        "force=[energy_label.gpu]"
    )
    assert "gpu_energy_j" not in names(comparison)
    forced = compared(
        side([GPU, MODELLED_CPU]),
        sampled,
        force=["energy_label", "serving.energy_per_prediction_label"],
    )
    assert row(forced, "gpu_energy_j").kind == "measured"


def test_a_side_that_mixes_components_does_not_compare() -> None:
    runs = [*side([GPU, CPU]).runs]
    runs[2] = gate_run(metered([CPU], repeat=2))
    comparison = compared(side([GPU, CPU]), side_of(runs))
    assert comparison.exit_code == 4
    assert "energy_components differs: gpu 1 / 1 and none" in comparison.problems[0].message
