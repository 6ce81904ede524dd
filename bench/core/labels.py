"""How joules were obtained, and to which part of the machine they belong."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

# From strongest to weakest. A sum is as trustworthy as its weakest part.
EnergyLabel = Literal["counter", "integrated", "modelled", "constant"]
STRENGTH: tuple[EnergyLabel, ...] = get_args(EnergyLabel)

# Health flags that concern only the joules of a run: its time and quality stay comparable, but no
# statement is made about its energy.
ENERGY_FLAGS = ("gpu_energy_missing", "meter_failed", "nodes_unmeasured")

# Flags of a component's joules. Flagged joules are shown with their bound, and decide nothing.
ROW_FLAGS = ("below_resolution", "counter_reset", "counter_gap")

# Labels of joules that nothing measured.
GUESSED: tuple[EnergyLabel, ...] = ("modelled", "constant")


def weakest_label(labels: Iterable[EnergyLabel]) -> EnergyLabel | None:
    """The label of a sum whose parts have these labels; None without parts."""
    return max(labels, key=STRENGTH.index, default=None)


def part_of(component: str) -> str:
    """The part of the machine to which a component belongs: `gpu` for `gpu0` and `gpu1`."""
    match = re.match(r"[a-z]+", component)
    return match.group() if match else component


def row_flags(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The flags of measured joules, each once.

    Args:
        rows: Energy rows of a record as dicts.
    """
    measured = [row for row in rows if row["label"] not in GUESSED]
    return [flag for flag in ROW_FLAGS if any(row[flag] for row in measured)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentEnergy:
    """Joules of one component, such as `gpu0`, without its window or its error.

    Attributes:
        component: Name of the component, as in `energy[]`.
        energy_j: Joules per prediction.
        label: How they were obtained.
    """

    component: str
    energy_j: float
    label: EnergyLabel
