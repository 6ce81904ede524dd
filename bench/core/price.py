"""Says what a price consists of: electricity, rental, or both; and the unit of electricity."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

CostBasis = Literal["electricity", "rental", "rental and electricity"]

JOULES_PER_KWH = 3.6e6
# Keys of a price, and their units in words.
PRICES = {"usd_per_hour": "USD/h", "usd_per_kwh": "USD/kWh"}


def cost_basis(price: Mapping[str, Any]) -> CostBasis:
    """Say what costs by a price consist of; tables show this beside them.

    The electricity bill of a machine that you own leaves out what the machine cost, so it cannot be
    compared with the price of a rented one.

    Args:
        price: A price with `usd_per_hour` and `usd_per_kwh`. If one is absent, None, NaN or 0,
            nothing is charged for it.

    Raises:
        ValueError: Neither is given.

    Source: docs/metrics.md, "Cost and emissions".
    """
    given = {key: _number(price.get(key)) for key in PRICES}
    if all(value is None for value in given.values()):
        raise ValueError("price: neither usd_per_hour nor usd_per_kwh is given")
    rented, metered = bool(given["usd_per_hour"]), bool(given["usd_per_kwh"])
    if rented and metered:
        return "rental and electricity"
    if rented or (not metered and given["usd_per_hour"] is not None):
        return "rental"
    return "electricity"


def known_basis(price: object) -> CostBasis | None:
    """Call cost_basis; None for anything but a price, such as a user's text under that key."""
    if not isinstance(price, Mapping):
        return None
    known = any(_number(price.get(key)) is not None for key in PRICES)
    return cost_basis(price) if known else None


def _number(value: Any) -> float | None:
    """A price as a number; None if it is absent or not a number, such as a user's text."""
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return None
    return float(value)
