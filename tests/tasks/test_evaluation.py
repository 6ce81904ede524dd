"""An evaluation computes the quality of a split from its batches."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from bench.core.qualities import (
    CLASSES,
    GROUPS,
    LABELS,
    LANGUAGE,
    MULTILABEL,
    QUALITIES,
    REGRESSION,
    TASK_QUALITIES,
)
from bench.tasks.binary_quality import binary_quality
from bench.tasks.evaluation import SplitEvaluation, classification_quality, labelling_quality
from bench.tasks.language_quality import LanguageEvaluation
from bench.tasks.multilabel_quality import multilabel_quality
from bench.tasks.quality import quality
from bench.tasks.regression_quality import regression_quality

GENERATOR = torch.Generator().manual_seed(0)
IN_TURNS = torch.tensor([0, 1] * 10)  # the groups


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
    evaluation = SplitEvaluation(partial(classification_quality, groups=IN_TURNS))
    evaluation.update(logits, labels)
    values = evaluation.compute()
    accuracies = [quality(logits[n::2], labels[n::2])["accuracy"] for n in (0, 1)]
    assert values["worst_group_accuracy"] == min(accuracies)
    assert values["group_accuracy_gap"] == max(accuracies) - min(accuracies)
    assert values.keys() - classification_quality(logits, labels) == set(GROUPS)


def test_groups_of_labels() -> None:
    logits = torch.randn(20, 4, generator=GENERATOR)
    targets = torch.randint(2, (20, 4), generator=GENERATOR).float()
    values = labelling_quality(logits, targets, groups=IN_TURNS)
    accuracies = [multilabel_quality(logits[n::2], targets[n::2])["accuracy"] for n in (0, 1)]
    assert values["worst_group_accuracy"] == min(accuracies)
    assert labelling_quality(logits, targets) == multilabel_quality(logits, targets)


def test_a_sample_without_a_distribution_is_wrong_in_its_group() -> None:
    logits = torch.tensor([[0.0, float("nan")], [0.0, 1.0]])
    values = classification_quality(logits, torch.tensor([1, 1]), groups=torch.tensor([0, 1]))
    assert values["worst_group_accuracy"] == values["worst_group_recall"] == 0


def reported() -> list[tuple[str, dict[str, float], tuple[str, ...]]]:
    """By task: what it computes, and the names that the catalogue has for it."""
    classes, groups = torch.tensor([0, 1]), torch.tensor([0, 1])
    tokens = LanguageEvaluation(bytes_per_token=1.0)
    tokens.update(torch.zeros(1, 2, 3), torch.tensor([[0, 2]]))
    numbers = regression_quality(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 2.0]))
    three, two = torch.zeros(2, 3), torch.zeros(2, 2)
    return [
        ("classification", classification_quality(three, classes), CLASSES),
        ("classification", classification_quality(two, classes), (*CLASSES, *LABELS)),
        ("classification", labelling_quality(two, torch.eye(2)), MULTILABEL),
        (
            "classification",
            labelling_quality(two, torch.eye(2), groups=groups),
            (*MULTILABEL, *GROUPS),
        ),
        ("regression", numbers, REGRESSION),
        ("language_modelling", tokens.compute(), LANGUAGE),
    ]


def test_the_catalogue_has_exactly_the_names_that_tasks_report() -> None:
    for _, values, names in reported():
        assert tuple(values) == names
    for task, names in TASK_QUALITIES.items():
        assert {name for other, values, _ in reported() if other == task for name in values} == set(
            names
        )


def test_values_lie_in_the_range_that_the_catalogue_has() -> None:
    for _, values, _ in reported():
        for name, value in values.items():
            assert QUALITIES[name].lower <= value <= QUALITIES[name].upper
