"""How joules were obtained, and of which part of the machine they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# From the strongest to the weakest: a sum is as trustworthy as its weakest part.
EnergyLabel = Literal["counter", "integrated", "modelled", "constant"]

# Health flags that speak against the joules of a run and against nothing else: time and quality
# stay comparable, every statement on energy is off.
ENERGY_FLAGS = ("gpu_energy_missing", "meter_failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentEnergy:
    """Joules of one component, such as `gpu0`; unrelated to its window or its error."""

    component: str
    energy_j: float
    label: EnergyLabel
