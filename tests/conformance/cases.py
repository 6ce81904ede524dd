"""The cases of the conformance kit: hardware, its true energy, and whether a tool can know it.

The true energy of a window is the integral of the power curves that the job is charged for.
"""

from __future__ import annotations

from dataclasses import dataclass

import pynvml

from tests.conformance.machine import Card, Zone
from tests.power import EnergyCounter, PowerCurve, constant, ramp, square_wave, step

RANGE_J = 262143.328850  # that of most Intel processors
LENGTH_S = 30.0
END_S = 1040.0  # after the end of the last window
CPU_LIMIT_W = 200.0
MIG_UUID = "MIG-41b36db5-0000-4000-8000-000000000001"
A100 = "NVIDIA A100-SXM4-80GB"
CARDS = "abcdefgh"
USED = 3  # the one of eight cards that the job uses


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Simulated hardware and the energy of a job on it.

    Attributes:
        name: What makes it hard.
        truth: Power of everything that the job is charged for.
        zones: Zones of the powercap tree.
        cards: GPUs of the machine.
        visible: CUDA_VISIBLE_DEVICES; None if it is not set.
        gpu_uuids: What the job says of its GPUs; None if it says nothing.
        num_gpus: How many GPUs the job uses.
        length_s: Length of a window.
        knowable: Whether the hardware shows the energy to 1%. If it does not, a refusal is right,
            and so is a number that the result marks as doubtful.
        exact: Whether nothing but arithmetic stands between the hardware and the truth.
    """

    name: str
    truth: tuple[PowerCurve, ...]
    zones: tuple[Zone, ...] = ()
    cards: tuple[Card, ...] = ()
    visible: str | None = None
    gpu_uuids: tuple[str, ...] | None = None
    num_gpus: int = 0
    length_s: float = LENGTH_S
    knowable: bool = True
    exact: bool = False

    def true_j(self, start_s: float) -> float:
        """The true energy of the window that begins at this moment, in joules."""
        return sum(curve.energy_j(start_s, start_s + self.length_s) for curve in self.truth)


def _zone(counter: EnergyCounter, package: int = 0) -> Zone:
    return Zone(
        folder=f"intel-rapl/intel-rapl:{package}",
        name=f"package-{package}",
        counter=counter,
        limit_w=CPU_LIMIT_W,
    )


def _rapl(
    name: str,
    curve: PowerCurve,
    *others: Zone,
    range_j: float = RANGE_J,
    offset_j: float = 0.0,
    reset_s: float | None = None,
    held_s: tuple[float, float] | None = None,
    knowable: bool = True,
) -> Case:
    """One package, perhaps beside other zones."""
    counter = EnergyCounter(
        curve, 0.001, range_j=range_j, offset_j=offset_j, reset_s=reset_s, held_s=held_s
    )
    return Case(
        name=f"RAPL, {name}",
        truth=(curve,),
        zones=(_zone(counter), *others),
        gpu_uuids=(),
        knowable=knowable,
        exact=reset_s is None and held_s is None,
    )


def _gpu(
    name: str,
    curve: PowerCurve,
    *,
    refresh_s: float = 0.0,
    reset_s: float | None = None,
    lost_s: float | None = None,
    length_s: float = LENGTH_S,
    knowable: bool = True,
) -> Case:
    """One card with an energy counter."""
    counter = EnergyCounter(curve, refresh_s, reset_s=reset_s)
    return Case(
        name=f"GPU counter, {name}",
        truth=(curve,),
        cards=(Card(curve=curve, counter=counter, lost_s=lost_s),),
        num_gpus=1,
        length_s=length_s,
        knowable=knowable,
        exact=refresh_s <= 0.001 and reset_s is None and knowable,
    )


def _power(name: str, curve: PowerCurve, card: Card | None = None) -> Case:
    """One card with nothing but a power sensor."""
    return Case(
        name=f"GPU power, {name}",
        truth=(curve,),
        cards=(card or Card(curve=curve, counter=None),),
        num_gpus=1,
        knowable=card is None,
    )


def _eight(
    name: str, *, visible: str | None = None, gpu_uuids: tuple[str, ...] | None = None
) -> Case:
    """Eight busy cards, the fourth of which the job uses."""
    curves = [constant(100.0 + 20.0 * i) for i in range(len(CARDS))]
    return Case(
        name=f"eight GPUs, one used, {name}",
        truth=(curves[USED],),
        cards=tuple(
            Card(curve=curve, counter=EnergyCounter(curve), uuid=f"GPU-{letter}")
            for letter, curve in zip(CARDS, curves, strict=True)
        ),
        visible=visible,
        gpu_uuids=gpu_uuids,
        num_gpus=1,
        exact=True,
    )


def _mig(name: str, visible: str) -> Case:
    """Two instances on one card, whose counter is that of both."""
    ours, both = constant(100.0), constant(250.0)
    card = Card(
        curve=both,
        counter=EnergyCounter(both),
        product=A100,
        architecture=pynvml.NVML_DEVICE_ARCH_AMPERE,
        mig=True,
    )
    return Case(
        name=f"MIG, {name}",
        truth=(ours,),
        cards=(card,),
        visible=visible,
        num_gpus=1,
        knowable=False,
    )


_LOAD = constant(100.0)
# What a counter shows that loses three seconds of it.
_STOPPED = PowerCurve(
    [(0.0, 100.0), (1014.0, 100.0), (1014.0, 0.0), (1017.0, 0.0), (1017.0, 100.0)]
)
_CPU, _GPU = constant(100.0), constant(300.0)
_MODULE = constant(400.0)  # the two together
_BURSTS = square_wave(400.0, 100.0, 0.1, END_S)
_PACKAGE = _zone(EnergyCounter(_CPU, 0.001, range_j=RANGE_J))

CASES = (
    # Nothing special: a tool that fails here need not be tried further.
    _rapl("constant 100 W", _LOAD),
    _rapl("step 50 to 150 W", step(50.0, 150.0, at_s=1010.0)),
    _rapl("ramp", ramp(0.0, 200.0, 2000.0)),
    _rapl("square wave 50 ms", square_wave(50.0, 150.0, 0.05, END_S)),
    _rapl("square wave 100 ms", square_wave(50.0, 150.0, 0.1, END_S)),
    # Wraps. At the moment named here the counter shows its largest value.
    _rapl("a wrap in the middle", _LOAD, offset_j=RANGE_J - 100.0 * 1015.0),
    _rapl("a wrap within the last two seconds", _LOAD, offset_j=RANGE_J - 100.0 * 1029.95),
    _rapl("a wrap every 10 s", _LOAD, range_j=1000.0),
    # The counter begins again from zero, which is not a wrap.
    _rapl("reset after 15.5 s", _LOAD, reset_s=1015.5),
    # A counter that stands still may show those joules later, or never.
    _rapl("held at the end", _LOAD, held_s=(1027.0, END_S), knowable=False),
    _rapl("held for 3 s, then shown", _LOAD, held_s=(1014.0, 1017.0), knowable=False),
    Case(
        name="RAPL, held for 3 s, then lost",
        truth=(_LOAD,),
        zones=(_zone(EnergyCounter(_STOPPED, 0.001, range_j=RANGE_J)),),
        gpu_uuids=(),
        knowable=False,
    ),
    # Zones that must not be added, and one that must.
    _rapl(
        "zone there twice",
        _LOAD,
        Zone(
            folder="intel-rapl-mmio/intel-rapl-mmio:0",
            name="package-0",
            counter=EnergyCounter(_LOAD, 0.001, range_j=RANGE_J),
        ),
    ),
    _rapl(
        "a second package that mirrors the first",
        _LOAD,
        _zone(EnergyCounter(_LOAD, 0.001, range_j=RANGE_J), 1),
    ),
    Case(
        name="RAPL, two packages",
        truth=(_CPU, constant(150.0)),
        zones=(_PACKAGE, _zone(EnergyCounter(constant(150.0), 0.001, range_j=RANGE_J), 1)),
        gpu_uuids=(),
        exact=True,
    ),
    _rapl(
        "psys beside package",
        _LOAD,
        Zone(
            folder="intel-rapl/intel-rapl:1",
            name="psys",
            counter=EnergyCounter(constant(130.0), 0.001, range_j=RANGE_J),
        ),
    ),
    _gpu("constant 300 W", _GPU),
    _gpu("step", step(100.0, 300.0, at_s=1010.0)),
    _gpu("refreshed every 100 ms", square_wave(100.0, 300.0, 0.37, END_S), refresh_s=0.1),
    # The edges alone shift these joules by up to 13%.
    _gpu("refreshed every 100 ms, for 750 ms", _GPU, refresh_s=0.1, length_s=0.75, knowable=False),
    _gpu("reset after 15.5 s", _GPU, reset_s=1015.5),
    _gpu("lost after 15.5 s", _GPU, lost_s=1015.5, knowable=False),
    _power("constant 300 W", _GPU),
    _power("step", step(100.0, 300.0, at_s=1010.25)),
    _power("square wave 370 ms", square_wave(100.0, 300.0, 0.37, END_S)),
    _power(
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
    _eight("visible by number", visible=str(USED)),
    _eight("visible by UUID", visible=f"GPU-{CARDS[USED]}"),
    _eight("all visible", gpu_uuids=(f"GPU-{CARDS[USED]}",)),
    Case(
        name="GPU beside a package",
        truth=(_CPU, _GPU),
        zones=(_PACKAGE,),
        cards=(Card(curve=_GPU, counter=EnergyCounter(_GPU)),),
        num_gpus=1,
        exact=True,
    ),
    # The zone stands for whatever a tool reads or models of the processor of the module.
    Case(
        name="GPU whose counter includes the processor (Grace-Hopper)",
        truth=(_MODULE,),
        zones=(_PACKAGE,),
        cards=(
            Card(
                curve=_GPU,
                counter=EnergyCounter(_MODULE),
                product="NVIDIA GH200 480GB",
                architecture=pynvml.NVML_DEVICE_ARCH_HOPPER,
            ),
        ),
        num_gpus=1,
        exact=True,
    ),
    _mig("instance named", MIG_UUID),
    _mig("card named", "0"),
)
