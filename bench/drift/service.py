"""Serves the stream with the deployed model, and keeps what became known of its answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.config.maintain import MaintainConfig
from bench.drift.books import Books
from bench.drift.detectors.base import Outcomes, Served
from bench.drift.division import TrainingSet
from bench.drift.labels import LabelVault
from bench.drift.log import ServingLog
from bench.drift.model import DeployedModel, flattened
from bench.drift.samples import UNKNOWN, Index, Samples

_NOTHING_KNOWN = Outcomes(
    predictions=np.empty(0, dtype=np.int64),
    errors=np.empty(0, dtype=np.bool_),
    propensities=np.empty(0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedWindow:
    """A window that has been served.

    Attributes:
        samples: What was served, with the features that reached the model.
        served: The part that the model deployed at the end has served, and the outcomes that became
            known in the window.
        num_known: Labels that became known in the window, for whichever model.
        wrong: Which of its answers were wrong, (m,), of those whose truth is ever known.
        staleness: Predictions since the newest label that the deployed model had learned, mean.
        held_out_errors: Harmful answers that were let through to learn their labels.
    """

    samples: Samples
    served: Served
    num_known: int
    wrong: NDArray[np.bool_]
    staleness: float
    held_out_errors: int


def labelled_samples(
    config: MaintainConfig, log: ServingLog, vault: LabelVault, now: int
) -> TrainingSet:
    """What a model may be trained on after `now` predictions: labels that are known by then."""
    known = vault.known(now)
    options = config.retrain
    most = options.num_samples or config.stream.initial_samples
    return log.training_set(
        known, vault.labels_of(known, now), None if options.samples == "all" else most
    )


class Service:
    """The deployed model at work.

    Attributes:
        model: The model that is deployed.
        log: The stream as it is served and logged.
        vault: Keeps labels until they are known.
        swap_at: The prediction at which the next model takes over; None if none is ready.
    """

    def __init__(
        self,
        model: DeployedModel,
        log: ServingLog,
        vault: LabelVault,
        books: Books,
        on_swap: Callable[[DeployedModel, int], None],
    ) -> None:
        """Deploy the first model.

        Args:
            model: The first model.
            log: The stream.
            vault: Empty.
            books: Phases of the deployment.
            on_swap: Called with a model that has taken over, and the number of its first
                prediction.
        """
        self.model = model
        self.log = log
        self.vault = vault
        self.swap_at: int | None = None
        self._next = model
        self._first = model
        self._books = books
        self._on_swap = on_swap
        num = log.stream.num_windows * log.stream.window
        self._answers: Index = np.full(num, UNKNOWN)
        self._model_of: Index = np.full(num, UNKNOWN)

    def schedule(self, model: DeployedModel, swap_at: int) -> None:
        """Let a model take over at a prediction."""
        self._next, self.swap_at = model, swap_at

    def swap_if_due(self, now: int) -> None:
        """Let the next model take over if its time has come."""
        if self.swap_at is not None and self.swap_at <= now:
            self.model, self.swap_at = self._next, None
            self._on_swap(self.model, now)

    def serve(self, window: int) -> ServedWindow:
        """Serve a window, in which one model may take over from another.

        Args:
            window: The next one.
        """
        size = self.log.stream.window
        first, end = window * size, (window + 1) * size
        held_out_before = self.vault.held_out_errors
        self._books.begin("serve")
        samples = self.log.serve(window)
        age, start, served = 0.0, first, None
        while start < end:
            stop = end if self.swap_at is None else min(self.swap_at, end)
            served = self._predict(samples[slice(start - first, stop - first)], start)
            age += float((np.arange(start, stop) - self.model.newest_label).sum())
            self.swap_if_due(stop)
            start = stop
        assert served is not None, "a window is never empty"
        self._books.begin("decide")
        outcomes, num_known = self._open(end)
        is_known = samples.labels != UNKNOWN
        return ServedWindow(
            samples=samples,
            served=replace(served, outcomes=outcomes),
            num_known=num_known,
            wrong=(self._answers[first:end] != samples.labels)[is_known],
            staleness=age / size,
            held_out_errors=self.vault.held_out_errors - held_out_before,
        )

    def _predict(self, samples: Samples, first: int) -> Served:
        """Answer samples with the deployed model, and hand their labels to the vault."""
        model = self.model
        window = first // self.log.stream.window
        preprocessing = self.log.scaler_of(model, self._first, window)
        inputs = preprocessing.apply(samples.features)
        probabilities = model.probabilities(inputs)
        answers = model.classes(probabilities)
        places = slice(first, first + len(samples))
        self._answers[places], self._model_of[places] = answers, model.number
        with self._books.phase("decide"):
            self.vault.add(first, samples, answers)
        return Served(
            first=first,
            inputs=flattened(inputs),
            probabilities=probabilities,
            outcomes=_NOTHING_KNOWN,
        )

    def _open(self, now: int) -> tuple[Outcomes, int]:
        """What became known of the answers of the deployed model, and the labels of all models."""
        opened = self.vault.open(now)
        own = self._model_of[opened.predictions] == self.model.number
        predictions = opened.predictions[own]
        outcomes = Outcomes(
            predictions=predictions,
            errors=self._answers[predictions] != opened.labels[own],
            propensities=opened.propensities[own],
            least_propensity=self.vault.least_propensity,
        )
        return outcomes, len(opened.predictions)
