from __future__ import annotations

import pytest

from bench.core.directions import DIRECTIONS
from bench.core.least_effects import least_effect_frac
from bench.gate.metrics import METRICS

# Of an accuracy the gate wants 1%; analysis knows its sampling error on the split instead.
_OWN_RULE = {"quality_test.accuracy"}


@pytest.mark.parametrize(
    ("path", "least_frac"),
    [
        (metric.path, metric.min_effect_frac)
        for metric in METRICS
        if metric.path in DIRECTIONS and metric.path not in _OWN_RULE
    ],
)
def test_the_gate_and_the_fronts_have_the_same_least_effects(path: str, least_frac: float) -> None:
    assert least_effect_frac(path) == least_frac


def test_money_and_carbon_follow_from_time_and_joules() -> None:
    assert least_effect_frac("target.cost_to_target_usd") == least_effect_frac(
        "target.energy_to_target_j"
    )
    assert least_effect_frac("serving.cost_per_million_usd") == least_effect_frac(
        "serving.energy_per_prediction_j"
    )
