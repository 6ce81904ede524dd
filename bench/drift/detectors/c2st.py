"""A classifier learns to tell a window from the reference; if it can, something has changed."""

from __future__ import annotations

import warnings
from functools import cache
from typing import ClassVar

import numpy as np
from scipy.stats import hypergeom
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import ThreadpoolController

from bench.drift.detectors.base import Reference, Served
from bench.drift.detectors.batch import BatchDetector, best_p
from bench.drift.samples import Floats

_MAX_STEPS = 100


class ClassifierTwoSample(BatchDetector):
    """Trains a logistic regression on a random half of both, and tests it on the other half.

    If nothing has changed, its answers on the other half say nothing about where samples come from.
    The exact test is that of Fisher, on the four counts of answer and truth, one-sided. The test of
    the source, which compares the accuracy with a coin, needs equally many samples of both, and
    is not exact for a fixed number of each.

    A linear classifier finds changes of means, in several inputs together as well, and none of
    spreads or shapes.

    Source: Lopez-Paz, Oquab, "Revisiting classifier two-sample tests", ICLR 2017 (arXiv
        1610.06545).
    """

    name: ClassVar[str] = "c2st"

    def _prepare(self, reference: Reference) -> None:
        self._inputs = reference.inputs
        _blas()  # not in the first window, whose detection is timed

    def _smallest_p(self, num_window: int) -> float:
        # _halves() leaves the larger part of an odd number for the test.
        return best_p((len(self._inputs) + 1) // 2, (num_window + 1) // 2)

    def _p_value(self, served: Served) -> float:
        if len(served) < 2:  # one to train on, one to test: a swap of models may leave fewer
            return 1.0
        rng = self._generator(self._seed, served.first)
        reference, window = _halves(self._inputs, rng), _halves(served.inputs, rng)
        model = LogisticRegression(class_weight="balanced", max_iter=_MAX_STEPS)
        # With matrices this small, a second thread only waits, at 6 to 20 times the CPU time.
        with _blas().limit(limits=1), warnings.catch_warnings():
            # A classifier that has not converged is as valid as another one.
            warnings.simplefilter("ignore", ConvergenceWarning)
            is_window = np.repeat([False, True], [len(reference[0]), len(window[0])])
            model.fit(np.concatenate([reference[0], window[0]]), is_window)
            false, right = (int(model.predict(part[1]).sum()) for part in (reference, window))
        num, num_window = len(reference[1]) + len(window[1]), len(window[1])
        return float(hypergeom.sf(right - 1, num, false + right, num_window))


@cache
def _blas() -> ThreadpoolController:
    """The libraries of linear algebra; looking for them takes as long as a small test."""
    return ThreadpoolController().select(user_api="blas")


def _halves(inputs: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Divide samples at random: to train, to test."""
    order = rng.permutation(len(inputs))
    middle = len(inputs) // 2
    return inputs[order[:middle]], inputs[order[middle:]]
