from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.core.nodes import (
    NodeReading,
    fields_of_nodes,
    phase_energy_of_nodes,
    with_joules_of_nodes,
)
from bench.core.records.energy import EnergyRow, Idle, PhaseEnergy, UnavailableMeter
from bench.core.records.health import Health, Utilization
from bench.core.records.node import NodeFacts
from tests.rows import curve


def energy_row(component: str, energy_j: float, **changes: Any) -> EnergyRow:
    facts: dict[str, Any] = {"source": "made", "label": "counter", "energy_error_frac": 0.1}
    return EnergyRow(component=component, energy_j=energy_j, **{**facts, **changes})


FIRST = NodeFacts(
    node=0,
    host={"name": "a"},
    energy=[energy_row("cpu0", 20.0), energy_row("gpu0", 80.0)],
    energy_total_j=100.0,
    energy_label="counter",
    energy_error_frac=0.1,
    utilization=Utilization(cpu_process_frac=0.2, memory_peak_bytes=10, gpu_busy_frac=0.9),
    health=Health(comparable=True, sampler_overhead_frac=0.001),
)
SECOND = NodeFacts(
    node=1,
    host={"name": "b"},
    energy=[energy_row("cpu0", 60.0, label="modelled", source="guess", energy_error_frac=0.5)],
    energy_total_j=60.0,
    energy_label="modelled",
    energy_error_frac=0.5,
    utilization=Utilization(cpu_process_frac=0.4, memory_peak_bytes=30),
    health=Health(comparable=False, flags=["other_load"], sampler_overhead_frac=0.003),
)


def test_joules_of_nodes_are_added_and_so_are_their_errors() -> None:
    fields = fields_of_nodes([FIRST, SECOND])
    assert fields["energy_total_j"] == 160.0
    assert fields["energy_label"] == "modelled"
    # 0.1 of 100 J and 0.5 of 60 J are 40 J of 160 J.
    assert fields["energy_error_frac"] == pytest.approx(0.25)
    cpu, gpu = fields["energy"]
    assert (cpu.component, cpu.energy_j, cpu.label) == ("cpu0", 80.0, "modelled")
    assert cpu.source == "made, guess"
    # 0.1 of 20 J and 0.5 of 60 J are 32 J of 80 J.
    assert cpu.energy_error_frac == pytest.approx(0.4)
    assert gpu == energy_row("gpu0", 80.0, energy_error_frac=pytest.approx(0.1))
    assert fields["unavailable_meters"] == []


def test_a_run_is_comparable_only_if_every_node_is_and_flags_name_their_node() -> None:
    health = fields_of_nodes([FIRST, SECOND])["health"]
    assert not health.comparable
    assert health.flags == ["node1.other_load"]
    assert health.sampler_overhead_frac == 0.003
    fit = replace(SECOND, health=Health(comparable=True))
    assert fields_of_nodes([FIRST, fit])["health"].comparable
    # Readers look for flags about joules by their names.
    failed = replace(SECOND, health=Health(comparable=True, flags=["meter_failed"]))
    assert fields_of_nodes([FIRST, failed])["health"].flags == [
        "meter_failed",
        "node1.meter_failed",
    ]


def test_shares_are_means_over_the_nodes_and_peaks_the_largest() -> None:
    use = fields_of_nodes([FIRST, SECOND])["utilization"]
    assert use.cpu_process_frac == pytest.approx(0.3)
    assert (use.memory_peak_bytes, use.gpu_busy_frac) == (30, 0.9)


def test_a_node_without_joules_leaves_no_total_and_is_named() -> None:
    reason = UnavailableMeter(meter="rapl", reason="no counter")
    without = NodeFacts(
        node=1, host={"name": "b"}, unavailable_meters=[reason], health=Health(comparable=True)
    )
    fields = fields_of_nodes([FIRST, without])
    assert fields["energy_total_j"] is None
    assert fields["energy_label"] is None
    assert fields["energy_error_frac"] is None
    assert fields["unavailable_meters"] == [
        UnavailableMeter(meter="node1.rapl", reason="no counter"),
        UnavailableMeter(
            meter="node1", reason="b has no joules, so the total of all nodes is unknown"
        ),
    ]
    # With meter=none nobody expects a total, so there is nothing to explain.
    neither = [replace(without, node=node, unavailable_meters=[]) for node in (0, 1)]
    assert fields_of_nodes(neither)["unavailable_meters"] == []


def test_a_lost_node_is_a_flag() -> None:
    fields = fields_of_nodes([FIRST, NodeFacts(node=1, host={"name": "b"})])
    assert fields["health"].flags == ["node1.node_lost"]
    assert not fields["health"].comparable


def test_joules_by_phase_and_of_the_idle_nodes_are_sums() -> None:
    phases = PhaseEnergy(
        init_j=None, train_j=6.0, eval_j=3.0, checkpoint_j=1.0,
        train_error_frac=0.5, below_resolution=["eval"],
    )  # fmt: skip
    other = replace(phases, train_j=2.0, train_error_frac=0.1, below_resolution=["train", "eval"])
    nodes = [replace(FIRST, phase_energy=phases), replace(SECOND, phase_energy=other)]
    total = phase_energy_of_nodes(nodes)
    assert total is not None
    assert (total.train_j, total.eval_j, total.checkpoint_j) == (8.0, 6.0, 2.0)
    # 0.5 of 6 J and 0.1 of 2 J are 3.2 J of 8 J.
    assert total.train_error_frac == pytest.approx(0.4)
    assert total.below_resolution == ["eval", "train"]
    assert total.init_j is None
    assert phase_energy_of_nodes([nodes[0], SECOND]) is None
    idle = Idle(each_s=1.0, before_w=10.0, after_w=12.0, net_energy_j=40.0, net_error_frac=0.2)
    both = [replace(node, idle=idle) for node in nodes]
    assert fields_of_nodes(both)["idle"] == replace(
        idle, before_w=20.0, after_w=24.0, net_energy_j=80.0
    )


def test_a_row_of_the_curve_has_the_joules_of_all_nodes() -> None:
    def reading(energy_j: float | None, **changes: Any) -> NodeReading:
        facts: dict[str, Any] = {"label": "counter", "error_frac": 0.1}
        facts |= {"eval_j": 1.0, "checkpoint_j": 0.5}
        return NodeReading(energy_j=energy_j, **{**facts, **changes})

    (own,) = curve([0.5])
    both = with_joules_of_nodes(own, [reading(10.0), reading(30.0, label="modelled")])
    assert (both.energy_total_j, both.energy_label) == (40.0, "modelled")
    assert both.energy_error_frac == pytest.approx(0.1)
    assert (both.eval_energy_j, both.checkpoint_energy_j) == (2.0, 1.0)
    assert both.time_s == own.time_s
    lost = with_joules_of_nodes(own, [reading(10.0), reading(None, label=None, error_frac=None)])
    assert (lost.energy_total_j, lost.energy_label, lost.energy_error_frac) == (None, None, None)
