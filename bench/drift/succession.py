"""Trains the next model of a deployment, and lets it take over."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

from bench.config.maintain import MaintainConfig
from bench.core.records.maintenance import MaintenanceEvent
from bench.drift.books import Books, Spent, difference
from bench.drift.division import TrainingSet
from bench.drift.model import DeployedModel
from bench.drift.policies.base import Policy
from bench.drift.policies.oracle import Oracle
from bench.drift.retraining import ModelTrainer, Trained
from bench.drift.service import Service, labelled_samples

_log = logging.getLogger(__name__)


def training_event(trained: Trained, spent: Spent) -> dict[str, Any]:
    """What an event says of a training."""
    return {
        "num_samples": trained.num_samples,
        "reached": trained.result.reached,
        "samples_to_target": trained.result.samples_to_target,
        "samples": trained.samples,
        "accuracy": trained.accuracy,
        "init_s": trained.init_s,
        "total_s": spent.time_s,
        "energy_j": spent.energy_j,
        "energy_label": spent.energy_label,
    }


class Succession:
    """Retrains when the policy wants it and the limits of `retrain` allow it.

    Attributes:
        retraining_usd: Price of the last training; None if it is unknown.
        last_window: The window at whose end the last retraining was begun; None for none.
    """

    def __init__(
        self,
        config: MaintainConfig,
        trainer: ModelTrainer,
        service: Service,
        policy: Policy,
        books: Books,
        *,
        price_of: Callable[[Spent], float | None],
        first_spent: Spent,
        on_event: Callable[[MaintenanceEvent], None],
    ) -> None:
        """Nothing has been retrained.

        Args:
            config: Of the deployment.
            trainer: Trains models.
            service: The deployed model.
            policy: Decides when.
            books: Phases of the deployment.
            price_of: Price in dollars of a training, people included; None if it is unknown.
            first_spent: What the initial training needed.
            on_event: Receives each event.
        """
        self._config = config
        self._trainer = trainer
        self._service = service
        # The schedule of an oracle is the best one without limits.
        self._is_limited = not isinstance(policy, Oracle)
        self._books = books
        self._price_of = price_of
        self._on_event = on_event
        self._num_retrains = 0
        self._num_known = 0  # labels that were known at the last retraining
        self.last_window: int | None = None
        self.retraining_usd = price_of(first_spent)

    @property
    def num_new_labels(self) -> int:
        """Labels that became known since the last retraining."""
        return self._service.vault.num_opened - self._num_known

    def retrain(self, window: int, reason: str) -> None:
        """Train a model at the end of a window, unless a limit speaks against it.

        Args:
            window: The window that has just been served.
            reason: Why the policy wants it.
        """
        if refusal := self._refusal(window):
            _log.info("window %d: no retraining (%s): %s", window, reason, refusal)
            return
        service = self._service
        now = (window + 1) * service.log.stream.window
        self._books.begin("retrain")
        before = self._books.spent("retrain")
        samples = labelled_samples(self._config, service.log, service.vault, now)
        self._num_retrains += 1
        self._num_known = service.vault.num_opened
        self.last_window = window
        trained = self._trainer.train(
            samples,
            number=self._num_retrains,
            window=window,
            warm_from=service.model if self._config.retrain.start == "warm" else None,
        )
        self._books.begin("promote")
        spent = difference(self._books.spent("retrain"), before)
        self.retraining_usd = self._price_of(spent)
        swap_at = now + self._delay(spent.time_s)
        self._on_event(
            MaintenanceEvent(
                kind="retraining",
                window=window,
                prediction=now,
                model=self._num_retrains,
                reason=trained.error or reason,
                newest_label=samples.newest,
                **training_event(trained, spent),
            )
        )
        if trained.model is not None:
            self._promote(trained.model, trained, samples, window, swap_at)
            service.swap_if_due(now)

    def _refusal(self, window: int) -> str:
        """Why no model may be trained now; empty if one may."""
        if self._service.swap_at is not None:
            return "the last model has not taken over yet"
        if not self._is_limited:
            return ""
        options = self._config.retrain
        limits = {
            "retrain.cooldown": self.last_window is not None
            and window - self.last_window <= options.cooldown,
            "retrain.min_new_labels": self.num_new_labels < options.min_new_labels,
            "retrain.max_retrainings": options.max_retrainings is not None
            and self._num_retrains >= options.max_retrainings,
        }
        return ", ".join(key for key, is_met in limits.items() if is_met)

    def _delay(self, training_s: float) -> int:
        """Predictions that the old model still serves while a new one is made."""
        rate_per_s = self._config.stream.rate_per_s or 0.0
        return math.ceil(rate_per_s * training_s) + self._config.retrain.manual_delay

    def _promote(
        self,
        model: DeployedModel,
        trained: Trained,
        samples: TrainingSet,
        window: int,
        swap_at: int,
    ) -> None:
        """Let a model take over, or drop it if the deployed one is as good."""
        facts: dict[str, Any] = {"window": window, "prediction": swap_at, "model": model.number}
        facts["newest_label"] = model.newest_label
        if self._config.retrain.promote == "if_better":
            facts["accuracy"], facts["deployed_accuracy"] = self._compare(trained, samples)
            if facts["accuracy"] <= facts["deployed_accuracy"]:
                self._on_event(MaintenanceEvent(kind="rejection", **facts))
                return
        self._on_event(MaintenanceEvent(kind="promotion", **facts))
        self._service.schedule(model, swap_at)

    def _compare(self, trained: Trained, samples: TrainingSet) -> tuple[float, float]:
        """Accuracy of the new and of the deployed model on the reference of the new one."""
        assert trained.model is not None
        deployed, reference = self._service.model, trained.reference_places
        answers = deployed.answers(samples.features[reference], deployed.preprocessing)
        labels = samples.labels[reference]
        return float(1 - trained.model.reference.errors.mean()), float((answers == labels).mean())
