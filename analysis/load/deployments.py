"""What follows from the records of deployments once they are read together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from pandas import DataFrame, Index, Series

from analysis.load.records import STREAM
from analysis.load.values import column, numbers
from bench.core.regret import (
    Deployment,
    paying_prices_usd,
    policy_name,
    regrets,
    weighed_usd,
)

OFF_TARGET, UPKEEP = "maintenance.off_target_frac", "maintenance.upkeep_per_1000_j"
REGRET, PAYS_FROM = "maintenance.regret_usd", "maintenance.pays_from_usd"
# Why the regret of a run is unknown; empty if it is known.
UNKNOWN_REGRET = "unknown_regret"
_PER_1000 = 1_000
# The columns that a Deployment takes as they are; a run has hundreds.
_FACTS = (
    *("run_id", "started_utc", "status", "seed", "repeat", STREAM),
    *("maintenance.policy", "maintenance.regret_reason"),
)


def with_derived(runs: DataFrame) -> DataFrame:
    """Add OFF_TARGET, UPKEEP, REGRET, PAYS_FROM and UNKNOWN_REGRET; missing for other commands.

    Args:
        runs: All that were read: the regret of a run needs the oracle among them.
    """
    per_1000 = numbers(runs, "maintenance.num_predictions") / _PER_1000
    added = {
        OFF_TARGET: 1 - numbers(runs, "maintenance.on_target_frac"),
        UPKEEP: numbers(runs, "maintenance.upkeep_j") / per_1000,
    }
    is_deployed = column(runs, STREAM).notna()
    deployed = runs.index[is_deployed]
    # Few folders hold any, and to select rows of hundreds of columns takes long.
    met = list(deployments(runs[is_deployed])) if len(deployed) else []
    found = regrets(met)
    return runs.assign(
        **added,
        **{
            REGRET: _numbers([each.usd for each in found], deployed),
            PAYS_FROM: _numbers(paying_prices_usd(met), deployed),
            UNKNOWN_REGRET: Series([each.reason for each in found], index=deployed, dtype=object),
        },
    )


def _numbers(values: Sequence[float | None], index: Index) -> Series:
    return Series(
        [np.nan if value is None else value for value in values], index=index, dtype=float
    )


def deployments(runs: DataFrame) -> Iterator[Deployment]:
    """What must be known of each run to compare it with others on the same stream.

    Args:
        runs: Of load_runs, deployments only.
    """
    costs, errors, prices = (
        numbers(runs, name)
        for name in ("maintenance.cost_usd", "maintenance.num_errors", "config.error_price_usd")
    )
    retrain_usd, num_retrains, labels_usd = (
        numbers(runs, name)
        for name in (
            "config.retrain.usd",
            "maintenance.num_retrains",
            "maintenance.labels_cost_usd",
        )
    )
    objectives = column(runs, "config.policy.objective").astype(object)
    hosts = column(runs, "host.cpu_name").astype(object).fillna("")
    for place, row in enumerate(runs[list(_FACTS)].to_dict("records")):
        objective = objectives.iloc[place]
        cost_usd, num_errors = _known(costs.iloc[place]), errors.iloc[place]
        yield Deployment(
            run_id=str(row["run_id"]),
            started_utc=str(row["started_utc"]),
            has_ended=row["status"] == "ok",
            # Another machine needs other joules for the same work.
            stream=f"{row[STREAM]} {hosts.iloc[place]}",
            seed=int(row["seed"]),
            repeat=int(row["repeat"]),
            policy=policy_name(
                str(row["maintenance.policy"]), objective if isinstance(objective, str) else None
            ),
            cost_usd=cost_usd,
            weighed_usd=weighed_usd(
                cost_usd,
                _known(retrain_usd.iloc[place]),
                int(num_retrains.fillna(0).iloc[place]),
                float(labels_usd.fillna(0.0).iloc[place]),
            ),
            num_errors=None if np.isnan(num_errors) else int(num_errors),
            error_price_usd=float(prices.fillna(0.0).iloc[place]),
            regret_reason=str(row["maintenance.regret_reason"] or ""),
        )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
