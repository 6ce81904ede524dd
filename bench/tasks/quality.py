"""The quality of predictions, computed in the same way by all commands."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torchmetrics.functional.classification import multiclass_calibration_error

from bench.core.qualities import CLASSES

# The bins of Guo et al.; results with other numbers of bins cannot be compared.
_NUM_CALIBRATION_BINS = 15
# The prediction for a sample that has none. It is never right, because no class is negative.
NO_CLASS = -1


def quality(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Compute accuracy, macro F1, recall of the worst class, calibration error and loss.

    Ratios are computed in float64 from counts. Then 342 of 360 are exactly the 0.95 of a target;
    float32 would give a little less.

    The worst class is the worst of those that occur. The recall of a class without samples is 0/0,
    and torchmetrics' 0 for it would hide every other class. For the same reason, macro F1 leaves
    out classes that neither occur nor are predicted.

    Args:
        logits: Unnormalised scores, shape (n, num_classes), n >= 1; -inf rules a class out.
        labels: Classes, int64 of shape (n,).

    Returns:
        Fractions in [0, 1] named as in bench.core.records.model.Quality, and `loss`, the mean
        cross-entropy in nats, which is infinite if the class of a sample was ruled out. Logits
        that are NaN, +inf or all -inf are no distribution: such a sample counts as wrong, and loss
        and calibration error are NaN. If no sample has a distribution, all values are NaN.

    Raises:
        ValueError: The shapes do not match, there are no samples, or a label is not a class.

    Source: expected calibration error, Guo et al., arXiv 1706.04599: 15 bins of equal width,
        weighted mean of |confidence - accuracy|.
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or not len(labels):
        raise ValueError(
            f"logits of shape {tuple(logits.shape)} and labels of shape {tuple(labels.shape)}: "
            "must be (n, num_classes) and (n,) with n at least 1"
        )
    num_classes = logits.shape[1]
    require_classes(labels, num_classes)
    return dict(zip(CLASSES, _values(logits.detach().double(), labels, num_classes), strict=True))


def _values(logits: Tensor, labels: Tensor, num_classes: int) -> tuple[float, ...]:
    """The values of quality() from float64 logits, in the order of CLASSES."""
    probabilities = logits.softmax(dim=1)
    known = ~probabilities.isnan().any(dim=1)
    if not known.any():
        return (math.nan,) * len(CLASSES)
    # A sample without a distribution has no predicted class, but its own class still occurs.
    right, occurring, predicted = _counts(logits.argmax(dim=1), labels, known, num_classes)
    loss, calibration_error = math.nan, math.nan
    # One sample without a distribution makes a mean undefined; the counts above stay exact.
    if known.all():
        loss = float(cross_entropy(logits, labels))
        calibration_error = _calibration_error(probabilities, labels)
    both = occurring + predicted
    return (
        loss,
        int(right.sum()) / len(labels),
        float((2 * right[both > 0] / both[both > 0]).mean()),
        float((right / occurring)[occurring > 0].min()),
        calibration_error,
    )


def recorded(values: Mapping[str, float | None]) -> dict[str, float | None]:
    """Prepare values for a record: NaN and infinite ones become None."""
    return {
        name: value if value is not None and math.isfinite(value) else None
        for name, value in values.items()
    }


def predicted_classes(logits: Tensor) -> Tensor:
    """Take the class with the largest logit of each sample, as quality() does.

    Args:
        logits: Unnormalised scores, shape (n, num_classes).

    Returns:
        Classes, int64 of shape (n,); -1 where the logits are no distribution (see quality()).
    """
    largest, classes = logits.max(dim=1)
    # The largest logit is finite exactly where the softmax is defined: it is NaN if any logit is.
    return classes.where(largest.isfinite(), NO_CLASS)


def share(part: Tensor, whole: Tensor | int) -> float:
    """Divide two counts in float64, so that the result is exact; NaN for 0/0."""
    return int(part) / int(whole) if int(whole) else math.nan


def require_classes(
    labels: Tensor, num_classes: int, *, where: str = "labels", noun: str = "label"
) -> None:
    """Refuse labels that are not classes.

    Args:
        labels: Integers of shape (n,), n >= 1.
        num_classes: Number of classes.
        where: The origin of the labels, for the error.
        noun: What a label is called in the error.

    Raises:
        ValueError: One is negative or too large.
    """
    low, high = labels.aminmax()
    for label in (int(low), int(high)):
        if not 0 <= label < num_classes:
            raise ValueError(f"{where}: a {noun} is {label}, must be 0 to {num_classes - 1}")


def _calibration_error(probabilities: Tensor, labels: Tensor) -> float:
    # Pass probabilities: torchmetrics would take logits that lie in [0, 1] for probabilities.
    error = multiclass_calibration_error(
        probabilities,
        labels,
        probabilities.shape[1],
        n_bins=_NUM_CALIBRATION_BINS,
        norm="l1",
        validate_args=False,
    )
    return float(error)


def _counts(
    classes: Tensor, labels: Tensor, known: Tensor, num_classes: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Count per class how many were right, occur, and were predicted, in float64.

    Args:
        classes: Predicted classes, int64 of shape (n,).
        labels: True classes, int64 of shape (n,).
        known: Whether the logits are a distribution, bool of shape (n,).
        num_classes: Number of classes.
    """
    groups = (labels[known & (classes == labels)], labels, classes[known])
    right, occurring, predicted = (
        torch.bincount(group, minlength=num_classes).double() for group in groups
    )
    return right, occurring, predicted
