"""Retrains when the labels show that the model has become worse."""

from __future__ import annotations

from typing import ClassVar

from bench.core.checks import require_at_least
from bench.drift.policies.base import Decision, Policy, View
from bench.drift.policies.known_errors import KnownErrors
from bench.drift.policies.threshold import AccuracyThreshold


class Performance(Policy):
    """Retrains when the known accuracy of the last windows is below a threshold.

    A label that was to be seen with a probability below 1 counts more in return (Hajek). There is
    no estimate, and so no retraining, where some labels can never be seen.
    """

    name: ClassVar[str] = "performance"
    needs_labels: ClassVar[bool] = True

    def __init__(self, *, threshold: float | None, patience: int, min_labels: int) -> None:
        """Set when to retrain.

        Args:
            threshold: Accuracy below which to retrain; None for the accuracy to hold.
            patience: Windows whose labels are averaged.
            min_labels: Fewest labels to judge by.

        Raises:
            ValueError: A key is out of its range; the message names it.
        """
        require_at_least("policy.patience", patience, 1)
        require_at_least("policy.min_labels", min_labels, 1)
        self._threshold = AccuracyThreshold(threshold)
        self._min_labels = min_labels
        self._known = KnownErrors(patience)

    def decide(self, view: View) -> Decision:
        """Retrain if the accuracy of these windows is below the threshold."""
        self._known.add(view)
        if len(self._known) < self._min_labels:
            return Decision(reason=f"{len(self._known)} labels, fewer than {self._min_labels}")
        known = self._known.estimate()
        if known.error is None:
            return Decision(reason=known.reason)
        return self._threshold.decide(1 - known.error, view, "known")
