"""Retrains when the model's own probabilities say that it has become worse."""

from __future__ import annotations

from typing import ClassVar

from bench.drift.detectors.base import Reference
from bench.drift.estimates import Cbpe
from bench.drift.policies.base import Decision, Policy, View
from bench.drift.policies.threshold import AccuracyThreshold


class Estimated(Policy):
    """Retrains when the estimated accuracy of a window (CBPE) is below a threshold.

    It needs no labels to decide, and so does not wait for them. It does not see concept drift.
    """

    name: ClassVar[str] = "estimated"

    def __init__(self, *, threshold: float | None) -> None:
        """Set the accuracy below which to retrain; None takes the accuracy to hold.

        Raises:
            ValueError: It is not in (0, 1].
        """
        self._threshold = AccuracyThreshold(threshold)
        self._calibrated: tuple[Reference, Cbpe] | None = None

    def decide(self, view: View) -> Decision:
        """Retrain if the estimate for this window is below the threshold."""
        reference = view.reference
        if self._calibrated is None or self._calibrated[0] is not reference:
            self._calibrated = reference, Cbpe(reference.probabilities, reference.labels)
        accuracy = self._calibrated[1].accuracy(view.served.probabilities)
        return self._threshold.decide(accuracy, view, "estimated")
