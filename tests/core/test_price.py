from __future__ import annotations

from typing import Any

import pytest

from bench.core.price import cost_basis


@pytest.mark.parametrize(
    ("per_hour", "per_kwh", "basis"),
    [
        (1.006, None, "rental"),
        (None, 0.1545, "electricity"),
        (2.0, 0.2, "rental and electricity"),
        # From a table of runs, in which a price that is not there is NaN.
        (1.006, float("nan"), "rental"),
        (float("nan"), 0.1545, "electricity"),
        # Nothing is charged for what costs 0.
        (0.0, 0.1545, "electricity"),
        (1.006, 0.0, "rental"),
        (0.0, None, "rental"),
        (None, 0.0, "electricity"),
        (0, 0, "rental"),
    ],
)
def test_the_basis_of_costs_is_named(per_hour: Any, per_kwh: Any, basis: str) -> None:
    assert cost_basis({"usd_per_hour": per_hour, "usd_per_kwh": per_kwh}) == basis


def test_an_absent_key_charges_nothing() -> None:
    assert cost_basis({"usd_per_hour": 1.0}) == "rental"
    assert cost_basis({"usd_per_kwh": 1.0, "name": "this_machine"}) == "electricity"


def test_no_price_at_all_has_no_basis() -> None:
    with pytest.raises(ValueError, match="neither usd_per_hour nor usd_per_kwh"):
        cost_basis({"usd_per_hour": None, "usd_per_kwh": float("nan")})
