"""Streams to test detectors on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bench.core.arrays import Bools, Floats
from bench.drift.detectors.base import Detection, Detector, Outcomes, Reference, Served

Reals = NDArray[np.floating]

ALPHA = 0.05
# Exceeded with a probability below 0.0005 by 200 streams that raise an alarm with probability 0.05.
MOST_OF_200 = 21


def reference_of(inputs: Reals, probabilities: Reals | None = None, errors: int = 0) -> Reference:
    """A reference in which the model predicts class 0 unless told otherwise."""
    num = len(inputs)
    shown = np.tile([0.9, 0.1], (num, 1)) if probabilities is None else probabilities
    labels = shown.argmax(1)
    labels[:errors] = (labels[:errors] + 1) % shown.shape[1]
    return Reference(
        inputs=inputs.astype(np.float32), probabilities=shown.astype(np.float32), labels=labels
    )


def reference_with(num_errors: int, num: int) -> Reference:
    """A reference of which only the errors matter."""
    return reference_of(np.zeros((num, 1)), errors=num_errors)


def outcomes_of(
    errors: Bools, first: int = 0, propensities: Floats | None = None, least: float = 1.0
) -> Outcomes:
    """Labels that are known at once."""
    num = len(errors)
    return Outcomes(
        predictions=np.arange(first, first + num),
        errors=errors,
        propensities=np.ones(num) if propensities is None else propensities,
        least_propensity=least,
    )


NOTHING = outcomes_of(np.zeros(0, dtype=bool))


def served_of(
    first: int,
    inputs: Reals,
    probabilities: Reals | None = None,
    outcomes: Outcomes = NOTHING,
) -> Served:
    """A stretch in which the model predicts class 0 unless told otherwise."""
    shown = np.tile([0.9, 0.1], (len(inputs), 1)) if probabilities is None else probabilities
    return Served(
        first=first,
        inputs=inputs.astype(np.float32),
        probabilities=shown.astype(np.float32),
        outcomes=outcomes,
    )


def stretches_of(errors: Bools, window: int) -> Iterator[Served]:
    """A stream of which only the errors matter."""
    for first in range(0, len(errors), window):
        part = errors[first : first + window]
        yield served_of(first, np.zeros((len(part), 1)), outcomes=outcomes_of(part, first))


def start(
    detector: Detector, reference: Reference, *, windows: int = 25, window: int = 200, seed: int = 0
) -> None:
    """Begin to watch a stream of that size with alpha=0.05."""
    detector.start(reference, alpha=ALPHA, num_windows=windows, window=window, seed=seed)


def first_alarm(detector: Detector, stretches: Iterator[Served]) -> int | None:
    """The prediction after which a detector that was started raises its alarm."""
    found: Iterator[Detection] = (detector.update(served) for served in stretches)
    return next((one.alarm for one in found if one.alarm is not None), None)
