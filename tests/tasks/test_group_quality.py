"""The worst group and the gap between groups, worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from bench.tasks.group_quality import group_quality

NONE = -1  # no prediction


def of_groups(
    predicted: list[int], targets: list[int], groups: list[int], num_classes: int = 2
) -> dict[str, float]:
    return group_quality(
        torch.tensor(predicted),
        torch.tensor(targets),
        torch.tensor(groups),
        num_classes=num_classes,
    )


def test_two_classes() -> None:
    """Group 0 has 3 of 4 right: 1 of 2 of class 1, 2 of 2 of class 0. Group 1 has only class 1."""
    values = of_groups([1, 0, 0, 0, 1, 0], [1, 1, 0, 0, 1, 1], [0, 0, 0, 0, 1, 1])
    assert values == {
        "worst_group_accuracy": 1 / 2,
        "group_accuracy_gap": 3 / 4 - 1 / 2,
        "worst_group_recall": 1 / 2,
    }


def test_always_the_same_answer_is_not_fair() -> None:
    """Class 1 is always found, class 0 never."""
    assert of_groups([1] * 4, [1, 0, 1, 0], [0, 0, 1, 1])["worst_group_recall"] == 0


def test_more_classes() -> None:
    """Group 0 finds 1 of 2 of class 0 and 1 of 1 of class 2; group 1 finds 1 of 3 of class 1."""
    values = of_groups([0, 1, 2, 1, 0, 0], [0, 0, 2, 1, 1, 1], [0, 0, 0, 1, 1, 1], num_classes=3)
    assert values["worst_group_accuracy"] == 1 / 3
    assert values["group_accuracy_gap"] == pytest.approx(2 / 3 - 1 / 3)
    assert values["worst_group_recall"] == 1 / 3  # of class 1 in group 1


def test_labels() -> None:
    """Group 0 has 3 of 4 labels right, group 1 all. In group 0 label A is missed, B is found."""
    predicted = torch.tensor([[0, 1], [0, 0], [1, 0]])
    targets = torch.tensor([[1.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
    values = group_quality(predicted, targets, torch.tensor([0, 0, 1]), num_classes=2)
    assert values == {
        "worst_group_accuracy": 3 / 4,
        "group_accuracy_gap": 1 / 4,
        "worst_group_recall": 0.0,  # of label A in group 0
    }


def test_ratios_are_exact() -> None:
    values = of_groups([1] * 342 + [0] * 18, [1] * 360, [0] * 360)
    assert values["worst_group_accuracy"] == values["worst_group_recall"] == 0.95


def test_groups_without_a_sample_are_left_out() -> None:
    values = of_groups([1, 0], [1, 0], [7, 3])
    assert values == {
        "worst_group_accuracy": 1.0,
        "group_accuracy_gap": 0.0,
        "worst_group_recall": 1.0,
    }


def test_a_class_that_does_not_occur_in_a_group_has_no_recall_there() -> None:
    """Class 1 of group 1 would otherwise be the worst, with 0 of 0."""
    values = of_groups([1, 0, 0], [1, 0, 0], [0, 0, 1])
    assert values["worst_group_recall"] == 1
    no_label = torch.zeros(2, 1)
    values = group_quality(no_label.long(), no_label, torch.tensor([0, 1]), num_classes=2)
    assert math.isnan(values["worst_group_recall"])


def test_one_group_has_no_gap() -> None:
    values = of_groups([1, 0], [1, 1], [4, 4])
    assert math.isnan(values["group_accuracy_gap"])
    assert values["worst_group_accuracy"] == 1 / 2


def test_no_prediction_is_wrong() -> None:
    values = of_groups([NONE, 1], [1, 1], [0, 1])
    assert values == {
        "worst_group_accuracy": 0.0,
        "group_accuracy_gap": 1.0,
        "worst_group_recall": 0.0,
    }
    assert all(math.isnan(value) for value in of_groups([NONE] * 2, [1, 0], [0, 1]).values())


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([0], r"groups of shape \(1,\) for 2 samples: must be the index of the group"),
        ([0, -1], "groups: must be whole numbers of at least 0"),
        ([0.0, 1.0], "groups: must be whole numbers of at least 0"),
    ],
)
def test_groups_that_do_not_fit_are_refused(groups: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        of_groups([1, 0], [1, 0], groups)
