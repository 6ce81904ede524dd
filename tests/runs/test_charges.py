from __future__ import annotations

from typing import Any

import pytest

from bench.core.outcome import outcome_record
from bench.core.store import new_identity
from bench.runs.charges import with_costs
from tests.rows import curve

CONFIG: dict[str, Any] = {
    "target": {"value": 0.9, "eval_every_samples": 100},
    "price": {
        "_target_": "bench.measure.cost.Price",
        **{"name": "made", "usd_per_hour": 36.0, "usd_per_kwh": None, "region": "", "date": ""},
        "source": "",
    },
    "grid": {"country_iso_code": "DEU"},
}


@pytest.mark.parametrize(("trainer", "num_nodes"), [({}, 1), ({"trainer": {"num_nodes": 3}}, 3)])
def test_the_hourly_price_is_paid_for_each_node(trainer: dict[str, Any], num_nodes: int) -> None:
    identity = new_identity("train", "0123456789ab", 0, 0)
    record = outcome_record(identity, {**CONFIG, **trainer}, curve([0.95]), status="ok")
    target = with_costs(record).target
    assert target is not None
    # The curve of tests.rows hits after 2 s; 36 USD per hour are 0.01 USD per second.
    assert target.cost_to_target_usd == pytest.approx(0.02 * num_nodes)
