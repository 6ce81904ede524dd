"""Adds money and emissions to a record, from the prices and the grid of its configuration."""

from __future__ import annotations

from dataclasses import replace

from hydra.utils import instantiate

from bench.core.records import RunRecord
from bench.measure.carbon import carbon_intensity_gco2e_per_kwh
from bench.measure.cost import Price, cost_usd, emissions_gco2e


def with_costs(record: RunRecord) -> RunRecord:
    """The record with cost and emissions to its target; unchanged where it was not reached.

    Raises:
        ValueError: The price or the country is not one.
    """
    target = record.target
    if target is None or target.time_to_target_s is None:
        return record
    price: Price = instantiate(record.config["price"])
    intensity = carbon_intensity_gco2e_per_kwh(record.config["grid"]["country_iso_code"])
    priced = replace(
        target,
        cost_to_target_usd=cost_usd(target.time_to_target_s, target.energy_to_target_j, price),
        emissions_to_target_gco2e=emissions_gco2e(target.energy_to_target_j, intensity),
    )
    return replace(record, target=priced)
