"""Retrains when errors have become as expensive as a retraining."""

from __future__ import annotations

from typing import ClassVar

from bench.core.checks import require_at_least
from bench.drift.policies.base import Decision, Policy, View
from bench.drift.policies.known_errors import KnownErrors


class CostAware(Policy):
    """Retrains when the avoidable errors since the last retraining cost as much as one.

    Avoidable errors are those above the accuracy to hold: predictions x max(0, target - known
    accuracy). This is the cumulative threshold of CARA, with the price of a retraining as the
    threshold, and with excess errors as the cost of staleness. The cost trigger of Modyn has the
    same form, in seconds of training. Like the rule for renting or buying skis, it spends about as
    much on errors as on retrainings, and knows nothing of the future.

    It judges whenever at least `min_labels` are known, and then for all predictions since it did so
    last: what is served before its labels are known is charged at the accuracy that they show.

    Source: Mahadevan and Mathioudakis, "Cost-effective retraining of machine learning models",
    Knowledge-Based Systems 293, 2024; CostTrigger in
    https://github.com/eth-easl/modyn/blob/main/modyn/supervisor/internal/triggers/cost/costtrigger.py.
    """

    name: ClassVar[str] = "cost_aware"
    needs_labels: ClassVar[bool] = True
    needs_error_price = True

    def __init__(self, *, min_labels: int) -> None:
        """Set the fewest labels to judge by.

        Raises:
            ValueError: It is less than 1.
        """
        require_at_least("policy.min_labels", min_labels, 1)
        self._min_labels = min_labels
        self._last_retraining = -1
        self._start_anew()
        self._retraining_usd: float | None = None

    def _start_anew(self) -> None:
        self._known = KnownErrors()
        self._num_unjudged = 0
        self._avoidable_usd = 0.0

    def decide(self, view: View) -> Decision:
        """Charge the errors that have become known, and compare their price with a retraining.

        Raises:
            ValueError: Nothing has measured the price of a retraining so far.
        """
        retraining_usd = self._price(view)
        if view.last_retraining != self._last_retraining:
            self._last_retraining = view.last_retraining
            self._start_anew()
        self._known.add(view)
        self._num_unjudged += len(view.served)
        if len(self._known) < self._min_labels:
            return Decision(reason=f"{len(self._known)} labels, fewer than {self._min_labels}")
        known = self._known.estimate()
        if known.error is None:
            return Decision(reason=known.reason)
        excess = max(0.0, view.target - (1 - known.error)) * self._num_unjudged
        self._avoidable_usd += view.error_price_usd * excess
        self._known.clear()
        self._num_unjudged = 0
        return Decision(
            retrain=0 < self._avoidable_usd >= retraining_usd,
            estimate=1 - known.error,
            reason=f"avoidable errors: {self._avoidable_usd:.3g} USD; a retraining: "
            f"{retraining_usd:.3g} USD",
        )

    def _price(self, view: View) -> float:
        """The price of the last retraining that was measured."""
        if view.retraining_usd is not None:
            self._retraining_usd = view.retraining_usd
        if self._retraining_usd is None:
            raise ValueError(
                "policy=cost_aware: nothing measures the price of a retraining; set retrain.usd, "
                "or a price with usd_per_hour or usd_per_kwh"
            )
        return self._retraining_usd
