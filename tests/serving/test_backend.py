from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from typing_extensions import override

from bench.core.arrays import Inputs
from bench.core.errors import PassFailed
from bench.serving.backend import BackendUnavailable, Outputs, call_once
from tests.serving.fakes import FakeBackend, numbered_inputs


def images_of(size: int) -> Inputs:
    return numbered_inputs(size)


def test_each_size_is_called_once_and_the_last_logits_come_back() -> None:
    backend = FakeBackend()
    logits = call_once(backend, images_of, [1, 4], output_shape=(3,))
    assert backend.batch_sizes == [1, 4]
    assert logits.shape == (4, 3)


class Answering(FakeBackend):
    """Answers whatever it is told to."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self._answer = answer

    @override
    def predict(self, images: Inputs) -> Outputs:
        answer: Outputs = self._answer
        return answer


@pytest.mark.parametrize(
    ("answer", "gave"),
    [
        (np.zeros((2, 3)), "gave shape (2, 3)"),
        (np.zeros((1, 10)), "gave shape (1, 10)"),
        (np.zeros((2, 10, 1)), "gave shape (2, 10, 1)"),
        (np.zeros(20), "gave shape (20,)"),
        ((np.zeros((2, 10)), np.zeros((2, 10))), "gave a tuple"),
        ({"logits": np.zeros((2, 10))}, "gave a dict"),
    ],
)
def test_other_outputs_than_one_row_of_logits_per_image_are_refused_in_one_line(
    answer: Any, gave: str
) -> None:
    with pytest.raises(ValueError, match="model") as caught:
        call_once(Answering(answer), images_of, [2], model="model cnn", output_shape=(10,))
    assert str(caught.value) == (
        f"model cnn: must give outputs of shape (2, 10) for a batch of 2; {gave}"
    )


def test_a_model_that_raises_is_named_with_what_it_should_have_given() -> None:
    backend = FakeBackend(fail_at=1, error=TypeError("no\nlogits"))
    with pytest.raises(PassFailed) as caught:
        call_once(backend, images_of, [1, 2], model="model cnn")
    assert str(caught.value) == (
        "model cnn: must give outputs of shape (2, ...) for a batch of 2; TypeError: no"
    )
    assert isinstance(caught.value.__cause__, TypeError)


def test_out_of_memory_keeps_its_cause_and_a_refusal_is_raised_unchanged() -> None:
    full = FakeBackend(fail_at=0, error=torch.OutOfMemoryError("too large"))
    with pytest.raises(PassFailed) as caught:
        call_once(full, images_of, [1])
    assert isinstance(caught.value.__cause__, torch.OutOfMemoryError)
    refusing = FakeBackend(fail_at=0, error=BackendUnavailable("not installed"))
    with pytest.raises(BackendUnavailable, match="not installed"):
        call_once(refusing, images_of, [1])
