"""An e-process on the errors of the deployed model: alarms if they become more frequent."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from scipy.stats import beta

from bench.core.arrays import Floats
from bench.drift.detectors.base import Detection, Detector, Outcomes, Reference, Served
from bench.drift.detectors.betting import Wealth

# Each bet is the best one for odds of an error that rise by this factor; together they cover what
# is worth an alarm.
_ODDS_FACTORS = np.array([1.25, 1.5, 2.0, 3.0, 5.0, 10.0])


def error_bound(num_errors: int, num: int, alpha: float) -> float:
    """Upper bound of an error probability; too low with a probability of at most alpha.

    Args:
        num_errors: Errors that were seen.
        num: Samples, at least 1.
        alpha: 0 to 1.
    Source: Clopper, Pearson, Biometrika 26 (1934).
    """
    if num_errors >= num:
        return 1.0
    return float(beta.ppf(1 - alpha, num_errors + 1, num - num_errors))


def growth_bets(base: float) -> Floats:
    """The bets against an error probability of at most `base`, 0 < base < 1.

    The payoff of a bet b is 1 + b (error - base), which is p1/base for an error and
    (1 - p1)/(1 - base) otherwise: the likelihood ratio of p1, whose wealth grows fastest under p1.

    Source: Kelly, Bell System Technical Journal 35 (1956).
    """
    odds = _ODDS_FACTORS * base / (1 - base)
    risen = odds / (1 + odds)
    bets: Floats = (risen - base) / (base * (1 - base))
    return bets


class ErrorEprocess(Detector):
    """Bets that the error of the deployed model is above its bound on the reference + tolerance.

    Half of alpha is for the bound, half for the bets. The promise assumes that the order in which
    labels become known does not depend on whether the predictions were wrong.

    If labels become known with different probabilities, the payoff of each is weighted by least /
    its own. Then labels that stay unknown need no step: the mean surplus of a prediction is
    least x (its error probability - base), whether its label is likely to become known or not. No
    payoff is negative, because no weight is above 1.

    Source: Podkopaev, Ramdas: "Tracking the risk of a deployed model and detecting harmful
        distribution shifts", ICLR 2022 (arXiv 2110.06177), with the mixture of Wealth.
    """

    name: ClassVar[str] = "error_eprocess"
    needs_labels: ClassVar[bool] = True

    def __init__(self, *, tolerance: float = 0.0) -> None:
        """Keep the setting.

        Args:
            tolerance: Only a rise of the error by more than this counts, 0 to 1.

        Raises:
            ValueError: It is out of range.
        """
        if not 0 <= tolerance < 1:
            raise ValueError(f"detector.tolerance={tolerance:g}: must be at least 0 and below 1")
        self._tolerance = tolerance

    def start(
        self, reference: Reference, *, alpha: float, num_windows: int, window: int, seed: int
    ) -> None:
        """Bound the error on the reference.

        Raises:
            ValueError: The bound is so high that no rise could be found.
        """
        num = len(reference.labels)
        bound = error_bound(int(reference.errors.sum()), num, alpha / 2)
        self._base = bound + self._tolerance
        if self._base >= 1:
            raise ValueError(
                f"detector={self.name}: the {num} held-out samples allow an error of "
                f"{bound:.2f}, and {self._tolerance:g} is tolerated, so nothing can raise an "
                "alarm; give more stream.initial_samples or a smaller detector.tolerance"
            )
        self._threshold = 2 / alpha
        self._bets = growth_bets(self._base)
        self._wealth = Wealth(len(self._bets), horizon=num_windows * window)
        self._statistic = 1.0

    def update(self, served: Served) -> Detection:
        """Bet on the outcomes that became known.

        Raises:
            ValueError: Some labels can never become known.
        """
        if len(served.outcomes):
            self._statistic = self._wealth.peak(self.payoffs(served.outcomes), self._threshold)
        return Detection(
            alarm=served.last if self._statistic >= self._threshold else None,
            statistic=self._statistic,
            threshold=self._threshold,
        )

    def payoffs(self, outcomes: Outcomes) -> Floats:
        """Of each outcome and bet, shape (n, num_bets).

        Raises:
            ValueError: Some labels can never become known, or one was less probable than the least.
        """
        least = outcomes.least_propensity
        if least <= 0:
            raise ValueError(
                f"detector={self.name}: some labels never become known, so those that do say "
                "nothing about the error of the model; hold some out with labels.held_out"
            )
        if (outcomes.propensities < least).any():
            raise ValueError(
                f"detector={self.name}: a label became known with probability "
                f"{outcomes.propensities.min():g}, but the least is {least:g}"
            )
        surplus = (outcomes.errors - self._base) * least / outcomes.propensities
        return 1 + surplus[:, None] * self._bets
