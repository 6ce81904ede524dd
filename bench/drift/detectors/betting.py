"""Betting against the hypothesis that nothing has changed, by bettors who start at every step."""

from __future__ import annotations

import numpy as np

from bench.core.arrays import Floats


class Wealth:
    """What bettors own who together begin with 1, if an equal share begins at each step.

    At each step a payoff multiplies the money of a bettor; its mean is at most 1 as long as nothing
    has changed. So the sum of all money is a supermartingale, and the probability that it ever
    reaches 1/alpha is at most alpha. A bettor who begins soon after a change has lost nothing
    before it, which makes the alarm fast wherever the change is.

    Payoffs may have leading dimensions, for several streams side by side.

    Source: Ville's inequality; betting on bounded means: Waudby-Smith, Ramdas, "Estimating means of
        bounded random variables by betting", JRSS B 86 (2024). The sum over starts is the
        recursion of Shiryaev and Roberts with weights that add up to 1, where the e-detectors of
        Shin, Ramdas, Rinaldo (arXiv 2203.03532) have weights of 1 and bound the run length only.
    """

    def __init__(self, num_bets: int, *, horizon: int, jump: float = 0.0) -> None:
        """Nobody has begun yet.

        Args:
            num_bets: Number of bets; each bettor divides the money between them.
            horizon: Number of steps at which bettors begin, at least 1; more steps may follow.
            jump: Share of the money that is divided anew between the bets after each step.
        """
        self._num_bets = num_bets
        self._horizon = horizon
        self._jump = jump
        self._num_steps = 0
        self._accounts: Floats = np.zeros(num_bets)

    def bet(self, payoffs: Floats) -> Floats:
        """Make a step.

        Args:
            payoffs: Of each bet, at least 0, shape (..., num_bets).

        Returns:
            All money, shape (...): of those who have begun and of those who have not.
        """
        if self._num_steps < self._horizon:
            self._accounts = self._accounts + 1 / (self._horizon * self._num_bets)
        self._num_steps += 1
        self._accounts = self._accounts * payoffs
        invested = self._accounts.sum(axis=-1)
        if self._jump:
            shares = invested[..., None] / self._num_bets
            self._accounts += self._jump * (shares - self._accounts)
        total: Floats = invested + max(0.0, 1 - self._num_steps / self._horizon)
        return total

    def peak(self, payoffs: Floats, enough: float) -> float:
        """Make steps until there is enough money; more of them could overflow.

        Args:
            payoffs: A row for each step, shape (n, num_bets).
            enough: The money at which to stop.

        Returns:
            The most money after any of these steps; 0 without a step.
        """
        most = 0.0
        for row in payoffs:
            most = max(most, float(self.bet(row)))
            if most >= enough:
                break
        return most
