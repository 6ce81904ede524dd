"""Policies that look at nothing but the clock."""

from __future__ import annotations

from typing import ClassVar

from bench.core.checks import require_at_least
from bench.drift.policies.base import Decision, Policy, View


class Never(Policy):
    """Keeps the first model."""

    name: ClassVar[str] = "never"
    retrains: ClassVar[bool] = False

    def decide(self, view: View) -> Decision:
        """Leave everything as it is."""
        return Decision()


class Every(Policy):
    """Retrains at fixed intervals."""

    name: ClassVar[str] = "every"

    def __init__(self, *, windows: int) -> None:
        """Set the interval, in windows.

        Raises:
            ValueError: It is less than 1.
        """
        require_at_least("policy.windows", windows, 1)
        self._windows = windows

    def decide(self, view: View) -> Decision:
        """Retrain if as many windows were served since the last retraining."""
        num = view.windows_since_retraining
        if num < self._windows:
            return Decision()
        return Decision(retrain=True, reason=f"{num} window{'s' * (num > 1)} served")
