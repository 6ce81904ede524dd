"""The loop of a deployment: serve a window, detect, decide, perhaps retrain, observe.

The clock of the stream counts predictions. A retraining takes no time on it, unless
stream.rate_per_s or retrain.manual_delay says so; then the old model serves until the new one is
ready.
"""

from __future__ import annotations

from collections.abc import Callable

from bench.config.maintain import MaintainConfig
from bench.core.records.maintenance import MaintenanceEvent, WindowRow
from bench.drift.books import Books
from bench.drift.detectors.base import (
    Detection,
    Detector,
    Served,
    alpha_of_start,
    require_detection,
)
from bench.drift.estimates import hajek_error
from bench.drift.model import DeployedModel
from bench.drift.policies.base import Decision, Policy, View, require_decision
from bench.drift.service import ServedWindow, Service
from bench.drift.succession import Succession
from bench.drift.timeline import Timeline


class Watch:
    """Has a detector watch the deployed model, and anew after each alarm and each swap."""

    def __init__(
        self,
        detector: Detector | None,
        timeline: Timeline,
        config: MaintainConfig,
        on_event: Callable[[MaintenanceEvent], None],
    ) -> None:
        """Watch nothing yet.

        Args:
            detector: None for nobody.
            timeline: Knows whether an alarm is false.
            config: Of the deployment.
            on_event: Receives each alarm.
        """
        self._detector = detector
        self._timeline = timeline
        self._config = config
        self._on_event = on_event
        self._num_starts = 0

    @property
    def needs_labels(self) -> bool:
        """Whether the detector goes by labels."""
        return self._detector is not None and self._detector.needs_labels

    def start(self, model: DeployedModel, now: int) -> None:
        """Begin to watch a model.

        Args:
            model: The deployed model.
            now: Predictions so far.

        Raises:
            ValueError: Its reference is too small for the detector.
        """
        if self._detector is None:
            return
        self._num_starts += 1
        stream = self._config.stream
        self._detector.start(
            model.reference,
            alpha=alpha_of_start(self._config.alpha, self._num_starts),
            num_windows=max(1, stream.num_windows - now // stream.window),
            window=stream.window,
            seed=self._config.seed + self._num_starts,
        )

    def update(self, served: Served, model: DeployedModel, books: Books) -> Detection | None:
        """Look at what the model has served; None without a detector."""
        if self._detector is None:
            return None
        with books.phase("detect"):
            made = self._detector.update(served)
        detection = require_detection(self._detector.name, made, served)
        if detection.alarm is None:
            return detection
        with books.phase("observe"):
            is_false, delay = self._timeline.judged(detection.alarm, model.oldest_label)
            self._on_event(
                MaintenanceEvent(
                    kind="alarm",
                    window=served.first // self._config.stream.window,
                    prediction=detection.alarm,
                    model=model.number,
                    is_false=is_false,
                    delay=delay,
                )
            )
        return detection


class Deployment:
    """Serves a stream from its first to its last window."""

    def __init__(
        self,
        config: MaintainConfig,
        service: Service,
        watch: Watch,
        policy: Policy,
        succession: Succession,
        books: Books,
        *,
        on_row: Callable[[WindowRow], None],
        on_event: Callable[[MaintenanceEvent], None],
    ) -> None:
        """Begin to watch the first model.

        Args:
            config: Of the deployment.
            service: Serves the stream.
            watch: The detector.
            policy: Decides.
            succession: Retrains.
            books: Phases of the deployment.
            on_row: Receives the row of each window.
            on_event: Receives each event.

        Raises:
            ValueError: The reference of the first model is too small for the detector.
        """
        self._config = config
        self._service = service
        self._watch = watch
        self._policy = policy
        self._succession = succession
        self._books = books
        self._on_row = on_row
        self._on_event = on_event
        # Labels that nobody would look at need not be bought.
        self._uses_labels = policy.retrains or policy.needs_labels or watch.needs_labels
        watch.start(service.model, 0)

    def run(self) -> None:
        """Serve all windows."""
        for window in range(self._config.stream.num_windows):
            now = self._service.serve(window)
            detection = self._watch.update(now.served, self._service.model, self._books)
            decision = require_decision(
                self._policy.name,
                self._policy.decide(self._view(window, now.served, detection)),
                num_classes=now.served.probabilities.shape[1],
            )
            self._act(window, decision, detection)
            self._books.begin("observe")
            self._on_row(self._row(window, now, decision, detection))

    def _view(self, window: int, served: Served, detection: Detection | None) -> View:
        last = self._succession.last_window
        return View(
            window=window,
            num_windows=self._config.stream.num_windows,
            target=self._config.held_accuracy,
            served=served,
            reference=self._service.model.reference,
            detection=detection,
            num_new_labels=self._succession.num_new_labels,
            windows_since_retraining=window - (-1 if last is None else last),
            error_price_usd=self._config.error_price_usd,
            retraining_usd=self._succession.retraining_usd,
        )

    def _act(self, window: int, decision: Decision, detection: Detection | None) -> None:
        """Do what the policy decided, and have the detector begin anew after an alarm."""
        model, now = self._service.model, (window + 1) * self._config.stream.window
        if decision.class_weights is not None:
            model.class_weights = decision.class_weights
            self._on_event(
                MaintenanceEvent(
                    kind="reweighting",
                    window=window,
                    prediction=now,
                    model=model.number,
                    reason=decision.reason,
                )
            )
        # After the last window, a new model would serve nothing.
        if decision.retrain and window + 1 < self._config.stream.num_windows:
            self._succession.retrain(window, decision.reason)
        has_alarm = detection is not None and detection.alarm is not None
        if has_alarm and self._service.model is model:  # a new model is watched already
            self._watch.start(model, now)

    def _row(
        self, window: int, now: ServedWindow, decision: Decision, detection: Detection | None
    ) -> WindowRow:
        wrong, outcomes = now.wrong, now.served.outcomes
        known = hajek_error(
            outcomes.errors, outcomes.propensities, is_censored=outcomes.least_propensity == 0
        )
        seen = detection or Detection()
        return WindowRow(
            window=window,
            first=window * self._config.stream.window,
            num_predictions=len(now.samples),
            num_judged=len(wrong),
            errors=int(wrong.sum()),
            accuracy=1 - float(wrong.mean()) if len(wrong) else None,
            num_known=now.num_known,
            num_paid=now.num_known if self._uses_labels else 0,
            known_accuracy=None if known.error is None else 1 - known.error,
            estimate=decision.estimate,
            statistic=seen.statistic,
            threshold=seen.threshold,
            alarm=seen.alarm,
            model=self._service.model.number,
            strength=self._service.log.stream.strength(window),
            staleness=now.staleness,
            held_out_errors=now.held_out_errors,
            **self._books.take(),  # type: ignore[arg-type]  # seconds are never None
        )
