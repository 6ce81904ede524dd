"""What bench.serve takes from a training run: its test split and the quality of its model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.core.outcome import outcome_record
from bench.core.records.model import ModelFacts
from bench.core.store import new_identity
from bench.serving.model import TrainedModel
from bench.serving.sources import TaskSource
from bench.serving.sources import TestSplit as Split
from bench.tasks.find_task import make_task
from tests.serving.fakes import numbered_inputs


def split() -> Split:
    labels = np.arange(6, dtype=np.int64) % 3
    return Split(inputs=numbered_inputs(6), targets=labels, raw=None, output_shape=(3,))


def trained(test: Split) -> TrainedModel:
    """A model whose data is there already."""
    model = TrainedModel.__new__(TrainedModel)
    identity = new_identity("train", "0123456789ab", 0, 0)
    facts = ModelFacts(name="scales", num_parameters=1)
    model.record = replace(outcome_record(identity, {}, [], status="ok"), model=facts)
    model.test = test
    model._checksum = test.checksum
    data = SimpleNamespace(num_classes=3, num_train_samples=6, input_shape=(1, 2, 2))
    task = make_task("classification", data)
    model._source, model._task_facts = TaskSource(task=task, folder=Path(), trust=()), task.facts()
    return model


def accuracy_of(model: TrainedModel, logits: NDArray[np.float32]) -> float | None:
    found = model.quality(logits)
    assert found is not None
    return found["accuracy"]


def test_a_test_split_that_was_written_into_is_loud_and_names_the_model() -> None:
    model = trained(split())
    model.require_unchanged_split()
    model.test.inputs[5, 0, 1, 1] = np.nextafter(np.float32(5), np.float32(6))  # one bit
    with pytest.raises(ValueError, match="model scales: it wrote into the test split"):
        model.require_unchanged_split()


def test_targets_are_part_of_the_split() -> None:
    model = trained(split())
    assert model.test.targets is not None
    model.test.targets[0] = 1
    with pytest.raises(ValueError, match="test split"):
        model.require_unchanged_split()


def test_answers_that_are_no_numbers_are_wrong_and_else_quality_is_not_known() -> None:
    model = trained(split())
    assert model.test.targets is not None
    logits = np.eye(3, dtype=np.float32)[model.test.targets] * 5
    assert accuracy_of(model, logits) == 1.0
    logits[2, 0] = np.nan
    found = model.quality(logits)
    assert found is not None
    assert (found["loss"], found["accuracy"], found["worst_class_recall"]) == (None, 5 / 6, 1 / 2)
    logits[:] = np.inf
    assert accuracy_of(model, logits) is None
    assert (found.at, found.num_samples) == ("served", 6)


@pytest.mark.parametrize("shape", [(6,), (6, 1)])
def test_the_quality_is_that_of_the_task_whatever_shape_a_backend_gave(
    shape: tuple[int, ...],
) -> None:
    # Errors 0, 1, 0, 0, 0, 2 of six: their mean is 1/2, and that of their squares 5/6.
    values = np.arange(6, dtype=np.float32)
    test = Split(
        inputs=values[:, None],
        targets=values + np.array([0, 1, 0, 0, 0, 2], np.float32),
        raw=None,
        output_shape=(1,),
    )
    model = trained(test)
    data = SimpleNamespace(num_outputs=1, num_train_samples=6, input_shape=(1,))
    task = make_task("regression", data)
    model._source, model._task_facts = TaskSource(task=task, folder=Path(), trust=()), task.facts()
    found = model.quality(values.reshape(shape))
    assert found is not None
    assert found["mae"] == pytest.approx(1 / 2)
    assert found["mse"] == pytest.approx(5 / 6)
    facts = model.task_facts()
    assert facts is not None
    assert facts.sample == "row"
