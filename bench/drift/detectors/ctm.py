"""A conformal test martingale: bets that scores of predictions are no longer exchangeable."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from typing import ClassVar

import numpy as np

from bench.core.arrays import Floats
from bench.drift.detectors.base import Detection, Detector, Reference, Served
from bench.drift.detectors.betting import Wealth
from bench.drift.samples import Floats as Singles

# The payoff of a bet b on a p-value is 1 + b (p - 1/2): it grows if p-values are low or high.
_BETS = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
# Share of the money that moves to other bets after each p-value.
_JUMP = 0.01


class ConformalMartingale(Detector):
    """Bets on the rank of each score among all scores before it, those of the reference first.

    The scores are those of the model, which has not seen the reference: `confidence` is 1 - the
    probability of the predicted class; `distance` is the Euclidean distance of the inputs, after
    preprocessing, from the mean of the training samples.

    The ranks are independent of one another only because each score joins those that later ones
    are compared with. With a fixed reference of 100 samples, almost half of all streams of 3,000
    predictions would raise a false alarm, so there is no such setting. In return, an alarm must
    come soon: what is new becomes usual.

    The bets are those of the Simple Jumper of Vovk et al. The library crepes has it too, but takes
    all p-values at once, so it cannot watch a stream.

    Source: Vovk, Petej, Nouretdinov, Ahlberg, Carlsson, Gammerman, "Retrain or not retrain:
        conformal test martingales for change-point detection", COPA 2021 (arXiv 2102.10439).
    """

    name: ClassVar[str] = "ctm"

    def __init__(self, *, score: str = "confidence") -> None:
        """Keep the setting.

        Args:
            score: `confidence` or `distance`.

        Raises:
            ValueError: It is neither.
        """
        if score not in ("confidence", "distance"):
            raise ValueError(f"detector.score={score}: must be confidence or distance")
        self._score = score

    def start(
        self, reference: Reference, *, alpha: float, num_windows: int, window: int, seed: int
    ) -> None:
        """Sort the scores of the reference."""
        self._seen: list[float] = sorted(self._scores(reference.inputs, reference.probabilities))
        self._rng = self._generator(seed)
        self._threshold = 1 / alpha
        self._wealth = Wealth(len(_BETS), horizon=num_windows * window, jump=_JUMP)

    def update(self, served: Served) -> Detection:
        """Bet on each prediction of a stretch."""
        p_values = self._p_values(self._scores(served.inputs, served.probabilities))
        most = self._wealth.peak(1 + (p_values[:, None] - 0.5) * _BETS, self._threshold)
        return Detection(
            alarm=served.last if most >= self._threshold else None,
            statistic=most,
            threshold=self._threshold,
        )

    def _scores(self, inputs: Singles, probabilities: Singles) -> list[float]:
        if self._score == "distance":
            return [float(distance) for distance in np.linalg.norm(inputs, axis=1)]
        return [float(1 - highest) for highest in probabilities.max(axis=1)]

    def _p_values(self, scores: list[float]) -> Floats:
        """The share of scores so far that are larger, in random order among equal ones."""
        p_values = np.empty(len(scores))
        for place, coin in enumerate(self._rng.random(len(scores))):
            score = scores[place]
            low, high = bisect_left(self._seen, score), bisect_right(self._seen, score)
            larger, equal = len(self._seen) - high, high - low
            p_values[place] = (larger + coin * (equal + 1)) / (len(self._seen) + 1)
            insort(self._seen, score)
        return p_values
