"""The summary's sentences on deployments: which policy held the target, and at what cost."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from pandas import DataFrame, Series

from analysis.figures.deployments import ranked_policies
from analysis.figures.prepare import are_comparable
from analysis.figures.quantities import cost_bases
from analysis.load.deployments import PAYS_FROM, REGRET, UNKNOWN_REGRET
from analysis.load.values import column, numbers
from analysis.stats.deployments import total_usd
from analysis.tables.digits import with_digits
from bench.core.regret import ORACLE
from bench.core.scales import MONEY, quantity


def deployments_of(runs: DataFrame) -> DataFrame:
    """Those of some counted runs that served a whole stream."""
    return runs[column(runs, "maintenance.policy").notna() & column(runs, "status").eq("ok")]


def deployment_heading(group: DataFrame) -> str:
    """What the deployments of one stream had to hold."""
    first = group.iloc[0]
    return (
        f"accuracy ≥ {first['maintenance.target_value']:g} to hold over"
        f" {first['maintenance.num_predictions']:,.0f} predictions on {first['host']}"
    )


def deployment_words(group: DataFrame) -> Iterator[str]:
    """Write about the deployments of one stream on one host, which may be compared.

    Args:
        group: Deployments, one for each configuration, seed and repeat.
    """
    incomparable = sorted(set(group.loc[~are_comparable(group), "configuration"]))
    if incomparable:
        yield f"Includes runs that are not comparable: {', '.join(incomparable)}."
    policies = group[column(group, "maintenance.policy").ne(ORACLE)]
    if policies.empty:
        yield "No policy but the oracle was deployed."
        return
    yield from _held(policies)
    yield from _total(policies)
    yield from _paying(policies)
    yield from _regret(group, policies)


def _medians(group: DataFrame, values: Series) -> Series:
    return values.groupby(group["configuration"].astype(str)).median()


def _money(usd: float) -> str:
    return quantity(usd, MONEY)


def _held(policies: DataFrame) -> Iterator[str]:
    """Who was on target most, and who never was."""
    shares = 100 * _medians(policies, numbers(policies, "maintenance.on_target_frac"))
    order = [name for name in ranked_policies(policies) if not pd.isna(shares[name])]
    if not order:
        yield "No label of any prediction is known, so no accuracy is."
        return
    best, worst = order[0], order[-1]
    if shares[order].nunique() == 1:
        names = best if best == worst else "All policies"
        yield f"{names}: on target for {with_digits(shares[best])}% of the predictions (median)."
        return
    yield f"On target most: {best}, for {with_digits(shares[best])}% of the predictions."
    yield f"On target least: {worst}, for {with_digits(shares[worst])}%."
    never = [name for name in order if not shares[name]]
    if never:
        yield f"Never on target: {', '.join(never)}."


def _total(policies: DataFrame) -> Iterator[str]:
    """Who was the cheapest at the price of an error in the configurations."""
    totals = _medians(policies, total_usd(policies)).dropna().sort_values(kind="stable")
    prices = numbers(policies, "config.error_price_usd").dropna().unique()
    if totals.empty or len(prices) != 1:
        return
    labels = set(column(policies, "energy_label").dropna())
    basis = ", ".join([*sorted(set(cost_bases(policies))), *sorted(labels)])
    yield (
        f"Cheapest at {_money(prices[0])} per error: {totals.index[0]}, upkeep and errors cost"
        f" {_money(totals.iloc[0])} ({basis}; median)."
    )
    if len(totals) > 1:
        yield f"Second: {totals.index[1]}, {_money(totals.iloc[1])}; not tested."


def _paying(policies: DataFrame) -> Iterator[str]:
    """From which price of an error on each policy is cheaper than never retraining."""
    prices = _medians(policies, numbers(policies, PAYS_FROM)).dropna().sort_values(kind="stable")
    if len(prices):
        texts = ", ".join(f"{name} {_money(price)}" for name, price in prices.items())
        yield f"Cheaper than never retraining from this price of an error on: {texts}."


def _regret(group: DataFrame, policies: DataFrame) -> Iterator[str]:
    """The smallest regret, or why there is none."""
    regrets = _medians(policies, numbers(policies, REGRET)).dropna().sort_values(kind="stable")
    if len(regrets):
        yield f"Least regret: {regrets.index[0]}, {_money(regrets.iloc[0])} (median)."
    reasons = column(group, UNKNOWN_REGRET).astype(object).dropna()
    for reason, num in reasons[reasons != ""].value_counts().items():
        yield f"Regret is unknown for {num} run{'s' * (num != 1)}: {reason}."
