"""The quality of predictions for each group of samples: the worst group, and the largest gap."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bench.core.qualities import GROUPS
from bench.tasks.quality import NO_CLASS


def group_quality(
    predicted: Tensor, targets: Tensor, groups: Tensor, *, num_classes: int
) -> dict[str, float]:
    """Compare the groups of a split by their accuracy and by their recall.

    A group without a sample in the split is left out. The worst recall is that over all classes
    (or labels) of all groups, as far as they occur together. With the recall of class 1 alone, a
    model that always answers 1 would be the fairest of all.

    Args:
        predicted: Predicted classes of shape (n,), or for several labels 1 and 0 of shape
            (n, num_labels); -1 where there is no prediction, which counts as wrong.
        targets: True classes, or labels, of the same shape.
        groups: Index of the group of each sample, int64 of shape (n,), at least 0.
        num_classes: Number of classes; not used for several labels.

    Returns:
        Fractions in [0, 1]: `worst_group_accuracy`, `group_accuracy_gap` (largest minus smallest;
        NaN if the samples are all of one group) and `worst_group_recall` (NaN if no label
        occurs). If no sample has a prediction, all are NaN.

    Raises:
        ValueError: There is not one group per sample, or an index is negative.

    Source: Sagawa et al., arXiv 1911.08731: worst-group accuracy, where a group is a pair of
        attribute and class; here that is `worst_group_recall`.
    """
    _require_groups(groups, len(targets))
    if (predicted == NO_CLASS).all():
        return dict.fromkeys(GROUPS, math.nan)
    groups, targets = groups.to(predicted.device), targets.long()
    right = (predicted == targets).double()
    accuracies = _accuracies(right, groups)
    recalls = _recalls(right, targets, groups, num_classes)
    values = (
        float(accuracies.min()),
        float(accuracies.max() - accuracies.min()) if len(accuracies) > 1 else math.nan,
        float(recalls.min()) if len(recalls) else math.nan,
    )
    return dict(zip(GROUPS, values, strict=True))


def _require_groups(groups: Tensor, num_samples: int) -> None:
    if groups.shape != (num_samples,):
        raise ValueError(
            f"groups of shape {tuple(groups.shape)} for {num_samples} samples: must be the index "
            "of the group of each sample of the split, in the order of its loader"
        )
    if groups.is_floating_point() or int(groups.min()) < 0:
        raise ValueError("groups: must be whole numbers of at least 0")


def _accuracies(right: Tensor, groups: Tensor) -> Tensor:
    """The accuracy of each group that occurs, float64."""
    by_sample = right.reshape(len(right), -1)
    sizes = torch.bincount(groups)
    num_right = right.new_zeros(len(sizes)).index_add(0, groups, by_sample.sum(dim=1))
    return (num_right / (sizes * by_sample.shape[1]))[sizes > 0]


def _recalls(right: Tensor, targets: Tensor, groups: Tensor, num_classes: int) -> Tensor:
    """The recall of each class, or label, in each group in which it occurs, float64."""
    num_groups = int(groups.max()) + 1
    if targets.ndim == 1:
        table = right.new_zeros(num_groups, num_classes)
        found = table.index_put((groups, targets), right, accumulate=True)
        occurring = table.index_put((groups, targets), torch.ones_like(right), accumulate=True)
    else:
        table = right.new_zeros(num_groups, targets.shape[1])
        found = table.index_add(0, groups, right * targets)
        occurring = table.index_add(0, groups, targets.double())
    recalls = found / occurring  # 0/0 is NaN: the class does not occur in the group
    return recalls[~recalls.isnan()]
