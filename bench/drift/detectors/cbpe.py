"""Alarms if the accuracy that calibrated probabilities promise has fallen since the reference."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from bench.drift.detectors.base import Reference, Served
from bench.drift.detectors.batch import BatchDetector, best_p
from bench.drift.estimates import Cbpe
from bench.drift.samples import Floats, Index

# Permutations as low as the window if its p-value is at the level: more make it less random.
_PERMUTATIONS = 10
_AT_ONCE = 1_000


class EstimatedAccuracy(BatchDetector):
    """Compares the estimated accuracy of a window with that of the reference.

    A random half of the reference calibrates the probabilities (Cbpe). The estimates of the other
    half and those of the window are then exchangeable if nothing has changed, so a permutation test
    of their means is exact. It is one-sided: only a fall is an alarm.

    It needs no labels, and so it is blind to concept drift: if the meaning of the inputs changes,
    the probabilities of the model do not. It also believes a model that is overconfident on inputs
    unlike any that it was calibrated on.

    Source: CBPE as in bench.drift.estimates.Cbpe; permutation p-values: Phipson, Smyth, Statistical
        Applications in Genetics and Molecular Biology 9 (2010).
    """

    name: ClassVar[str] = "cbpe"

    def _prepare(self, reference: Reference) -> None:
        order = self._generator(self._seed).permutation(len(reference.labels))
        calibrating, compared = np.array_split(order, 2)
        self._cbpe = Cbpe(reference.probabilities[calibrating], reference.labels[calibrating])
        self._compared = self._percents(reference.probabilities[compared])

    def _smallest_p(self, num_window: int) -> float:
        return best_p(len(self._compared), num_window)

    def _p_value(self, served: Served) -> float:
        window = self._percents(served.probabilities)
        values, counts = np.unique(np.concatenate([self._compared, window]), return_counts=True)
        rng = self._generator(self._seed, served.first)
        most = _AT_ONCE * math.ceil(_PERMUTATIONS / self._level / _AT_ONCE)
        num, num_lower = 0, 0
        # Stop as soon as the rest of the permutations could no longer make it significant.
        while num < most and num_lower + 1 <= self._level * (most + 1):
            drawn = rng.multivariate_hypergeometric(counts, len(window), size=_AT_ONCE)
            num_lower += int((drawn @ values <= window.sum()).sum())
            num += _AT_ONCE
        return (num_lower + 1) / (num + 1)

    def _percents(self, probabilities: Floats) -> Index:
        """Estimated probability that each prediction is right, in whole percents, int64 (n,).

        Few different values make permutations fast: only their counts have to be drawn.
        """
        percents: Index = np.rint(100 * self._cbpe.confidences(probabilities)).astype(np.int64)
        return percents
