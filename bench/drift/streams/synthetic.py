"""A made pool whose probabilities are known exactly: Gaussian classes with equal covariances."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import integrate, stats
from scipy.special import softmax

from bench.core.checks import require_at_least
from bench.drift.samples import Floats, Pool, Samples


def synthetic(
    *, num_samples: int, num_features: int, num_classes: int, separation: float, seed: int
) -> Pool:
    """Draw samples of classes that are equally frequent.

    Each feature has deviation 1 within a class. The mean of class k lies on axis k, so the features
    x0, x1, ... of the classes decide, and the others are noise. The means are no matter of the
    seed: all seeds are the same task.

    Args:
        num_samples: Samples of the pool.
        num_features: Columns, at least one for each class.
        num_classes: Number of classes.
        separation: Distance between the means of any two classes; see bayes_accuracy().
        seed: Decides the samples.

    Raises:
        ValueError: A number is too small.
    """
    require_at_least("stream.source.num_classes", num_classes, 2)
    require_at_least("stream.source.num_features", num_features, num_classes)
    require_at_least("stream.source.num_samples", num_samples, num_classes)
    require_at_least("stream.source.separation", separation, 0)
    generator = np.random.default_rng([seed, num_samples])
    labels = generator.integers(num_classes, size=num_samples)
    features = generator.standard_normal((num_samples, num_features), dtype=np.float32)
    features[np.arange(num_samples), labels] += separation / np.sqrt(2)
    return Pool(
        samples=Samples(
            ids=np.arange(num_samples), features=features, labels=labels.astype(np.int64)
        ),
        num_classes=num_classes,
        feature_names=[f"x{number}" for number in range(num_features)],
    )


def class_probabilities(
    features: Floats, *, num_classes: int, separation: float
) -> NDArray[np.float64]:
    """The true P(y|x) of samples of synthetic(), (n, num_classes).

    With means a e_k, a = separation / sqrt(2), the log density of class k is a x_k plus a number
    that is the same for all classes.
    """
    logits = separation / np.sqrt(2) * features[:, :num_classes].astype(np.float64)
    probabilities: NDArray[np.float64] = softmax(logits, axis=1)
    return probabilities


def bayes_accuracy(*, num_classes: int, separation: float) -> float:
    """The accuracy of the best possible classifier.

    It is right if the feature of the class is the largest: with a as above, the integral of
    phi(u - a) Phi(u)^(num_classes - 1).
    """
    mean = separation / np.sqrt(2)

    def density(u: float) -> float:
        return float(stats.norm.pdf(u - mean) * stats.norm.cdf(u) ** (num_classes - 1))

    return float(integrate.quad(density, mean - 10, mean + 10)[0])
