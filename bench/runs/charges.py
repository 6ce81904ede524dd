"""Adds money and emissions to a record, from the prices and the grid of its configuration."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import yaml
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from bench.cli.messages import root_cause
from bench.config.run import GridConfig, WindowConfig
from bench.core.checks import value_at
from bench.core.files import StoreError, config_dir
from bench.core.records.run import RunRecord
from bench.core.records.serving import Serving
from bench.measure.carbon import carbon_intensity_gco2e_per_kwh
from bench.measure.cost import Price, cost_usd, emissions_gco2e
from bench.runs.recipes import source_record, with_recipe

_log = logging.getLogger(__name__)
_MILLION = 1_000_000
_PRICE = "bench.measure.cost.Price"


def charge(
    config: Mapping[str, Any], time_s: float, energy_j: float | None
) -> tuple[float | None, float | None]:
    """Charge a time and the joules used in it, in dollars and in grams of CO2e.

    Args:
        config: A resolved configuration, for its groups `price` and `grid`.
        time_s: The time in seconds.
        energy_j: The joules; None if unknown.

    Raises:
        ValueError: A price is out of range, or the country is unknown.
    """
    return _charged(instantiate(config["price"]), config, time_s, energy_j)


def _charged(
    price: Price, config: Mapping[str, Any], time_s: float, energy_j: float | None
) -> tuple[float | None, float | None]:
    intensity = carbon_intensity_gco2e_per_kwh(config["grid"]["country_iso_code"])
    return cost_usd(time_s, energy_j, price), emissions_gco2e(energy_j, intensity)


def charge_recorded(
    config: Mapping[str, Any], time_s: float, energy_j: float | None
) -> tuple[float | None, float | None] | None:
    """As charge(), for a configuration that anybody may have written: nothing it names is called.

    Returns:
        None if the price is of another class than ours.

    Raises:
        KeyError: A price or a grid is missing.
        TypeError: One is no mapping, or a price is no number.
        ValueError: As charge().
    """
    fields = dict(config["price"])
    if fields.pop("_target_") != _PRICE:
        return None
    return _charged(Price(**fields), config, time_s, energy_j)


def with_default_charges(config: Mapping[str, Any]) -> dict[str, Any]:
    """Add the price and the grid that bench.train takes by default, unless config has its own.

    Raises:
        ValueError: The price or the grid in config cannot be charged; the message names the key.
    """
    charged = {**config, **{k: v for k, v in _default_charges().items() if k not in config}}
    for group in ("price", "grid"):
        if not isinstance(charged[group], Mapping):
            raise ValueError(
                f"config[{group!r}]={charged[group]!r}: must be a mapping, as in conf/{group}/, "
                "because the run is charged by it; rename the key if it means something else"
            )
    GridConfig.from_dict(charged["grid"], "grid.")
    charged["price"] = {"_target_": _PRICE, **charged["price"]}
    try:
        charge(charged, 0.0, None)
    except InstantiationException as error:
        raise ValueError(f"config['price']: {root_cause(error)}") from error
    return charged


@cache
def _default_charges() -> dict[str, Any]:
    """The groups `price` and `grid` as conf/train.yaml chooses them."""
    conf = config_dir()
    chosen: dict[str, str] = {}
    for entry in yaml.safe_load((conf / "train.yaml").read_text())["defaults"]:
        chosen |= entry if isinstance(entry, dict) else {}
    groups = {}
    for group in ("price", "grid"):
        groups[group] = yaml.safe_load((conf / group / f"{chosen[group]}.yaml").read_text())
        del groups[group]["defaults"]
    return groups


def require_rates(config: WindowConfig) -> None:
    """Refuse a wrong price, country or setting of CodeCarbon before it costs a run.

    Raises:
        ValueError: One is wrong; the message names the key.
    """
    _require_rates(json.dumps([config.price, config.grid, config.codecarbon], sort_keys=True))


@cache  # a sweep has thousands of jobs and few prices
def _require_rates(groups: str) -> None:
    price, grid, codecarbon = json.loads(groups)
    try:
        charge({"price": price, "grid": grid}, 0.0, None)
        if codecarbon:
            instantiate(codecarbon)
    except InstantiationException as error:
        raise ValueError(str(root_cause(error))) from error


def with_costs(record: RunRecord) -> RunRecord:
    """Add cost and emissions to a record; it is unchanged if the target was not reached.

    Raises:
        ValueError: As charge(); a run checks its rates before it trains.
    """
    target = record.target
    # The cost of a target that was missed is unknown: more time would have cost more.
    if target is None or target.time_to_target_s is None:
        return record
    # The hourly price is that of one node.
    num_nodes = value_at(record.config, "trainer.num_nodes") or 1
    node_s = target.time_to_target_s * num_nodes
    usd, gco2e = charge(record.config, node_s, target.energy_to_target_j)
    priced = replace(target, cost_to_target_usd=usd, emissions_to_target_gco2e=gco2e)
    return replace(record, target=priced)


def complete_training(record: RunRecord) -> RunRecord:
    """Complete the record of a training whose job could not write it.

    If the run that it builds on is gone by now, that part stays unknown and a warning says so.

    Raises:
        ValueError: As charge().
    """
    # The costs of this run come first, because the total of a recipe adds them up.
    priced = with_costs(record)
    try:
        return with_recipe(priced, source_record(record.config))
    except StoreError as error:
        _log.warning("%s", error)
        return priced


def with_serving_costs(serving: Serving, config: Mapping[str, Any]) -> Serving:
    """Add cost and emissions per million predictions, at the rate that was served.

    A rented machine is paid for even while it waits, so a prediction costs more at a low rate.

    Args:
        serving: The results of the reported pass.
        config: The resolved configuration, for its price and grid.

    Raises:
        ValueError: As charge().
    """
    if not serving.num_predictions or serving.duration_s is None:
        return serving
    time_s = serving.duration_s / serving.num_predictions * _MILLION
    each_j = serving.energy_per_prediction_j
    usd, gco2e = charge(config, time_s, None if each_j is None else each_j * _MILLION)
    return replace(serving, cost_per_million_usd=usd, emissions_per_million_gco2e=gco2e)
