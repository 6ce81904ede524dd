"""What bench.serve takes from a training run: its test split and the quality of its model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.core.outcome import outcome_record
from bench.core.records.model import ModelFacts
from bench.core.store import new_identity
from bench.serving.model import TestSplit as Split
from bench.serving.model import TrainedModel, served_quality
from tests.serving.fakes import numbered_images


def split() -> Split:
    labels = np.arange(6, dtype=np.int64) % 3
    return Split(images=numbered_images(6), labels=labels, raw=None, num_classes=3)


def trained(test: Split) -> TrainedModel:
    """A model whose data is there already."""
    model = TrainedModel.__new__(TrainedModel)
    identity = new_identity("train", "0123456789ab", 0, 0)
    facts = ModelFacts(name="scales", num_parameters=1)
    model.record = replace(outcome_record(identity, {}, [], status="ok"), model=facts)
    model.test = test
    model._checksum = test.checksum
    return model


def test_a_test_split_that_was_written_into_is_loud_and_names_the_model() -> None:
    model = trained(split())
    model.require_unchanged_split()
    model.test.images[5, 0, 1, 1] = np.nextafter(np.float32(5), np.float32(6))  # one bit
    with pytest.raises(ValueError, match="model scales: it wrote into the test split"):
        model.require_unchanged_split()


def test_labels_are_part_of_the_split() -> None:
    model = trained(split())
    model.test.labels[0] = 1
    with pytest.raises(ValueError, match="test split"):
        model.require_unchanged_split()


def test_answers_that_are_no_numbers_are_wrong_and_else_quality_is_not_known() -> None:
    test = split()
    logits = np.eye(3, dtype=np.float32)[test.labels] * 5
    assert served_quality(logits, test.labels)["accuracy"] == 1.0
    logits[2, 0] = np.nan
    found = served_quality(logits, test.labels)
    assert (found["loss"], found["accuracy"], found["worst_class_recall"]) == (None, 5 / 6, 1 / 2)
    logits[:] = np.inf
    assert served_quality(logits, test.labels)["accuracy"] is None
    assert found.num_samples == 6
