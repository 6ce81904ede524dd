"""What keeping a model accurate costs, by its parts, as stacked bars in dollars."""

from __future__ import annotations

from pandas import DataFrame

from analysis.figures.deployments import deployment_runs, ranked_policies
from analysis.figures.policy_price import basis_words
from analysis.figures.prepare import NothingToDraw
from analysis.figures.stacked import stacked
from analysis.load.values import numbers
from analysis.stats.deployments import LABELS, PEOPLE, cost_parts
from bench.core.metric import MONEY


def data_maintenance_costs(runs: DataFrame) -> DataFrame:
    """Prepare the mean cost of each part of the upkeep, per configuration.

    Args:
        runs: As loaded, or a group of them.

    Returns:
        As stacked.stacked, in dollars with a prefix. A part of the machine is hatched if its joules
        were modelled.

    Raises:
        NothingToDraw: No run has a known cost.
    """
    kept = deployment_runs(runs)
    parts = cost_parts(kept)
    known = parts.notna().all(axis=1)
    if not known.any():
        raise NothingToDraw("no run of bench.maintain has a known cost")
    shown, parts = kept[known], parts[known]
    if not parts.to_numpy().any():
        raise NothingToDraw("no upkeep cost anything")
    long = parts.assign(run_id=shown["run_id"])
    long = long.melt("run_id", var_name="part", value_name="value")
    data = stacked(shown.drop(columns="outcome", errors="ignore"), long, ranked_policies(shown))
    is_machine = ~data["part"].isin([LABELS, PEOPLE])
    labels = shown.groupby(shown["configuration"].astype(str))["label"].first()
    return data.assign(
        label=data["configuration"].map(labels).where(is_machine, ""),
        axis=f"mean cost of the upkeep\n({MONEY}; machine: {basis_words(shown)})",
        remark=_remark(kept, shown),
    )


def _remark(kept: DataFrame, shown: DataFrame) -> str:
    words = "From the policy that is on target most to the one that is least."
    if numbers(shown, "maintenance.retrain_init_s").gt(0).any():
        words += " Set-up: by its share of the retrainings' time."
    if len(kept) > len(shown):
        words += f" {len(kept) - len(shown)} runs of unknown cost are left out."
    return words
