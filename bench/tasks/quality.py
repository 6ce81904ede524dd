"""Quality of predictions, as all commands compute it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torchmetrics.functional.classification import (
    multiclass_calibration_error,
    multiclass_f1_score,
    multiclass_recall,
)

_NUM_CALIBRATION_BINS = 15
_NAMES = ("loss", "accuracy", "macro_f1", "worst_class_recall", "expected_calibration_error")


def quality(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Accuracy, macro F1, recall of the worst class, calibration error and loss.

    The worst class is the worst among those that occur: recall is 0/0 for a class without samples,
    and torchmetrics' 0 in its place would hide every other class. Classes that neither occur nor
    are predicted are left out of macro F1 for the same reason.

    Args:
        logits: Unnormalised scores, shape (n, num_classes), n >= 1.
        labels: Classes, int64 of shape (n,).

    Returns:
        Fractions in [0, 1] named as in bench.core.records.Quality, and `loss`, the mean
        cross-entropy in nats. All of it is NaN if a logit is not finite.

    Raises:
        ValueError: Shapes do not fit together, or there are no samples.

    Source: expected calibration error, Guo et al., arXiv 1706.04599: 15 bins of equal width,
        weighted mean of |confidence - accuracy|.
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or not len(labels):
        raise ValueError(
            f"logits of shape {tuple(logits.shape)} and labels of shape {tuple(labels.shape)}: "
            "must be (n, num_classes) and (n,) with n at least 1"
        )
    logits = logits.float()  # Half precision is too coarse for a mean over many samples.
    if not logits.isfinite().all():
        return dict.fromkeys(_NAMES, float("nan"))
    num_classes = logits.shape[1]
    occurs = torch.bincount(labels, minlength=num_classes) > 0
    predicted = logits.argmax(dim=1)
    recall = multiclass_recall(predicted, labels, num_classes, average="none", validate_args=False)
    values = (
        cross_entropy(logits, labels),
        (predicted == labels).float().mean(),
        multiclass_f1_score(predicted, labels, num_classes, average="macro", validate_args=False),
        recall[occurs].min(),
        # Probabilities, because torchmetrics takes logits that lie in [0, 1] for them.
        multiclass_calibration_error(
            logits.softmax(dim=1),
            labels,
            num_classes,
            n_bins=_NUM_CALIBRATION_BINS,
            norm="l1",
            validate_args=False,
        ),
    )
    return dict(zip(_NAMES, torch.stack(values).tolist(), strict=True))
