"""How a window is drawn from its chunk of the pool, and what labels its samples get.

Each shift changes one distribution and keeps the others, as its definition says. A chunk is a
random part of the pool that belongs to one window alone, so what earlier windows took does not bias
later ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from bench.drift.samples import UNKNOWN, Index
from bench.drift.streams.schedules import Strengths

# A covariate shift needs chunks whose effective sample size is at least this many windows. Samples
# with large weights are rare, and none may be drawn twice. With Gaussian inputs and strength 1,
# windows of 400 lacked 1.7% of the mass they should have, and their mean was 0.8 standard errors
# too small; with 1 window (the usual rule of thumb is even less), 13% and 5 standard errors.
_LEAST_WINDOWS = 3.0
# A sliding strength moves in steps, so that each step is drawn from enough samples.
_STEPS = 20


class Drift:
    """No drift: a window is the first samples of its chunk, which are random ones."""

    def draw(self, chunk: Index, strengths: Strengths, generator: np.random.Generator) -> Index:
        """Draw the samples of a window without replacement.

        Args:
            chunk: Places in the pool, (n,), in random order.
            strengths: Of the drift at each prediction of the window, (m,).
            generator: Of this window.

        Returns:
            Places in the pool, (m,).

        Raises:
            ValueError: The chunk has too few samples of a kind; the message ends with the reason.
        """
        return chunk[: len(strengths)]

    def labels(self, labels: Index, chosen: Index, strengths: Strengths) -> Index:
        """The labels of drawn samples, (m,).

        Args:
            labels: As the pool has them, (m,).
            chosen: Places of the samples in the pool, (m,).
            strengths: Of the drift at each of them, (m,).
        """
        return labels


@dataclass(frozen=True, slots=True)
class CovariateDrift(Drift):
    """Prefers inputs with a large scalar; P(y|x) stays, because only the input decides.

    A scalar that is normal with mean 0 becomes normal with mean `strength`.

    Attributes:
        scalar: Of each sample of the pool, (n,).
        strength: gamma of the weights exp(gamma s(t) scalar).

    Source: Shimodaira, Journal of Statistical Planning and Inference 90(2), 2000.
    """

    scalar: NDArray[np.float64]
    strength: float

    @override
    def draw(self, chunk: Index, strengths: Strengths, generator: np.random.Generator) -> Index:
        levels = np.round(strengths * _STEPS) / _STEPS
        self._require_samples(chunk, float(levels.max()), len(levels))
        chosen = np.empty(len(levels), dtype=np.int64)
        done = 0
        for level in np.unique(levels):
            mine = np.flatnonzero(levels == level)
            # A share of the chunk in proportion, so that no level takes what another one needs.
            ends = [count * len(chunk) // len(levels) for count in (done, done + len(mine))]
            part = chunk[slice(*ends)]
            weights = self._weights(part, float(level))
            chosen[mine] = part[draw_in_proportion(weights, len(mine), generator)]
            done += len(mine)
        return chosen

    def _weights(self, places: Index, level: float) -> NDArray[np.float64]:
        """Up to a factor, so that the largest is 1 and none overflows."""
        exponents = self.strength * level * self.scalar[places]
        weights: NDArray[np.float64] = np.exp(exponents - exponents.max())
        return weights

    def _require_samples(self, chunk: Index, level: float, window: int) -> None:
        weights = self._weights(chunk, level)
        effective = weights.sum() ** 2 / (weights**2).sum()
        if effective < _LEAST_WINDOWS * window:
            raise ValueError(
                f"drift.strength={self.strength:g}: its weights leave {effective:.0f} effective "
                f"samples of {len(chunk)}, and a window of {window} needs "
                f"{_LEAST_WINDOWS * window:.0f}; lower drift.strength, stream.window or "
                "stream.num_windows"
            )


def draw_in_proportion(
    weights: NDArray[np.float64], num: int, generator: np.random.Generator
) -> Index:
    """Draw without replacement such that each sample is drawn with probability ~ its weight.

    One draw after the other, each in proportion to the weights that are left, would not do that: it
    runs out of heavy samples and draws too many light ones. This draws at regular steps along the
    cumulated probabilities of inclusion, in random order.

    Args:
        weights: Positive, (n,). A sample whose probability would exceed 1 is always drawn.
        num: How many, at most n.
        generator: Decides.

    Returns:
        Places in random order, (num,).

    Source: Madow, Annals of Mathematical Statistics 20(3), 1949: systematic sampling.
    """
    probabilities = num * weights / weights.sum()
    certain = np.zeros(len(weights), dtype=bool)
    while (probabilities[~certain] > 1).any():
        certain |= probabilities > 1
        probabilities[certain] = 1
        rest = weights[~certain]
        probabilities[~certain] = (num - certain.sum()) * rest / rest.sum()
    order = generator.permutation(len(weights))
    cumulated = np.cumsum(probabilities[order])
    steps = (generator.random() + np.arange(num)) * cumulated[-1] / num
    places: Index = order[np.searchsorted(cumulated, steps, side="right")]
    return places


@dataclass(frozen=True, slots=True)
class LabelDrift(Drift):
    """Makes one class more frequent, the others less in proportion; P(x|y) stays.

    Attributes:
        classes: Of each sample of the pool, (n,).
        shares: Of the classes in the pool, (num_classes,), sum 1.
        target_class: The class that becomes frequent.
        strength: Its share at full strength.

    Source: Lipton, Wang, Smola, ICML 2018 ("tweak-one shift").
    """

    classes: Index
    shares: NDArray[np.float64]
    target_class: int
    strength: float

    def shares_at(self, strengths: Strengths) -> NDArray[np.float64]:
        """The shares of the classes at strengths of the drift, (m, num_classes)."""
        own = self.shares[self.target_class]
        share = own + strengths[:, None] * (self.strength - own)
        shares: NDArray[np.float64] = self.shares * (1 - share) / (1 - own)
        shares[:, [self.target_class]] = share
        return shares

    @override
    def draw(self, chunk: Index, strengths: Strengths, generator: np.random.Generator) -> Index:
        ends = self.shares_at(strengths).cumsum(1)
        # A class for each prediction, so that their counts are multinomial.
        drawn = (generator.random((len(strengths), 1)) * ends[:, -1:] >= ends).sum(1)
        chosen = np.empty(len(strengths), dtype=np.int64)
        classes = self.classes[chunk]
        for number in np.unique(drawn):
            mine = np.flatnonzero(drawn == number)
            found = chunk[classes == number]
            if len(found) < len(mine):
                raise ValueError(
                    f"drift.strength={self.strength:g}: a window needs {len(mine)} samples of "
                    f"class {number}, and its part of the pool has {len(found)}; bring it closer "
                    f"to {self.shares[self.target_class]:.2g}, the share of class "
                    f"{self.target_class}, or lower stream.window or stream.num_windows"
                )
            chosen[mine] = found[: len(mine)]  # a chunk is in random order already
        return chosen


@dataclass(frozen=True, slots=True)
class ConceptDrift(Drift):
    """Changes labels in a region of the inputs; the inputs are those without a drift, bit for bit.

    Attributes:
        in_region: Whether each sample of the pool lies in the region, (n,).
        coins: Of each sample of the pool, uniform in [0, 1), (n,).
        target_class: What labels in the region become. Labels that are this class already become
            the next one, so that each changed label really differs.
        num_classes: Number of classes.
        strength: Share of the labels of the region that change at full strength.
    """

    in_region: NDArray[np.bool_]
    coins: NDArray[np.float64]
    target_class: int
    num_classes: int
    strength: float

    @override
    def labels(self, labels: Index, chosen: Index, strengths: Strengths) -> Index:
        changes = self.in_region[chosen] & (self.coins[chosen] < self.strength * strengths)
        changes &= labels != UNKNOWN
        following = (self.target_class + 1) % self.num_classes
        changed = np.where(labels == self.target_class, following, self.target_class)
        return np.where(changes, changed, labels)
