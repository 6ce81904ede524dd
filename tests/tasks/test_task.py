"""What each task asks of data and models, and what it makes of them."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torchmetrics.classification import BinaryCohenKappa

from bench.core.qualities import TASK_QUALITIES
from bench.runs.requirements import ADDED_TO_MODEL
from bench.tasks.find_task import make_task
from bench.tasks.task import Task


def data(**attributes: Any) -> SimpleNamespace:
    return SimpleNamespace(**({"input_shape": (3,), "num_train_samples": 8} | attributes))


DATA = {
    "multiclass": ("classification", data(num_classes=3, input_shape=(1, 2, 2))),
    "binary": ("classification", data(num_classes=2)),
    "multilabel": ("classification", data(num_labels=2)),
    "regression": ("regression", data(num_outputs=1)),
    "next_token": (
        "language_modelling",
        data(vocabulary_size=5, context=4, input_shape=(4,), samples_per_example=4),
    ),
}
TASKS = {kind: make_task(*given) for kind, given in DATA.items()}
TARGETS = {
    "multiclass": torch.tensor([0, 1, 2]),
    "binary": torch.tensor([0, 1]),
    "multilabel": torch.tensor([[0.0, 1.0], [1.0, 0.0]]),
    "regression": torch.tensor([[1.0], [3.0]]),
    "next_token": torch.tensor([[0, 1, 2, 3], [4, 3, 2, 1]]),
}
OUTPUTS = {kind: torch.zeros(TASKS[kind].output_shape(TARGETS[kind])) for kind in TASKS}


@pytest.mark.parametrize("kind", TASKS)
def test_the_kind_follows_from_the_data(kind: str) -> None:
    task = TASKS[kind]
    assert task.kind == kind
    assert task.facts().kind == kind


def test_a_sample_is_an_image_a_row_or_a_token() -> None:
    samples = {kind: task.sample for kind, task in TASKS.items()}
    assert samples == {
        "multiclass": "image",
        "binary": "row",
        "multilabel": "row",
        "regression": "row",
        "next_token": "token",
    }
    # 8 tokens in sequences of 4.
    assert (TASKS["next_token"].num_train_examples, TASKS["binary"].num_train_examples) == (2, 8)


@pytest.mark.parametrize("kind", TASKS)
def test_it_reports_the_names_that_it_says_and_all_are_in_the_catalogue(kind: str) -> None:
    task = TASKS[kind]
    evaluation = task.evaluation("val")
    evaluation.update(OUTPUTS[kind], TARGETS[kind])
    assert set(evaluation.compute()) <= set(task.own_names())
    assert set(task.own_names()) <= set(TASK_QUALITIES[task.name])
    assert set(task.directions()) == set(task.own_names())
    assert evaluation.num_samples == TARGETS[kind].shape[0] * task.samples_per_example


@pytest.mark.parametrize("kind", TASKS)
def test_a_model_gets_the_arguments_that_the_check_before_the_run_names(kind: str) -> None:
    task = TASKS[kind]
    assert tuple(task.model_arguments()) == ADDED_TO_MODEL[task.name]


# Uniform logits: log 3, log 2, log 2 and log 5. Outputs of 0 for 1 and 3: (1 + 9) / 2.
LOSSES = {"multiclass": 1.0986, "binary": 0.6931, "multilabel": 0.6931, "regression": 5.0}


@pytest.mark.parametrize(("kind", "loss"), [*LOSSES.items(), ("next_token", 1.6094)])
def test_the_loss_of_a_model_that_knows_nothing(kind: str, loss: float) -> None:
    assert TASKS[kind].loss(OUTPUTS[kind], TARGETS[kind]).item() == pytest.approx(loss, abs=1e-4)


@pytest.mark.parametrize("kind", ["multilabel", "regression"])
def test_targets_of_numpys_precision_give_a_gradient(kind: str) -> None:
    outputs = OUTPUTS[kind].clone().requires_grad_()
    TASKS[kind].loss(outputs, TARGETS[kind].double()).backward()  # type: ignore[no-untyped-call]
    assert outputs.grad is not None


@pytest.mark.parametrize(
    ("kind", "targets", "words"),
    [
        ("multiclass", torch.tensor([0.0, 1.0]), r"labels of loader must be int64 of shape \(2,\)"),
        ("binary", torch.tensor([0, 2]), "a label is 2, must be 0 to 1"),
        ("multilabel", torch.tensor([[1, 0]]), r"floats of shape \(1, 2\), are int64"),
        ("multilabel", torch.tensor([[0.5, 0.0]]), "the target of a label is 0.5, must be 0 or 1"),
        ("regression", torch.tensor([1, 2]), r"floats of shape \(2,\), are int64"),
        ("regression", torch.tensor([1.0, torch.nan]), "is NaN or infinite; leave its row out"),
        ("next_token", torch.tensor([[0, 1, 2, 9]]), "9"),
        ("next_token", torch.tensor([[0, 1]]), r"int64 of shape \(1, 4\)"),
    ],
)
def test_targets_that_cannot_be_learned_are_refused(kind: str, targets: Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TASKS[kind].require_targets(targets, len(targets), "loader")


@pytest.mark.parametrize("kind", TASKS)
def test_outputs_of_another_shape_are_refused(kind: str) -> None:
    task = TASKS[kind]
    task.require_outputs(OUTPUTS[kind], TARGETS[kind])
    for outputs in (OUTPUTS[kind][..., None], (OUTPUTS[kind], None)):
        with pytest.raises(ValueError, match=r"model: must give (logits|outputs) of shape"):
            task.require_outputs(outputs, TARGETS[kind])


def test_one_number_may_have_a_dimension_of_its_own_or_not() -> None:
    task: Task = TASKS["regression"]
    task.require_outputs(torch.zeros(2), TARGETS["regression"])
    task.require_targets(torch.zeros(2), 2, "loader")


def test_data_that_is_made_for_another_task_is_named() -> None:
    with pytest.raises(ValueError, match=r"num_classes is missing .* choose task=regression"):
        make_task("classification", data(num_outputs=1))


def test_metrics_of_the_user_are_reported_beside_those_of_the_task() -> None:
    task = make_task("classification", data(num_classes=2), {"kappa": BinaryCohenKappa()})
    # Class 1 has the larger logit in the first and the last of four; one of two is right.
    logits = torch.tensor([[0.0, 2.0], [2.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
    for _ in range(2):  # an evaluation does not remember the one before
        evaluation = task.evaluation("val")
        evaluation.update(logits, torch.tensor([1, 0, 1, 0]))
        values = evaluation.compute()
        assert (values["kappa"], values["accuracy"]) == (0.0, 0.5)
    assert task.directions()["kappa"] == "max"
    assert task.facts().directions["kappa"] == "max"


def test_label_smoothing_of_classes_and_tokens() -> None:
    # Probabilities 1/2, 1/4, 1/4. A smoothing of 0.3 makes the target 0.8, 0.1, 0.1:
    # 0.8 ln 2 + 0.2 ln 4 = 1.2 ln 2.
    logits = torch.tensor([2.0, 1.0, 1.0]).log()
    classes = make_task("classification", data(num_classes=3), label_smoothing=0.3)
    loss = classes.loss(logits.reshape(1, 3), torch.tensor([0]))
    assert loss.item() == pytest.approx(1.2 * math.log(2))
    text = data(vocabulary_size=3, context=2, input_shape=(2,), samples_per_example=2)
    tokens = make_task("language_modelling", text, label_smoothing=0.3)
    loss = tokens.loss(logits.expand(1, 2, 3), torch.tensor([[0, 0]]))
    assert loss.item() == pytest.approx(1.2 * math.log(2))


def test_label_smoothing_of_several_labels() -> None:
    # Probabilities 3/4 and 1/2. A smoothing of 0.4 makes the targets 1 and 0 to 0.8 and 0.2; the
    # second label costs ln 2 in any case.
    labels = make_task("classification", data(num_labels=2), label_smoothing=0.4)
    loss = labels.loss(torch.tensor([[math.log(3), 0.0]]), torch.tensor([[1.0, 0.0]]))
    first = -0.8 * math.log(0.75) - 0.2 * math.log(0.25)
    assert loss.item() == pytest.approx((first + math.log(2)) / 2)


def test_label_smoothing_changes_no_quality() -> None:
    values = []
    for smoothing in (0.0, 0.3):
        task = make_task("classification", data(num_classes=3), label_smoothing=smoothing)
        evaluation = task.evaluation("val")
        evaluation.update(torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([0]))
        values.append(evaluation.compute())
    assert values[0] == values[1]
