from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import pytest
from typing_extensions import override

from bench.core.arrays import Inputs
from bench.serving.backend import Outputs
from bench.serving.in_process import InProcessSystem
from bench.serving.system import System
from tests.serving.fakes import FakeBackend, FakeSample, logits_of, numbered_inputs

IMAGES = numbered_inputs(20)


def samples(*indices: int) -> list[FakeSample]:
    return [FakeSample(id=1000 + index, index=index) for index in indices]


class Answered:
    """Done that notes which samples were answered, and lets a test wait for so many."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self._changed = threading.Condition()

    def __call__(self, ids: Sequence[int]) -> None:
        with self._changed:
            self.ids += ids
            self._changed.notify_all()

    def wait_for(self, number: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.ids) >= number, timeout=30)


class GatedBackend(FakeBackend):
    """Says when it has begun, and goes on when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.began = threading.Event()
        self.go_on = threading.Event()

    @override
    def predict(self, images: Inputs) -> Outputs:
        self.began.set()
        assert self.go_on.wait(30)
        return super().predict(images)


def test_a_query_is_answered_in_batches_of_at_most_the_largest_size() -> None:
    backend, done = FakeBackend(), Answered()
    system: System = InProcessSystem(backend, IMAGES, max_batch_size=4, queued=False)
    system.begin(done, collect=True)
    system.issue(samples(9, 8, 7, 6, 5, 4, 3, 2, 1, 0))
    system.end()
    assert backend.batch_sizes == [4, 4, 4]  # the last one filled up
    assert done.ids == [1009, 1008, 1007, 1006, 1005, 1004, 1003, 1002, 1001, 1000]
    indices, logits = system.answers()
    assert indices.tolist() == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    np.testing.assert_array_equal(logits, logits_of(indices))


class WritingBackend(FakeBackend):
    """Answers, and leaves nothing of its input as it was."""

    @override
    def predict(self, images: Inputs) -> Outputs:
        logits = super().predict(images)
        images *= -1
        return logits


@pytest.mark.parametrize("queued", [False, True])
@pytest.mark.parametrize("query", [(7,), (7, 8), (1, 2, 3, 4, 5, 6)])
def test_a_model_that_writes_into_its_input_cannot_change_the_test_split(
    queued: bool, query: tuple[int, ...]
) -> None:
    images = IMAGES.copy()
    system = InProcessSystem(WritingBackend(), images, max_batch_size=4, queued=queued)
    for _ in range(2):
        system.begin(Answered(), collect=True)
        system.issue(samples(*query))
        system.end()
        indices, logits = system.answers()
        np.testing.assert_array_equal(logits, logits_of(indices))
    np.testing.assert_array_equal(images, IMAGES)


class FewBackend(FakeBackend):
    """Gives one row for a whole batch."""

    @override
    def predict(self, images: Inputs) -> Outputs:
        return super().predict(images)[:1]


def test_answers_that_are_not_one_for_each_image_end_the_pass() -> None:
    system = InProcessSystem(FewBackend(), IMAGES, max_batch_size=4, queued=False)
    system.begin(Answered(), collect=True)
    system.issue(samples(1, 2, 3))
    assert str(system.failure) == (
        "the model: must give outputs of shape (3, ...) for a batch of 3; gave shape (1, 3)"
    )


def test_a_queue_is_emptied_in_batches_of_what_waits() -> None:
    backend, done = GatedBackend(), Answered()
    system = InProcessSystem(backend, IMAGES, max_batch_size=4, queued=True)
    system.begin(done, collect=True)
    system.issue(samples(0))
    assert backend.began.wait(30)
    for index in range(1, 7):  # while the first is being answered
        system.issue(samples(index))
    assert done.ids == []  # and the issuing thread was not held up
    backend.go_on.set()
    done.wait_for(7)
    system.end()
    # One was there at first; then six, of which four fit.
    assert backend.batch_sizes == [1, 4, 2]
    indices, logits = system.answers()
    assert indices.tolist() == [0, 1, 2, 3, 4, 5, 6]
    np.testing.assert_array_equal(logits, logits_of(indices))


def test_what_is_queued_when_the_pass_ends_is_answered_first() -> None:
    backend, done = GatedBackend(), Answered()
    system = InProcessSystem(backend, IMAGES, max_batch_size=8, queued=True)
    system.begin(done, collect=False)
    system.issue(samples(0))
    assert backend.began.wait(30)
    system.issue(samples(1, 2))
    backend.go_on.set()
    system.end()
    assert sorted(done.ids) == [1000, 1001, 1002]


@pytest.mark.parametrize("queued", [False, True])
def test_after_a_failure_the_rest_is_reported_without_asking_the_model(queued: bool) -> None:
    backend, done = FakeBackend(fail_at=1), Answered()
    system = InProcessSystem(backend, IMAGES, max_batch_size=1, queued=queued)
    system.begin(done, collect=False)
    for index in range(5):
        system.issue(samples(index))
    system.end()
    assert isinstance(system.failure, RuntimeError)
    assert len(backend.batch_sizes) == 2
    assert done.ids == [1000, 1001, 1002, 1003, 1004]


def test_a_new_pass_forgets_the_one_before() -> None:
    backend = FakeBackend(fail_at=0)
    system = InProcessSystem(backend, IMAGES, max_batch_size=2, queued=False)
    system.begin(Answered(), collect=True)
    system.issue(samples(1))
    system.end()
    assert system.failure is not None
    system.begin(Answered(), collect=True)
    system.issue(samples(2))
    system.end()
    assert system.failure is None
    assert system.answers()[0].tolist() == [2]


def test_answers_that_were_not_kept_cannot_be_had() -> None:
    system = InProcessSystem(FakeBackend(), IMAGES, max_batch_size=2, queued=False)
    system.begin(Answered(), collect=False)
    system.issue(samples(1))
    with pytest.raises(ValueError, match="collect=True"):
        system.answers()
