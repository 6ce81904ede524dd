"""Adds money and emissions to a record, from the prices and the grid of its configuration."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from bench.cli.messages import innermost
from bench.config.run import RunConfig
from bench.core.files import StoreError
from bench.core.records.run import RunRecord
from bench.core.records.serving import Serving
from bench.measure.carbon import carbon_intensity_gco2e_per_kwh
from bench.measure.cost import Price, cost_usd, emissions_gco2e
from bench.runs.recipes import recorded_source, with_recipe

_log = logging.getLogger(__name__)
# What was right when it was looked at: a sweep has thousands of jobs and few prices.
_right: set[str] = set()
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What time and joules are charged with."""

    price: Price
    intensity_gco2e_per_kwh: float

    @classmethod
    def of(cls, price: Mapping[str, Any], grid: Mapping[str, Any]) -> Rates:
        """The rates of a configuration.

        Args:
            price: The group `price`.
            grid: The group `grid`.

        Raises:
            ValueError: The price or the country is not one.
        """
        return cls(
            price=instantiate(price),
            intensity_gco2e_per_kwh=carbon_intensity_gco2e_per_kwh(grid["country_iso_code"]),
        )

    def charge(self, time_s: float, energy_j: float | None) -> tuple[float | None, float | None]:
        """Dollars and grams of CO2e for a time and the joules used in it."""
        return (
            cost_usd(time_s, energy_j, self.price),
            emissions_gco2e(energy_j, self.intensity_gco2e_per_kwh),
        )


def require_rates(config: RunConfig) -> None:
    """Refuse a price, a country or settings of CodeCarbon that are none, before they cost a run.

    Raises:
        ValueError: One is not right; the message names the key.
    """
    parts = [config.price, config.grid, config.codecarbon]
    text = json.dumps(parts, sort_keys=True)
    if text in _right:
        return
    try:
        Rates.of(config.price, config.grid)
        if config.codecarbon:
            instantiate(config.codecarbon)
    except InstantiationException as error:
        raise ValueError(str(innermost(error))) from error
    _right.add(text)


def with_costs(record: RunRecord) -> RunRecord:
    """The record with cost and emissions to its target; unchanged where it was not reached.

    Raises:
        ValueError: As Rates.of; a run has made sure of them before it trains.
    """
    target = record.target
    if target is None or target.time_to_target_s is None:
        return record
    rates = Rates.of(record.config["price"], record.config["grid"])
    usd, gco2e = rates.charge(target.time_to_target_s, target.energy_to_target_j)
    priced = replace(target, cost_to_target_usd=usd, emissions_to_target_gco2e=gco2e)
    return replace(record, target=priced)


def complete_training(record: RunRecord) -> RunRecord:
    """A training's record with its costs and those of the run that it builds on.

    For a job that could not write its own: where the other run is gone meanwhile, its part stays
    unknown and the record is written all the same.

    Raises:
        ValueError: As Rates.of.
    """
    priced = with_costs(record)
    try:
        return with_recipe(priced, recorded_source(record.config))
    except StoreError as error:
        _log.warning("%s", error)
        return priced


def with_serving_costs(serving: Serving, config: Mapping[str, Any]) -> Serving:
    """The same with cost and emissions per million predictions, at the rate that was served.

    A rented machine is paid for while it waits, too: at a low rate a prediction costs more.

    Args:
        serving: What the pass gave.
        config: The resolved configuration, for its price and grid.

    Raises:
        ValueError: The price or the country is not one.
    """
    if not serving.num_predictions or serving.duration_s is None:
        return serving
    rates = Rates.of(config["price"], config["grid"])
    each_s = serving.duration_s / serving.num_predictions
    each_j = serving.energy_per_prediction_j
    usd, gco2e = rates.charge(each_s * _MILLION, None if each_j is None else each_j * _MILLION)
    return replace(serving, cost_per_million_usd=usd, emissions_per_million_gco2e=gco2e)
