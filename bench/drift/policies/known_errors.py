"""The errors of the last windows that are known, as policies judge a model by them."""

from __future__ import annotations

from collections import deque

import numpy as np

from bench.drift.detectors.base import Outcomes
from bench.drift.estimates import ErrorEstimate, hajek_error
from bench.drift.policies.base import View


class KnownErrors:
    """Collects the outcomes of the last windows since the last retraining was begun."""

    def __init__(self, windows: int | None = None) -> None:
        """Set the number of windows to look back; None for all since the last retraining."""
        self._outcomes: deque[Outcomes] = deque(maxlen=windows)

    def __len__(self) -> int:
        return sum(len(outcomes) for outcomes in self._outcomes)

    def add(self, view: View) -> None:
        """Add the outcomes of a window, and drop those from before the last retraining."""
        self._outcomes.append(view.served.outcomes)
        while len(self._outcomes) > max(1, view.windows_since_retraining):
            self._outcomes.popleft()

    def clear(self) -> None:
        """Forget all."""
        self._outcomes.clear()

    def estimate(self) -> ErrorEstimate:
        """Estimate the error of the model, with labels weighted by the inverse propensity."""
        return hajek_error(
            np.concatenate([outcomes.errors for outcomes in self._outcomes]),
            np.concatenate([outcomes.propensities for outcomes in self._outcomes]),
            is_censored=any(outcomes.least_propensity == 0 for outcomes in self._outcomes),
        )
