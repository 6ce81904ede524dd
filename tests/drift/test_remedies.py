"""Re-weighting holds the accuracy under label shift as well as retraining does."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression

from bench.drift.detectors.base import Reference
from bench.drift.estimates import adjusted
from bench.drift.policies.base import Policy
from bench.drift.policies.periodic import Every, Never
from bench.drift.policies.reweight import Reweight
from bench.drift.samples import Floats, Samples
from bench.drift.streams.build import DriftStream
from tests.drift.made_streams import make, source_of
from tests.drift.made_views import view_of

INITIAL, HELD_OUT = 1500, 300


class Deployment:
    """A logistic regression, and the samples held out of it."""

    def __init__(
        self, features: Floats, labels: np.ndarray[tuple[int], np.dtype[np.int64]]
    ) -> None:
        fit = len(labels) - HELD_OUT
        self._model = LogisticRegression(max_iter=200).fit(features[:fit], labels[:fit])
        self.reference = Reference(
            inputs=features[fit:], probabilities=self.predict(features[fit:]), labels=labels[fit:]
        )

    def predict(self, features: Floats) -> Floats:
        probabilities: Floats = self._model.predict_proba(features).astype(np.float32)
        return probabilities


def mean_accuracy(policy: Policy, stream: DriftStream, *, skipped: int) -> float:
    """Accuracy over all windows but the first ones; every label is known at once."""
    seen = stream.initial
    deployed, since = Deployment(seen.features, seen.labels), 0
    factors = np.ones(stream.pool.num_classes)
    accuracies = []
    for window in range(stream.num_windows):
        samples = stream.samples(window)
        own = deployed.predict(samples.features)
        shown = adjusted(own, factors)
        accuracies.append(float((shown.argmax(1) == samples.labels).mean()))
        since += 1
        decision = policy.decide(
            view_of(window, since=since, probabilities=own, reference=deployed.reference)
        )
        if decision.class_weights is not None:
            factors = decision.class_weights
        seen = Samples(
            ids=np.append(seen.ids, samples.ids)[-INITIAL:],
            features=np.concatenate([seen.features, samples.features])[-INITIAL:],
            labels=np.append(seen.labels, samples.labels)[-INITIAL:],
        )
        if decision.retrain:
            shuffled = np.random.default_rng(window).permutation(INITIAL)
            deployed, since = Deployment(seen.features[shuffled], seen.labels[shuffled]), 0
    return float(np.mean(accuracies[skipped:]))


def test_reweighting_is_as_good_as_retraining_under_label_shift() -> None:
    sizes = {
        "num_windows": 25,
        "window": 400,
        "initial_samples": INITIAL,
        "source": source_of(50_000),
    }
    # From window 2 on, 85% are of class 1. Policies know of it after window 2, and a retraining has
    # learned nothing but that after four windows.
    stream = make(sizes, kind="label", strength=0.85, target_class=1, at=800)
    never, every, reweight = (
        mean_accuracy(policy, stream, skipped=5)
        for policy in (Never(), Every(windows=1), Reweight(memory=1))
    )
    assert reweight >= every - 0.015
    assert reweight >= never + 0.02
