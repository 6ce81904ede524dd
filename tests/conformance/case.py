"""A case of the conformance kit, and how the usual ones are built.

The true energy of a window is the integral of the power curves that the job is charged for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pynvml

from tests.conformance.machine import Card, Zone
from tests.fake_nvml import FakeInstance
from tests.power import EnergyCounter, PowerCurve, constant

RANGE_J = 262143.328850  # that of most Intel processors
LENGTH_S = 30.0
END_S = 1040.0  # after the end of the last window
CPU_LIMIT_W = 200.0
MIG_UUID = "MIG-41b36db5-0000-4000-8000-000000000001"
A100 = "NVIDIA A100-SXM4-80GB"
CARDS = "abcdefgh"
USED = 3  # the one of eight cards that the job uses


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """Simulated hardware and the energy of a job on it.

    Attributes:
        name: What makes it hard.
        truth: Power of everything that the job is charged for.
        zones: Zones of the powercap tree.
        cards: GPUs of the machine.
        environment: Environment variables.
        gpu_uuids: What the job says of its GPUs; None if it says nothing.
        cuda_uuids: UUIDs of the GPUs that CUDA would show, in its order, where that is asked for.
        num_gpus: How many GPUs the job uses.
        length_s: Length of a window.
        knowable: Whether the hardware shows the energy to 1%: then a tool must state it that
            exactly. If not, a refusal is right, and so is a number with a bound that holds, or one
            that the result marks as doubtful.
        exact: Whether nothing but arithmetic stands between the hardware and the truth.
    """

    name: str
    truth: tuple[PowerCurve, ...]
    zones: tuple[Zone, ...] = ()
    cards: tuple[Card, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    gpu_uuids: tuple[str, ...] | None = None
    cuda_uuids: tuple[str, ...] = ()
    num_gpus: int = 0
    length_s: float = LENGTH_S
    knowable: bool = True
    exact: bool = False

    def true_j(self, start_s: float) -> float:
        """The true energy of the window that begins at this moment, in joules."""
        return sum(curve.energy_j(start_s, start_s + self.length_s) for curve in self.truth)


def zone(counter: EnergyCounter, package: int = 0) -> Zone:
    return Zone(
        folder=f"intel-rapl/intel-rapl:{package}",
        name=f"package-{package}",
        counter=counter,
        limit_w=CPU_LIMIT_W,
    )


def rapl(
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
        zones=(zone(counter), *others),
        gpu_uuids=(),
        knowable=knowable,
        exact=reset_s is None and held_s is None,
    )


def gpu(
    name: str,
    curve: PowerCurve,
    *,
    refresh_s: float = 0.0,
    reset_s: float | None = None,
    held_s: tuple[float, float] | None = None,
    lost_s: float | None = None,
    length_s: float = LENGTH_S,
    knowable: bool = True,
) -> Case:
    """One card with an energy counter."""
    counter = EnergyCounter(curve, refresh_s, reset_s=reset_s, held_s=held_s)
    return Case(
        name=f"GPU counter, {name}",
        truth=(curve,),
        cards=(Card(curve=curve, counter=counter, lost_s=lost_s),),
        num_gpus=1,
        length_s=length_s,
        knowable=knowable,
        exact=refresh_s <= 0.001 and reset_s is None and held_s is None and knowable,
    )


def power(name: str, curve: PowerCurve, card: Card | None = None) -> Case:
    """One card with nothing but a power sensor."""
    return Case(
        name=f"GPU power, {name}",
        truth=(curve,),
        cards=(card or Card(curve=curve, counter=None),),
        num_gpus=1,
        knowable=card is None,
    )


def eight(
    name: str,
    environment: Mapping[str, str],
    gpu_uuids: tuple[str, ...] | None = None,
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
        environment=environment,
        gpu_uuids=gpu_uuids,
        num_gpus=1,
        exact=True,
    )


def grace(name: str, zone: Zone, card: PowerCurve, module: PowerCurve, *, is_shown: bool) -> Case:
    """A GPU whose counter includes the processor beside it, which has a zone, too."""
    made = Card(
        curve=card,
        counter=EnergyCounter(module),
        module=module if is_shown else None,
        product="NVIDIA GH200 480GB",
        architecture=pynvml.NVML_DEVICE_ARCH_HOPPER,
    )
    return Case(
        name=f"Grace-Hopper, {name}",
        truth=(module,),
        zones=(zone,),
        cards=(made,),
        num_gpus=1,
        exact=True,
    )


def mig(name: str, visible: str) -> Case:
    """Two instances on one card, whose counter is that of both."""
    ours, both = constant(100.0), constant(250.0)
    card = Card(
        curve=both,
        counter=EnergyCounter(both),
        product=A100,
        architecture=pynvml.NVML_DEVICE_ARCH_AMPERE,
        instances=(
            FakeInstance(MIG_UUID, f"{A100} MIG 3g.40gb", 1),
            FakeInstance(MIG_UUID[:-1] + "2", f"{A100} MIG 3g.40gb", 2),
        ),
    )
    return Case(
        name=f"MIG, {name}",
        truth=(ours,),
        cards=(card,),
        environment={"CUDA_VISIBLE_DEVICES": visible},
        num_gpus=1,
        knowable=False,
    )
