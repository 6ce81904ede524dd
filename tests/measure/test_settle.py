from __future__ import annotations

import pytest

from bench.core.labels import EnergyLabel
from bench.measure.meters.base import Component
from bench.measure.settle import GpuScope, settle


def component(
    name: str, label: EnergyLabel = "counter", includes: tuple[str, ...] = ()
) -> Component:
    return Component(
        name=name,
        source="made",
        label=label,
        refresh_s=0.1,
        error_frac=0.0,
        edge_error_j=0.0,
        includes=includes,
    )


def settled(
    scope: GpuScope, **offers: list[Component]
) -> tuple[dict[str, list[str]], dict[str, str]]:
    kept, reasons = settle(offers, scope)
    return {meter: [one.name for one in components] for meter, components in kept.items()}, reasons


def test_a_gpu_that_the_run_does_not_use_is_left_out() -> None:
    scope = GpuScope(names=frozenset({"gpu1"}), num_gpus=1)
    kept, reasons = settled(
        scope,
        own=[component("gpu0"), component("gpu1"), component("gpu10")],
        other=[component("gpu2")],
        cpu_model=[component("cpu", "modelled")],
    )
    assert kept == {"own": ["gpu1"], "cpu_model": ["cpu"]}
    assert reasons == {"other": "gpu2 is no GPU of this run"}


def test_a_run_without_a_gpu_is_charged_for_none() -> None:
    kept, reasons = settled(GpuScope(names=frozenset()), own=[component("gpu0")])
    assert (kept, reasons) == ({}, {"own": "gpu0 is no GPU of this run"})


def test_without_a_scope_every_gpu_counts() -> None:
    kept, _ = settled(GpuScope(), own=[component("gpu0"), component("gpu7")])
    assert kept == {"own": ["gpu0", "gpu7"]}


@pytest.mark.parametrize("order", [1, -1])
def test_a_module_includes_the_processor_whoever_comes_first(order: int) -> None:
    module = component("gpu0", includes=("cpu", "dram"))
    offers = {"nvml": [module], "rapl": [component("cpu0"), component("dram0")]}
    kept, reasons = settle(dict(list(offers.items())[::order]), GpuScope())
    assert kept == {"nvml": [module]}
    assert reasons == {
        "rapl": "the joules of gpu0 include cpu, the joules of gpu0 include dram",
    }


def test_a_module_that_is_not_measured_includes_nothing() -> None:
    """Of a card that the run does not use, or that another meter measures."""
    module = component("gpu0", includes=("cpu", "dram"))
    cpu = component("cpu", "modelled")
    scope = GpuScope(names=frozenset({"gpu1"}))
    assert settled(scope, nvml=[module], cpu_model=[cpu])[0] == {"cpu_model": ["cpu"]}
    offers = {"own": [component("gpu0")], "nvml": [module], "cpu_model": [cpu]}
    assert settled(GpuScope(), **offers)[0] == {"own": ["gpu0"], "cpu_model": ["cpu"]}


def test_what_is_left_out_of_a_module_is_not_taken_from_the_next_meter() -> None:
    module = component("gpu0", includes=("cpu", "dram"))
    kept, reasons = settled(
        GpuScope(),
        nvml=[module],
        rapl=[component("cpu0")],
        cpu_model=[component("cpu", "modelled")],
    )
    assert kept == {"nvml": ["gpu0"]}
    assert set(reasons.values()) == {"the joules of gpu0 include cpu"}


@pytest.mark.parametrize(
    ("num_gpus", "measured", "missing"),
    [
        (0, [], False),
        (1, [component("gpu0")], False),
        (1, [component("gpu0", "modelled")], False),
        (1, [component("gpu0", "constant")], True),
        (1, [component("cpu0")], True),
        (2, [component("gpu0")], True),
        (2, [component("gpu0"), component("gpu0_memory")], True),  # two parts of one card
        (2, [component("gpu0"), component("gpu3")], False),
    ],
)
def test_every_gpu_of_the_run_needs_joules_that_are_no_constant(
    num_gpus: int, measured: list[Component], missing: bool
) -> None:
    assert GpuScope(num_gpus=num_gpus).misses_some(measured) == missing
