"""The cases of the conformance kit: hardware, its true energy, and whether a tool can know it."""

from __future__ import annotations

import pynvml

from tests.conformance.case import (
    A100,
    CARDS,
    END_S,
    MIG_UUID,
    RANGE_J,
    USED,
    Case,
    eight,
    gpu,
    grace,
    mig,
    power,
    rapl,
    zone,
)
from tests.conformance.machine import Card, Zone
from tests.power import EnergyCounter, PowerCurve, constant, ramp, square_wave, step

_LOAD = constant(100.0)
_ALWAYS = (900.0, END_S)  # from before a tool looks
# What a counter shows that loses three seconds of it.
_STOPPED = PowerCurve(
    [(0.0, 100.0), (1014.0, 100.0), (1014.0, 0.0), (1017.0, 0.0), (1017.0, 100.0)]
)
_CPU, _GPU = constant(100.0), constant(300.0)
_MODULE = constant(400.0)  # the two together
_BURSTS = square_wave(400.0, 100.0, 0.1, END_S)
_PACKAGE = zone(EnergyCounter(_CPU, 0.001, range_j=RANGE_J))

CASES = (
    # Nothing special: a tool that fails here need not be tried further.
    rapl("constant 100 W", _LOAD),
    rapl("step 50 to 150 W", step(50.0, 150.0, at_s=1010.0)),
    rapl("ramp", ramp(0.0, 200.0, 2000.0)),
    rapl("square wave 50 ms", square_wave(50.0, 150.0, 0.05, END_S)),
    rapl("square wave 100 ms", square_wave(50.0, 150.0, 0.1, END_S)),
    # Wraps. At the moment named here the counter shows its largest value.
    rapl("a wrap in the middle", _LOAD, offset_j=RANGE_J - 100.0 * 1015.0),
    rapl("a wrap within the last two seconds", _LOAD, offset_j=RANGE_J - 100.0 * 1029.95),
    rapl("a wrap every 10 s", _LOAD, range_j=1000.0),
    # The counter begins again from zero, which is not a wrap.
    rapl("reset after 15.5 s", _LOAD, reset_s=1015.5),
    # A counter that stands still may show those joules later, or never.
    rapl("held at the end", _LOAD, held_s=(1027.0, END_S), knowable=False),
    rapl("held for 3 s, then shown", _LOAD, held_s=(1014.0, 1017.0), knowable=False),
    Case(
        name="RAPL, held for 3 s, then lost",
        truth=(_LOAD,),
        zones=(zone(EnergyCounter(_STOPPED, 0.001, range_j=RANGE_J)),),
        gpu_uuids=(),
        knowable=False,
    ),
    rapl("never refreshed, as in some virtual machines", _LOAD, held_s=_ALWAYS, knowable=False),
    # Zones that must not be added, and one that must.
    rapl(
        "zone there twice",
        _LOAD,
        Zone(
            folder="intel-rapl-mmio/intel-rapl-mmio:0",
            name="package-0",
            counter=EnergyCounter(_LOAD, 0.001, range_j=RANGE_J),
        ),
    ),
    rapl(
        "a second package that mirrors the first",
        _LOAD,
        zone(EnergyCounter(_LOAD, 0.001, range_j=RANGE_J), 1),
    ),
    Case(
        name="RAPL, two packages",
        truth=(_CPU, constant(150.0)),
        zones=(_PACKAGE, zone(EnergyCounter(constant(150.0), 0.001, range_j=RANGE_J), 1)),
        gpu_uuids=(),
        exact=True,
    ),
    rapl(
        "psys beside package",
        _LOAD,
        Zone(
            folder="intel-rapl/intel-rapl:1",
            name="psys",
            counter=EnergyCounter(constant(130.0), 0.001, range_j=RANGE_J),
        ),
    ),
    gpu("constant 300 W", _GPU),
    gpu("step", step(100.0, 300.0, at_s=1010.0)),
    gpu("refreshed every 100 ms", square_wave(100.0, 300.0, 0.37, END_S), refresh_s=0.1),
    # The edges alone shift these joules by up to 13%.
    gpu("refreshed every 100 ms, for 750 ms", _GPU, refresh_s=0.1, length_s=0.75, knowable=False),
    gpu("reset after 15.5 s", _GPU, reset_s=1015.5),
    gpu("never refreshed, beside a power sensor", _GPU, held_s=_ALWAYS),
    gpu("lost after 15.5 s", _GPU, lost_s=1015.5, knowable=False),
    power("constant 300 W", _GPU),
    power("step", step(100.0, 300.0, at_s=1010.25)),
    power("square wave 370 ms", square_wave(100.0, 300.0, 0.37, END_S)),
    power(
        "sensor sees 25 of 100 ms, in step with it",
        _BURSTS,
        Card(
            curve=_BURSTS,
            counter=None,
            averaged_s=0.025,
            product=A100,
            architecture=pynvml.NVML_DEVICE_ARCH_AMPERE,
        ),
    ),
    eight(
        "visible by number",
        {"CUDA_VISIBLE_DEVICES": str(USED), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"},
    ),
    eight("visible by UUID", {"CUDA_VISIBLE_DEVICES": f"GPU-{CARDS[USED]}"}),
    eight("all visible", {}, (f"GPU-{CARDS[USED]}",)),
    # CUDA's number 0 is the faster card, which is NVML's number 1.
    Case(
        name="two models of GPU, one visible by CUDA's number",
        truth=(_GPU,),
        cards=(
            Card(curve=_CPU, counter=EnergyCounter(_CPU), product="NVIDIA T1000", uuid="GPU-a"),
            Card(curve=_GPU, counter=EnergyCounter(_GPU), product="NVIDIA H100", uuid="GPU-b"),
        ),
        environment={"CUDA_VISIBLE_DEVICES": "0"},
        cuda_uuids=("b",),
        num_gpus=1,
        exact=True,
    ),
    Case(
        name="GPU beside a package",
        truth=(_CPU, _GPU),
        zones=(_PACKAGE,),
        cards=(Card(curve=_GPU, counter=EnergyCounter(_GPU)),),
        num_gpus=1,
        exact=True,
    ),
    # The zone stands for whatever a tool reads or models of the processor of the module.
    grace("power of the module not shown", _PACKAGE, _GPU, _MODULE, is_shown=False),
    grace("power of the module shown", _PACKAGE, _GPU, _MODULE, is_shown=True),
    mig("instance named", MIG_UUID),
    mig("card named", "0"),
)
