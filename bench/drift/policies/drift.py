"""Retrains when the detector raises an alarm."""

from __future__ import annotations

from typing import ClassVar

from bench.drift.policies.base import Decision, Policy, View


class Drift(Policy):
    """Retrains when the detector raises an alarm.

    An alarm stands until a retraining is begun. Otherwise one that comes before there are enough
    new labels, or during a cooldown, would be lost, because the detector begins anew after it.
    """

    name: ClassVar[str] = "drift"
    needs_detector: ClassVar[bool] = True

    def __init__(self) -> None:
        """Start without an alarm."""
        self._alarm: int | None = None
        self._alarm_window = 0

    def decide(self, view: View) -> Decision:
        """Retrain if there is an alarm that no retraining has answered.

        Raises:
            ValueError: There is no detector.
        """
        if view.detection is None:
            raise ValueError("policy=drift: waits for alarms; choose a detector=")
        if view.detection.alarm is not None:
            self._alarm, self._alarm_window = view.detection.alarm, view.window
        if self._alarm is None or view.last_retraining >= self._alarm_window:
            return Decision()
        return Decision(retrain=True, reason=f"alarm at prediction {self._alarm}")
