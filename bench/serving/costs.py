"""Money and emissions of a million predictions, from what a measured pass took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bench.core.records.serving import Serving
from bench.measure.cost import cost_usd, emissions_gco2e
from bench.runs.costs import Rates

_MILLION = 1_000_000


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
    rates = Rates.of(dict(config))
    each_s = serving.duration_s / serving.num_predictions
    each_j = serving.energy_per_prediction_j
    energy_j = None if each_j is None else each_j * _MILLION
    return replace(
        serving,
        cost_per_million_usd=cost_usd(each_s * _MILLION, energy_j, rates.price),
        emissions_per_million_gco2e=emissions_gco2e(energy_j, rates.intensity_gco2e_per_kwh),
    )
