"""An evaluation computes the quality of a split from its batches."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from bench.tasks.binary_quality import binary_quality
from bench.tasks.evaluation import SplitEvaluation, classification_quality, labelling_quality
from bench.tasks.multilabel_quality import multilabel_quality
from bench.tasks.quality import quality

GENERATOR = torch.Generator().manual_seed(0)
GROUPS = torch.tensor([0, 1] * 10)
OF_GROUPS = {"worst_group_accuracy", "group_accuracy_gap", "worst_group_recall"}


def test_batches_give_the_quality_of_the_split() -> None:
    logits, labels = torch.randn(20, 3, generator=GENERATOR), torch.arange(20) % 3
    evaluation = SplitEvaluation(classification_quality)
    for start in range(0, 20, 8):  # the last batch is smaller
        evaluation.update(logits[start : start + 8], labels[start : start + 8])
    assert evaluation.num_samples == 20
    assert evaluation.compute() == quality(logits, labels)


def test_no_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="the split needs at least one sample"):
        SplitEvaluation(classification_quality).compute()


def test_the_number_of_classes_decides_what_is_computed() -> None:
    logits, labels = torch.randn(20, 2, generator=GENERATOR), torch.arange(20) % 2
    assert classification_quality(logits, labels) == binary_quality(logits, labels)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_groups_add_their_qualities(num_classes: int) -> None:
    logits = torch.randn(20, num_classes, generator=GENERATOR)
    labels = torch.arange(20) % num_classes
    evaluation = SplitEvaluation(partial(classification_quality, groups=GROUPS))
    evaluation.update(logits, labels)
    values = evaluation.compute()
    # Samples take turns between the two groups.
    accuracies = [quality(logits[n::2], labels[n::2])["accuracy"] for n in (0, 1)]
    assert values["worst_group_accuracy"] == min(accuracies)
    assert values["group_accuracy_gap"] == max(accuracies) - min(accuracies)
    assert values.keys() - classification_quality(logits, labels).keys() == OF_GROUPS


def test_groups_of_labels() -> None:
    logits = torch.randn(20, 4, generator=GENERATOR)
    targets = torch.randint(2, (20, 4), generator=GENERATOR).float()
    values = labelling_quality(logits, targets, groups=GROUPS)
    accuracies = [multilabel_quality(logits[n::2], targets[n::2])["accuracy"] for n in (0, 1)]
    assert values["worst_group_accuracy"] == min(accuracies)
    assert labelling_quality(logits, targets) == multilabel_quality(logits, targets)


def test_a_sample_without_a_distribution_is_wrong_in_its_group() -> None:
    logits = torch.tensor([[0.0, float("nan")], [0.0, 1.0]])
    values = classification_quality(logits, torch.tensor([1, 1]), groups=torch.tensor([0, 1]))
    assert values["worst_group_accuracy"] == values["worst_group_recall"] == 0
