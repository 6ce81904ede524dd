"""Computes money and emissions of a run from its time, its joules and stated prices."""

from __future__ import annotations

from dataclasses import dataclass

from bench.core.price import JOULES_PER_KWH


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The price of an hour of a machine, or of a kilowatt hour of electricity.

    A rented machine has usd_per_hour, which includes electricity; a machine of one's own has
    usd_per_kwh. If both are given, both are charged.
    """

    name: str
    usd_per_hour: float | None
    usd_per_kwh: float | None
    region: str
    date: str
    source: str

    def __post_init__(self) -> None:
        """Check the prices.

        Raises:
            ValueError: One is negative, or none is given.
        """
        for field in ("usd_per_hour", "usd_per_kwh"):
            value: float | None = getattr(self, field)
            if value is not None and not 0 <= value < float("inf"):
                raise ValueError(f"price.{field}={value}: must be a number of at least 0 or null")
        if self.usd_per_hour is None and self.usd_per_kwh is None:
            raise ValueError(
                f"price {self.name}: give price.usd_per_hour, price.usd_per_kwh or both"
            )


def emissions_gco2e(energy_j: float | None, intensity_gco2e_per_kwh: float) -> float | None:
    """Grams of CO2 equivalent for these joules; None if the energy is unknown."""
    return None if energy_j is None else energy_j / JOULES_PER_KWH * intensity_gco2e_per_kwh


def cost_usd(time_s: float, energy_j: float | None, price: Price) -> float | None:
    """US dollars for this time and energy; None if the energy is charged but unknown."""
    total_usd = 0.0
    if price.usd_per_hour is not None:
        total_usd += time_s / 3600 * price.usd_per_hour
    if price.usd_per_kwh:  # joules that cost nothing need not be known
        if energy_j is None:
            return None
        total_usd += energy_j / JOULES_PER_KWH * price.usd_per_kwh
    return total_usd
