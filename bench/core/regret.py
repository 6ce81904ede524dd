"""What a policy costs more than the oracle on the same stream, and when it pays at all.

    total = cost of upkeep + wrong predictions x price of an error
    regret = total of the policy - total of the oracle on the same stream

The oracle knows the accuracy that every model would have had, so its schedule is the cheapest of
all that a policy could have chosen. Regret is computed where runs meet, and never stored in a
record, because a record knows of no other run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.core.counting import start_order
from bench.core.identity import charges_of, config_hash, without_key
from bench.core.records.maintenance import Maintenance
from bench.core.records.run import RunRecord

ORACLE, NEVER = "oracle", "never"
# Keys in which the policies that are compared differ. All others decide the stream or the price of
# a retraining.
_OF_POLICY = ("policy", "detector", "alpha")
NO_ORACLE = "no run of policy=oracle on the same stream"
_UNKNOWN_COST = "its cost is unknown"
_UNKNOWN_ORACLE = "the cost of the oracle is unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Regret:
    """The regret of a run.

    Attributes:
        usd: None if it is unknown. It may be negative: costs are measured, and vary.
        reason: Why it is unknown; empty if it is known.
    """

    usd: float | None = None
    reason: str = ""


def stream_hash(config: Mapping[str, Any]) -> str:
    """Hash all of a configuration but the policy: equal for policies that met the same task.

    Args:
        config: A resolved configuration of bench.maintain.

    Returns:
        12 hex digits. Prices count, which the hash of a configuration leaves out: money that was
        charged differently cannot be compared.
    """
    same = dict(config)
    for key in _OF_POLICY:
        same = without_key(same, key)
    return config_hash({**same, "charges": charges_of(config)})


def total_usd(maintenance: Maintenance, error_price_usd: float) -> float | None:
    """What a deployment cost: its upkeep and its errors; None if one of them is unknown.

    Args:
        maintenance: Of the run.
        error_price_usd: Price of one wrong prediction.
    """
    if maintenance.cost_usd is None or maintenance.num_errors is None:
        return None
    return maintenance.cost_usd + maintenance.num_errors * error_price_usd


def paying_error_price_usd(run: Maintenance, never: Maintenance) -> float | None:
    """The price of an error from which on a policy is cheaper than never retraining.

    It is the counterpart of break-even predictions: (cost - cost of never) / errors saved.

    Args:
        run: Of the policy.
        never: Of `policy=never` on the same stream.

    Returns:
        0 if the policy costs no more than never retraining. None if it saves no errors, or if
        costs or errors are unknown.
    """
    costs, errors = (run.cost_usd, never.cost_usd), (run.num_errors, never.num_errors)
    if None in costs or None in errors:
        return None
    saved = (never.num_errors or 0) - (run.num_errors or 0)
    if saved <= 0:
        return None
    return max(0.0, (run.cost_usd or 0.0) - (never.cost_usd or 0.0)) / saved


def counterparts(records: Sequence[RunRecord], policy: str) -> list[Maintenance | None]:
    """For each run, what a policy achieved on the same stream with the same seed and repeat.

    Args:
        records: Runs of bench.maintain.
        policy: Name of the policy, such as ORACLE.

    Returns:
        In the order of the records; None where no such run ended well. Of several, the latest.
    """
    found: dict[tuple[str, int, int], Maintenance] = {}
    for record in sorted(records, key=lambda each: start_order(each.run_id, each.started_utc)):
        kept = record.maintenance
        if kept is not None and kept.policy == policy and record.status == "ok":
            found[_place(record)] = kept
    return [found.get(_place(record)) for record in records]


def regrets(records: Sequence[RunRecord]) -> list[Regret]:
    """The regret of each run at the price of an error in its configuration, in the same order."""
    return [
        _regret(record, oracle)
        for record, oracle in zip(records, counterparts(records, ORACLE), strict=True)
    ]


def _regret(record: RunRecord, oracle: Maintenance | None) -> Regret:
    run = record.maintenance
    if run is None or record.status != "ok":
        return Regret(reason="the run did not end")
    if reason := run.regret_reason:
        return Regret(reason=reason)
    if oracle is None:
        return Regret(reason=NO_ORACLE)
    price_usd = record.config["error_price_usd"]
    total, least = (total_usd(each, price_usd) for each in (run, oracle))
    if total is None:
        return Regret(reason=_UNKNOWN_COST)
    if least is None:
        return Regret(reason=_UNKNOWN_ORACLE)
    return Regret(usd=total - least)


def _place(record: RunRecord) -> tuple[str, int, int]:
    return stream_hash(record.config), record.seed, record.repeat
