"""How joules were obtained, and of which part of the machine they are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

# From the strongest to the weakest: a sum is as trustworthy as its weakest part.
EnergyLabel = Literal["counter", "integrated", "modelled", "constant"]
STRENGTH: tuple[EnergyLabel, ...] = get_args(EnergyLabel)

# Health flags that speak against the joules of a run and against nothing else: time and quality
# stay comparable, every statement on energy is off.
ENERGY_FLAGS = ("gpu_energy_missing", "meter_failed")

# Flags of a component's joules. Counted so, they are shown with their bound and decide nothing.
ROW_FLAGS = ("below_resolution", "counter_reset", "counter_gap")

# Labels of joules that nothing measured.
GUESSED: tuple[EnergyLabel, ...] = ("modelled", "constant")


def weakest_label(labels: Iterable[EnergyLabel]) -> EnergyLabel | None:
    """The label that a sum of parts with these labels deserves; None for no parts."""
    return max(labels, key=STRENGTH.index, default=None)


def part_of(component: str) -> str:
    """The part of the machine that a component is of: `gpu0` and `gpu1` are of `gpu`."""
    match = re.match(r"[a-z]+", component)
    return match.group() if match else component


def row_flags(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The flags of joules that something measured, each once.

    Args:
        rows: Energy rows of a record as dicts.
    """
    measured = [row for row in rows if row["label"] not in GUESSED]
    return [flag for flag in ROW_FLAGS if any(row[flag] for row in measured)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentEnergy:
    """Joules of one component, such as `gpu0`; unrelated to its window or its error.

    Attributes:
        component: As in `energy[]`.
        energy_j: Joules of a prediction.
        label: How they were obtained.
    """

    component: str
    energy_j: float
    label: EnergyLabel
