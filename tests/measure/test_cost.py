from __future__ import annotations

import pytest

from bench.measure.cost import Price, cost_usd, emissions_gco2e


def price(usd_per_hour: float | None = None, usd_per_kwh: float | None = None) -> Price:
    return Price(
        name="test",
        usd_per_hour=usd_per_hour,
        usd_per_kwh=usd_per_kwh,
        region="here",
        date="2026-01",
        source="a test",
    )


def test_emissions_of_a_kilowatt_hour_are_the_intensity() -> None:
    assert emissions_gco2e(3.6e6, 400.0) == 400.0
    assert emissions_gco2e(None, 400.0) is None


def test_a_rented_machine_costs_its_hours_whatever_the_energy() -> None:
    assert cost_usd(1800.0, None, price(usd_per_hour=3.0)) == 1.5


def test_an_own_machine_costs_its_electricity() -> None:
    assert cost_usd(1800.0, 7.2e6, price(usd_per_kwh=0.2)) == pytest.approx(0.4)
    assert cost_usd(1800.0, None, price(usd_per_kwh=0.2)) is None


def test_joules_that_cost_nothing_need_not_be_known() -> None:
    assert cost_usd(1800.0, None, price(usd_per_hour=3.0, usd_per_kwh=0.0)) == 1.5


def test_both_prices_are_charged_together() -> None:
    assert cost_usd(3600.0, 3.6e6, price(1.0, 0.25)) == 1.25


@pytest.mark.parametrize(
    ("usd_per_hour", "usd_per_kwh", "message"),
    [
        (-1.0, None, "price.usd_per_hour=-1.0"),
        (1.0, float("inf"), "price.usd_per_kwh=inf"),
        (None, None, "price test: give price.usd_per_hour, price.usd_per_kwh or both"),
    ],
)
def test_prices_that_cannot_be_are_refused(
    usd_per_hour: float | None, usd_per_kwh: float | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        price(usd_per_hour, usd_per_kwh)
