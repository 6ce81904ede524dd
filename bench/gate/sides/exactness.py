"""Which exact metrics of a run depend on measured times or costs, and are judged as measured."""

from __future__ import annotations

from bench.core.checks import value_at
from bench.core.records.run import RunRecord
from bench.gate.metrics import GATE_METRICS

# Policies that know neither the time nor the price of a retraining.
_TIMELESS = frozenset({"never", "every", "performance", "drift", "estimated", "reweight"})
_OF_A_DEPLOYMENT = tuple(
    metric.name
    for metric in GATE_METRICS
    if metric.kind == "exact" and metric.path.startswith("maintenance.")
)


def inexact_metrics(record: RunRecord) -> list[str]:
    """Names of the exact metrics that two runs of the same code need not agree on.

    A policy that weighs errors against the measured cost of a retraining may decide otherwise in
    the next run, unless `retrain.usd` sets that cost. With `stream.rate_per_s`, the old model
    serves for as long as a retraining takes.
    """
    if record.maintenance is None:
        return []
    waits = value_at(record.config, "stream.rate_per_s") is not None
    weighs = record.maintenance.policy not in _TIMELESS
    # An oracle of energy weighs joules, whatever a retraining costs.
    joules = value_at(record.config, "policy.objective") == "energy"
    is_measured = waits or (weighs and (joules or value_at(record.config, "retrain.usd") is None))
    return list(_OF_A_DEPLOYMENT) if is_measured else []
