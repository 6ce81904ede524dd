"""The quality of a classifier that decides on each of several labels by itself."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from bench.core.qualities import MULTILABEL
from bench.tasks.binary_quality import auroc, average_precision
from bench.tasks.quality import NO_CLASS, share


def multilabel_quality(logits: Tensor, targets: Tensor) -> dict[str, float]:
    """Compute how well all labels, and each label, are predicted.

    A label is predicted where its logit is above 0, a probability of more than one half. A logit
    that is NaN predicts nothing and counts as wrong.

    Args:
        logits: Log-odds of each label, shape (n, num_labels), n >= 1; infinite ones are certain.
        targets: 1 where a sample has a label, else 0, shape (n, num_labels).

    Returns:
        Over all pairs of sample and label: `loss` and `log_loss` (mean binary cross-entropy in
        nats), `accuracy`, `f1` and `brier_score`. Over labels: `macro_f1` is the mean of those
        that occur or are predicted, `worst_class_recall` the smallest of those that occur, `auroc`
        and `average_precision` the mean of those that some samples have and others do not.
        What is undefined is NaN. A NaN logit makes loss, log loss and Brier score NaN, and AUROC
        and average precision too if its label is one of theirs. If all logits are NaN, so are all
        values.

    Raises:
        ValueError: The shapes do not match, there are no samples, or a target is not 0 or 1.
    """
    require_labels(logits, targets)
    logits, positive = logits.detach().double(), targets.bool()
    if logits.isnan().all():
        return dict.fromkeys(MULTILABEL, math.nan)
    predicted = predicted_labels(logits)
    # The probability of the truth is the sigmoid of the logit, or of the negative logit.
    loss = float(-logsigmoid(torch.where(positive, logits, -logits)).mean())
    brier_score = float((logits.sigmoid() - positive.double()).square().mean())
    right = predicted == positive
    num_found = (right & positive).sum(dim=0)
    num_occurring, num_predicted = positive.sum(dim=0), (predicted == 1).sum(dim=0)
    recalls = num_found.double() / num_occurring
    values = (
        loss,
        share(right.sum(), right.numel()),
        float((2 * num_found.double() / (num_occurring + num_predicted)).nanmean()),
        float(recalls[num_occurring > 0].min()) if positive.any() else math.nan,
        _mean_over_labels(auroc, logits, positive),
        _mean_over_labels(average_precision, logits, positive),
        share(2 * num_found.sum(), num_occurring.sum() + num_predicted.sum()),
        loss,
        brier_score,
    )
    return dict(zip(MULTILABEL, values, strict=True))


def predicted_labels(logits: Tensor) -> Tensor:
    """Decide on each label: 1 or 0, or -1 where the logit is NaN.

    Args:
        logits: Log-odds, shape (n, num_labels).

    Returns:
        Decisions, int64 of the same shape.
    """
    return (logits > 0).long().masked_fill(logits.isnan(), NO_CLASS)


def require_labels(logits: Tensor, targets: Tensor, *, where: str = "targets") -> None:
    """Refuse targets that do not say of each label whether the sample has it.

    Args:
        logits: Shape (n, num_labels).
        targets: The targets of these samples.
        where: The origin of the targets, for the error.

    Raises:
        ValueError: The shapes differ, there is no sample, or a target is not 0 or 1.
    """
    if logits.ndim != 2 or targets.shape != logits.shape or not targets.numel():
        raise ValueError(
            f"logits of shape {tuple(logits.shape)} and {where} of shape {tuple(targets.shape)}: "
            "both must be (n, num_labels) with n at least 1"
        )
    wrong = targets[(targets != 0) & (targets != 1)]
    if len(wrong):
        raise ValueError(f"{where}: the target of a label is {wrong[0].item():g}, must be 0 or 1")


def _mean_over_labels(
    score: Callable[[Tensor, Tensor], float], logits: Tensor, positive: Tensor
) -> float:
    """Average a score over the labels that some samples have and others do not."""
    both = positive.any(dim=0) & ~positive.all(dim=0)
    scores = [score(logits[:, n], positive[:, n]) for n in both.nonzero().flatten().tolist()]
    return sum(scores) / len(scores) if scores else math.nan
