"""What a run means to a search: what it spent in the search's cost, and whether it succeeded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from bench.core.flat import value_of
from bench.core.objective import objective_of
from bench.core.records.run import RunRecord
from bench.runs.charges import charge
from bench.search.trial import Result

_TIME, _ENERGY = "target.time_to_target_s", "target.energy_to_target_j"
_MONEY = "target.cost_to_target_usd"
# The costs by which a race can choose, and the key that stops a run at each.
LIMITS: Mapping[str, str] = MappingProxyType(
    {_TIME: "max_time_s", _ENERGY: "max_energy_j", _MONEY: "max_cost_usd"}
)


def cost_result(record: RunRecord, quantity: str) -> Result:
    """What a training spent until its target, or altogether if it did not reach it.

    Args:
        record: Its record.
        quantity: The cost, of LIMITS.
    """
    target = record.target
    if record.status == "ok" and target is not None and target.reached:
        return Result(spent=value_of(record, quantity), reached=True)
    failed = record.status != "ok"
    time_s, energy_j = record.phases.wall_time_s, record.energy_total_j
    if target is not None and target.censored_at_s is not None:
        time_s, energy_j = target.censored_at_s, target.censored_at_j
    if time_s is None and record.phases.init_s is not None:  # it never came to its clock
        return Result(spent=0.0, reached=False, failed=failed)
    return Result(spent=_spent(record, quantity, time_s, energy_j), reached=False, failed=failed)


def _spent(
    record: RunRecord, cost: str, time_s: float | None, energy_j: float | None
) -> float | None:
    if cost == _TIME:
        return time_s
    if cost == _ENERGY:
        return energy_j
    return None if time_s is None else charge(record.config, time_s, energy_j)[0]


def value_result(record: RunRecord, quantity: str) -> Result:
    """The value of any quantity of a run; a run without one did not reach it.

    Args:
        record: Its record.
        quantity: A quantity that can be an objective.
    """
    value = objective_of(quantity, [record])
    known = math.isfinite(value)
    failed = record.status != "ok"
    return Result(spent=value if known else None, reached=known, failed=failed)
