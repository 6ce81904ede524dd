"""What a policy costs more than the oracle on the same stream, and when it pays at all.

    total = cost of upkeep + wrong predictions x price of an error
    regret = total of the policy - total of the oracle on the same stream

With retrain.usd, the cost in a regret is that price of each retraining, and the labels: the oracle
is the cheapest at the price by which it decided, not at another one that was measured.

The oracle knows the accuracy that every model would have had, so its schedule is the cheapest of
all that a policy could have chosen. Regret is computed where runs meet, and never stored in a
record, because a record knows of no other run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from bench.core.checks import value_at
from bench.core.counting import start_order
from bench.core.identity import charges_of, config_hash, without_copies, without_key
from bench.core.records.run import RunRecord

ORACLE, NEVER = "oracle", "never"
# Keys in which the policies that are compared differ. All others decide the stream or the price of
# a retraining.
OF_POLICY = ("policy", "detector", "alpha")
_COST = "cost"  # the objective of an oracle
NO_ORACLE = "no run of policy=oracle on the same stream"


class Charged(Protocol):
    """What a deployment cost, and the errors that its users saw; None if unknown."""

    @property
    def cost_usd(self) -> float | None:
        """Cost of the upkeep."""

    @property
    def num_errors(self) -> int | None:
        """Wrong predictions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What must be known of a run to compare it with an oracle.

    Attributes:
        run_id: The run.
        started_utc: When it was started.
        has_ended: Whether it served its whole stream.
        stream: Of stream_hash.
        seed: Its seed.
        repeat: Its repeat.
        policy: Name of its policy.
        cost_usd: Cost of its upkeep; None if unknown.
        weighed_usd: The cost by which policies decided, of weighed_usd(); None if unknown.
        num_errors: Its wrong predictions; None if unknown.
        error_price_usd: Price of one of them.
        regret_reason: Why it cannot be compared with an oracle; empty if it can.
    """

    run_id: str
    started_utc: str
    has_ended: bool
    stream: str
    seed: int
    repeat: int
    policy: str
    cost_usd: float | None
    weighed_usd: float | None
    num_errors: int | None
    error_price_usd: float
    regret_reason: str = ""

    @property
    def place(self) -> tuple[str, int, int]:
        """What it shares with the run of another policy that met the same task."""
        return self.stream, self.seed, self.repeat


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
        12 hex digits, the same for all seeds and repeats. Prices count, which the hash of a
        configuration leaves out: money that was charged differently cannot be compared.
    """
    same = without_copies(config)
    for key in OF_POLICY:
        same = without_key(same, key)
    return config_hash({**same, "charges": charges_of(config)})


def deployment_of(record: RunRecord) -> Deployment | None:
    """What must be known of a record of bench.maintain; None for one that served nothing."""
    kept = record.maintenance
    if kept is None:
        return None
    return Deployment(
        run_id=record.run_id,
        started_utc=record.started_utc,
        has_ended=record.status == "ok",
        stream=stream_hash(record.config),
        seed=record.seed,
        repeat=record.repeat,
        policy=policy_name(kept.policy, value_at(record.config, "policy.objective")),
        cost_usd=kept.cost_usd,
        weighed_usd=weighed_usd(
            kept.cost_usd,
            value_at(record.config, "retrain.usd"),
            kept.num_retrains,
            kept.labels_cost_usd or 0.0,
        ),
        num_errors=kept.num_errors,
        error_price_usd=record.config["error_price_usd"],
        regret_reason=kept.regret_reason,
    )


def weighed_usd(
    cost_usd: float | None, retrain_usd: float | None, num_retrains: int, labels_usd: float
) -> float | None:
    """The cost of a deployment by which its policy, and the oracle, decided.

    Args:
        cost_usd: What the upkeep cost; None if unknown.
        retrain_usd: The fixed price of a retraining (`retrain.usd`), people included; None if what
            it really cost decides.
        num_retrains: Retrainings.
        labels_usd: Price of the labels.
    """
    return cost_usd if retrain_usd is None else num_retrains * retrain_usd + labels_usd


def policy_name(policy: str, objective: str | None) -> str:
    """The policy; an oracle that saves joules instead of money is no measure of regret."""
    return policy if objective in (None, _COST) else f"{policy} of {objective}"


def total_usd(run: Charged, error_price_usd: float) -> float | None:
    """What a deployment cost: its upkeep and its errors; None if one of them is unknown.

    Args:
        run: The run.
        error_price_usd: Price of one wrong prediction.
    """
    if run.cost_usd is None or run.num_errors is None:
        return None
    return run.cost_usd + run.num_errors * error_price_usd


def paying_error_price_usd(run: Charged, never: Charged) -> float | None:
    """The price of an error from which on a policy is cheaper than never retraining.

    It is the counterpart of break-even predictions: (cost - cost of never) / errors saved.

    Args:
        run: Of the policy.
        never: Of `policy=never` on the same stream.

    Returns:
        0 if the policy costs no more than never retraining. None if it saves no errors, or if
        costs or errors are unknown.
    """
    if run.cost_usd is None or never.cost_usd is None:
        return None
    if run.num_errors is None or never.num_errors is None or run.num_errors >= never.num_errors:
        return None
    return max(0.0, run.cost_usd - never.cost_usd) / (never.num_errors - run.num_errors)


def counterparts(runs: Sequence[Deployment], policy: str) -> list[Deployment | None]:
    """For each run, that of a policy on the same stream, with the same seed and repeat.

    Args:
        runs: Runs of any policies.
        policy: Name of the policy, such as ORACLE.

    Returns:
        In the order of the runs; None where no such run served its whole stream. Of several, the
        latest.
    """
    found = {
        run.place: run
        for run in sorted(runs, key=lambda each: start_order(each.run_id, each.started_utc))
        if run.policy == policy and run.has_ended
    }
    return [found.get(run.place) for run in runs]


def paying_prices_usd(runs: Sequence[Deployment]) -> list[float | None]:
    """For each run, the price of an error from which on it is cheaper than never retraining.

    Returns:
        In the order of the runs; None where it never is, or where that is unknown.
    """
    return [
        None if never is None or run is never else paying_error_price_usd(run, never)
        for run, never in zip(runs, counterparts(runs, NEVER), strict=True)
    ]


def regrets(runs: Sequence[Deployment]) -> list[Regret]:
    """The regret of each run at the price of an error in its configuration, in the same order."""
    return [
        _regret(run, oracle) for run, oracle in zip(runs, counterparts(runs, ORACLE), strict=True)
    ]


def _regret(run: Deployment, oracle: Deployment | None) -> Regret:
    if not run.has_ended:
        return Regret(reason="the run did not serve its whole stream")
    if run.regret_reason:
        return Regret(reason=run.regret_reason)
    if oracle is None:
        return Regret(reason=NO_ORACLE)
    total, least = (
        total_usd(replace(each, cost_usd=each.weighed_usd), run.error_price_usd)
        for each in (run, oracle)
    )
    if total is None:
        return Regret(reason="its cost is unknown")
    if least is None:
        return Regret(reason="the cost of the oracle is unknown")
    return Regret(usd=total - least)
