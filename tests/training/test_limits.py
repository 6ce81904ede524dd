"""What a budget and a cutoff let a run spend."""

from __future__ import annotations

import pytest

from bench.config.train import BudgetConfig, CutoffConfig
from bench.measure.cost import Price, cost_usd
from bench.training.limits import budget_limits, cutoff_limits

PRICE = {"usd_per_hour": 3.6, "usd_per_kwh": 0.36}  # 0.001 USD/s and 1e-7 USD/J


def test_a_budget_has_a_limit_for_each_key_that_is_set() -> None:
    assert budget_limits(None) == []
    assert budget_limits(BudgetConfig(max_epochs=1)) == []
    time, joules = budget_limits(BudgetConfig(max_epochs=1, max_time_s=2.0, max_energy_j=30.0))
    assert (time.key, joules.key) == ("budget.max_time_s", "budget.max_energy_j")
    assert time.cutoff is None
    assert time.is_spent(2.0, 0.0)
    assert not time.is_spent(1.9, 1e9)
    assert joules.is_spent(0.0, 30.0)
    assert not joules.is_spent(1e9, 29.0)


def test_a_cutoff_in_money_counts_time_and_joules_as_the_record_does() -> None:
    (limit,) = cutoff_limits(CutoffConfig(max_cost_usd=0.015), PRICE)
    assert limit.cutoff == "max_cost_usd"
    # 10 s cost 0.01 USD and 50 kJ cost 0.005 USD.
    assert limit.is_spent(10.0, 50_000.0)
    assert not limit.is_spent(10.0, 49_000.0)
    price = Price(name="x", **PRICE, region="", date="", source="")
    assert limit.per_s * 10 + limit.per_j * 5e4 == pytest.approx(cost_usd(10.0, 5e4, price))


def test_money_for_rent_alone_needs_no_joules() -> None:
    (limit,) = cutoff_limits(CutoffConfig(max_cost_usd=1.0), {"usd_per_hour": 3600.0})
    assert (limit.per_s, limit.per_j) == (1.0, 0.0)
