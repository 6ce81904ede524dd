"""The quality of a classifier of two classes: class 1 is the positive one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sklearn import metrics
from torch import Tensor

from bench.tasks.quality import predicted_classes, quality, share


def binary_quality(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Compute the values of quality(), and how well the positive class is found.

    Args:
        logits: Unnormalised scores, shape (n, 2), n >= 1; -inf rules a class out.
        labels: Classes 0 and 1, int64 of shape (n,).

    Returns:
        The values of quality(), and `auroc`, `average_precision`, `f1` (of class 1), `log_loss`
        (nats, the same as `loss`) and `brier_score`: the mean squared difference between the
        probability of class 1 and the label. AUROC and average precision are NaN if only one class
        occurs, F1 is NaN if class 1 neither occurs nor is predicted. A sample without a
        distribution counts as wrong in F1; the other four are then NaN. If no sample has one, all
        values are NaN.

    Raises:
        ValueError: The shapes do not match, there are no samples, or a label is not a class.

    Source: Brier, Monthly Weather Review 78 (1950), with one term for the two classes, as in
        scikit-learn.
    """
    values = quality(logits, labels)
    if logits.shape[1] != 2:
        raise ValueError(f"logits of shape {tuple(logits.shape)}: must be (n, 2) for two classes")
    logits, labels = logits.detach().double(), labels.bool()
    predicted = predicted_classes(logits)
    known = predicted >= 0
    # Rank by the log-odds: probabilities near 1 round to 1, and would be ties.
    scores = (logits[:, 1] - logits[:, 0]).where(known, math.nan)
    predicted_positive = predicted == 1
    f1 = share(2 * (predicted_positive & labels).sum(), predicted_positive.sum() + labels.sum())
    return values | {
        "auroc": auroc(scores, labels),
        "average_precision": average_precision(scores, labels),
        "f1": f1 if known.any() else math.nan,
        "log_loss": values["loss"],
        "brier_score": float((logits.softmax(dim=1)[:, 1] - labels.double()).square().mean()),
    }


def auroc(scores: Tensor, positive: Tensor) -> float:
    """Compute the area under the ROC curve.

    It is the probability that a positive sample has a higher score than a negative one; a tie
    counts half.

    Args:
        scores: Any scores that rise with the probability, float64 of shape (n,).
        positive: Which samples are positive, bool of shape (n,).

    Returns:
        A fraction; NaN if a score is NaN, or if the samples are all positive or all negative.
    """
    if _is_undefined(scores, positive):
        return math.nan
    # Not torchmetrics: it divides in float32, and takes scores outside [0, 1] for logits.
    return float(metrics.roc_auc_score(positive.cpu().numpy(), _ranks(scores)))


def average_precision(scores: Tensor, positive: Tensor) -> float:
    """Compute the mean of the precision at each threshold, weighted by the gain in recall.

    Args and Returns are those of auroc().
    """
    if _is_undefined(scores, positive):
        return math.nan
    return float(metrics.average_precision_score(positive.cpu().numpy(), _ranks(scores)))


def _is_undefined(scores: Tensor, positive: Tensor) -> bool:
    return bool(scores.isnan().any() or positive.all() or not positive.any())


def _ranks(scores: Tensor) -> Any:
    # scikit-learn refuses infinite scores; their rank is as good.
    return np.unique(scores.cpu().numpy(), return_inverse=True)[1]
