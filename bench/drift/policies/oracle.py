"""Follows a schedule that was computed with knowledge of the future."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from bench.core.checks import require_one_of
from bench.drift.policies.base import Decision, Policy, View

_OBJECTIVES = ("cost", "energy")


class Oracle(Policy):
    """Retrains at the windows of the best schedule (bench.drift.oracle).

    Attributes:
        matrix: Run or folder whose matrix of models and windows to use; None to make one.
        objective: `cost`: least price of retrainings and errors. `energy`: fewest joules with as
            many windows on target as possible.
    """

    name: ClassVar[str] = "oracle"
    needs_error_price = True

    def __init__(self, *, matrix: str | None, objective: str) -> None:
        """Set what is best, and where the matrix comes from.

        Raises:
            ValueError: There is no such objective.
        """
        require_one_of("policy.objective", objective, _OBJECTIVES)
        self.matrix = matrix
        self.objective = objective
        self.needs_error_price = objective == "cost"
        self._schedule: frozenset[int] | None = None

    def set_schedule(self, windows: Sequence[int]) -> None:
        """Set the windows at whose end to retrain, before the stream starts."""
        self._schedule = frozenset(windows)

    def decide(self, view: View) -> Decision:
        """Retrain if the schedule says so.

        Raises:
            ValueError: There is no schedule.
        """
        if self._schedule is None:
            raise ValueError("policy=oracle: has no schedule; it must be set before the stream")
        if view.window not in self._schedule:
            return Decision()
        return Decision(retrain=True, reason="as scheduled")
