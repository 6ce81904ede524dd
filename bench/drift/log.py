"""The stream as it passes through the serving path, and as the log of that path remembers it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bench.drift.division import TrainingSet
from bench.drift.faults import Fault
from bench.drift.model import DeployedModel
from bench.drift.preprocessing import Preprocessing
from bench.drift.samples import Floats, Index, Samples
from bench.drift.streams.base import Stream


class ServingLog:
    """Gives the samples of the windows, and the labelled samples to train on.

    Attributes:
        stream: The stream.
        fault: What goes wrong on the way to the model, and perhaps in the log.
    """

    def __init__(self, stream: Stream, fault: Fault) -> None:
        """Nothing has been served."""
        self.stream = stream
        self.fault = fault
        self._initial = stream.initial.known()
        self._logged: list[Floats] = []

    def serve(self, window: int) -> Samples:
        """The samples of a window, with the features that reach the model; log them, too.

        Args:
            window: The next one.
        """
        samples = self.stream.samples(window)
        first = window * self.stream.window
        if window == len(self._logged):
            self._logged.append(self.fault.logged(samples.features, first))
        return replace(samples, features=self.fault.served(samples.features, first))

    def scaler_of(self, model: DeployedModel, first: DeployedModel, window: int) -> Preprocessing:
        """The preprocessing that the serving path uses for a model in a window.

        Args:
            model: The model that serves.
            first: The first model, whose preprocessing stays behind if the fault says so.
            window: Number of the window.
        """
        is_stale = self.fault.has_stale_scaler(window * self.stream.window)
        return (first if is_stale else model).preprocessing

    def training_set(self, known: Index, labels: Index, most: int | None) -> TrainingSet:
        """Put together what a model may be trained on: the newest labelled samples.

        Args:
            known: Numbers of the predictions whose labels are known, ascending.
            labels: These labels, (n,).
            most: The most samples to take, the newest first; None takes all there are.
        """
        most = len(known) + len(self._initial) if most is None else most
        num_old = min(max(0, most - len(known)), len(self._initial))
        taken, classes = known[max(0, len(known) - most) :], labels[max(0, len(known) - most) :]
        old = self._initial[slice(len(self._initial) - num_old, None)]
        features = [old.features, *self._features(taken)]
        return TrainingSet(
            features=np.concatenate(features),
            labels=np.concatenate([old.labels, classes]),
            oldest=0 if num_old or not len(taken) else int(taken[0]),
            newest=int(taken[-1]) if len(taken) else 0,
        )

    def _features(self, predictions: Index) -> list[Floats]:
        """The logged features of some predictions, window by window."""
        size = self.stream.window
        cuts = np.searchsorted(predictions, np.arange(len(self._logged) + 1) * size)
        parts = zip(self._logged, cuts[:-1], cuts[1:], strict=True)
        return [
            logged[predictions[start:end] - num * size]
            for num, (logged, start, end) in enumerate(parts)
        ]
