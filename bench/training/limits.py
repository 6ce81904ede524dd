"""The limits at which a run that has not reached its target is stopped.

Those of its budget are part of its configuration. Those of a cutoff come from a search: the run is
not worth more to it, and might have gone on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.config.train import BudgetConfig, CutoffConfig
from bench.core.price import JOULES_PER_KWH

_CUTOFF = "cutoff."
_SECONDS_PER_HOUR = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A sum of time and joules, each at its price, that a run may spend.

    Attributes:
        key: The key that sets it, such as `budget.max_time_s`.
        most: How much may be spent, in the unit of the key.
        per_s: What a second counts, in that unit.
        per_j: What a joule counts, in that unit.
    """

    key: str
    most: float
    per_s: float = 0.0
    per_j: float = 0.0

    @property
    def cutoff(self) -> str | None:
        """Its name in the group `cutoff`; None for a limit of the budget."""
        return self.key.removeprefix(_CUTOFF) if self.key.startswith(_CUTOFF) else None

    def is_spent(self, time_s: float, energy_j: float) -> bool:
        """Whether this time and these joules use it up."""
        return self.per_s * time_s + self.per_j * energy_j >= self.most


def budget_limits(budget: BudgetConfig | None) -> list[Limit]:
    """The limits of a budget, except for the length of its schedule."""
    return [] if budget is None else _time_and_energy("budget.", budget)


def cutoff_limits(cutoff: CutoffConfig, price: Mapping[str, Any]) -> list[Limit]:
    """The limits of a cutoff.

    Args:
        cutoff: What a search allows the run to spend.
        price: The group `price` of the run, for a limit in money.
    """
    limits = _time_and_energy(_CUTOFF, cutoff)
    if cutoff.max_cost_usd is not None:
        per_s = (price.get("usd_per_hour") or 0.0) / _SECONDS_PER_HOUR
        per_j = (price.get("usd_per_kwh") or 0.0) / JOULES_PER_KWH
        key = f"{_CUTOFF}max_cost_usd"
        limits.append(Limit(key=key, most=cutoff.max_cost_usd, per_s=per_s, per_j=per_j))
    return limits


def _time_and_energy(group: str, limits: BudgetConfig | CutoffConfig) -> list[Limit]:
    found = []
    if limits.max_time_s is not None:
        found.append(Limit(key=f"{group}max_time_s", most=limits.max_time_s, per_s=1.0))
    if limits.max_energy_j is not None:
        found.append(Limit(key=f"{group}max_energy_j", most=limits.max_energy_j, per_j=1.0))
    return found
