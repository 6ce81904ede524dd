"""The accuracy below which a policy retrains."""

from __future__ import annotations

from bench.drift.policies.base import Decision, View


class AccuracyThreshold:
    """Retrains while the accuracy that a policy believes in is below a threshold."""

    def __init__(self, value: float | None) -> None:
        """Set the threshold; None takes the accuracy to hold.

        Raises:
            ValueError: It is not in (0, 1].
        """
        if value is not None and not 0 < value <= 1:
            raise ValueError(f"policy.threshold={value}: must be more than 0 and at most 1")
        self._value = value

    def decide(self, accuracy: float, view: View, source: str) -> Decision:
        """Compare an accuracy with the threshold.

        Args:
            accuracy: The accuracy, as the policy knows it.
            view: What the policy sees.
            source: What the accuracy is, for the reason: known, or estimated.
        """
        threshold = view.target if self._value is None else self._value
        if accuracy >= threshold:
            return Decision(estimate=accuracy)
        return Decision(
            retrain=True,
            estimate=accuracy,
            reason=f"{source} accuracy {accuracy:.4g} < {threshold:.4g}",
        )
