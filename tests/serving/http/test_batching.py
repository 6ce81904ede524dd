from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Event

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.serving.http.batching import Answer, Batcher, ModelError
from tests.fakes import FakeClock

Inputs = NDArray[np.float32]


def image(value: float) -> Inputs:
    return np.full((1, 1, 1), value, dtype=np.float32)


def one_logit(images: Inputs) -> Inputs:
    return images.reshape(len(images), 1)


class FakeTimers:
    """Calls what it was asked to when the test says that the time has come."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.pending: list[FakeTimer] = []

    def __call__(self, delay_s: float, callback: Callable[[], None]) -> FakeTimer:
        timer = FakeTimer(self, self.clock() + delay_s, callback)
        self.pending.append(timer)
        return timer

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        for timer in [timer for timer in self.pending if timer.due_s <= self.clock()]:
            timer.cancel()
            timer.callback()


class FakeTimer:
    def __init__(self, timers: FakeTimers, due_s: float, callback: Callable[[], None]) -> None:
        self.timers = timers
        self.due_s = due_s
        self.callback = callback

    def cancel(self) -> None:
        self.timers.pending.remove(self)


class HeldModel:
    """Works on its first batch until it is let go; notes the sizes of batches."""

    def __init__(self) -> None:
        self.began = Event()
        self.go_on = Event()
        self.sizes: list[int] = []

    def __call__(self, images: Inputs) -> Inputs:
        self.sizes.append(len(images))
        self.began.set()
        assert self.go_on.wait(30)
        return one_logit(images)


def sizes(answers: list[Answer]) -> list[int]:
    return [answer.batch_size for answer in answers]


def test_what_comes_while_the_model_works_is_its_next_batch() -> None:
    model = HeldModel()

    async def scenario() -> list[Answer]:
        batcher = Batcher(model, max_batch_size=3)
        first = batcher.submit(image(0))
        await asyncio.to_thread(model.began.wait)
        others = [batcher.submit(image(value)) for value in range(1, 6)]
        model.go_on.set()
        answers = list(await asyncio.gather(first, *others))
        batcher.close()
        return answers

    answers = asyncio.run(scenario())
    # The model was free for the first; of the five that waited, three fit into a batch.
    assert model.sizes == [1, 3, 2]
    assert sizes(answers) == [1, 3, 3, 3, 2, 2]
    assert [float(answer.outputs[0]) for answer in answers] == [0, 1, 2, 3, 4, 5]


def test_the_window_is_waited_for_and_a_full_batch_is_not() -> None:
    async def scenario() -> tuple[list[Answer], list[Answer]]:
        timers = FakeTimers(FakeClock())
        batcher = Batcher(
            one_logit, max_batch_size=3, window_s=0.010, clock=timers.clock, call_later=timers
        )
        two = [batcher.submit(image(0))]
        timers.advance(0.006)
        two.append(batcher.submit(image(1)))
        timers.advance(0.003)
        assert not batcher._busy  # 9 ms of the 10 have passed for the first of them
        timers.advance(0.001)
        assert batcher._busy
        partial = await asyncio.gather(*two)
        full = await asyncio.gather(*[batcher.submit(image(value)) for value in range(3)])
        assert not timers.pending
        batcher.close()
        return list(partial), list(full)

    partial, full = asyncio.run(scenario())
    assert sizes(partial) == [2, 2]
    # The clock stands still while the model works: 10 ms and 4 ms were spent waiting.
    assert [answer.queue_s for answer in partial] == pytest.approx([0.010, 0.004])
    assert sizes(full) == [3, 3, 3]
    assert [answer.queue_s for answer in full] == [0, 0, 0]


def test_a_window_that_passed_while_the_model_worked_is_not_waited_for_again() -> None:
    model = HeldModel()

    async def scenario() -> Answer:
        timers = FakeTimers(FakeClock())
        batcher = Batcher(
            model, max_batch_size=2, window_s=0.010, clock=timers.clock, call_later=timers
        )
        full = [batcher.submit(image(0)), batcher.submit(image(1))]
        await asyncio.to_thread(model.began.wait)
        late = batcher.submit(image(2))
        timers.advance(0.020)
        model.go_on.set()
        await asyncio.gather(*full)
        answer = await late
        batcher.close()
        return answer

    answer = asyncio.run(scenario())
    assert answer.batch_size == 1
    assert answer.queue_s == pytest.approx(0.020)


def test_a_timer_that_comes_early_does_not_shorten_the_window() -> None:
    async def scenario() -> Answer:
        timers = FakeTimers(FakeClock())
        batcher = Batcher(
            one_logit, max_batch_size=2, window_s=0.010, clock=timers.clock, call_later=timers
        )
        waiting = batcher.submit(image(0))
        (timer,) = timers.pending
        timers.clock.advance(0.008)
        timer.cancel()
        timer.callback()
        assert not batcher._busy
        timers.advance(0.002)
        answer = await waiting
        batcher.close()
        return answer

    assert asyncio.run(scenario()).queue_s == pytest.approx(0.010)


def test_a_model_that_fails_fails_its_batch_and_goes_on() -> None:
    def fails_on_negative(images: Inputs) -> Inputs:
        if (images < 0).any():
            raise RuntimeError("negative")
        return one_logit(images)

    async def scenario() -> Answer:
        batcher = Batcher(fails_on_negative)
        with pytest.raises(ModelError, match="the model failed: RuntimeError\\('negative'\\)"):
            await batcher.submit(image(-1))
        answer = await batcher.submit(image(1))
        batcher.close()
        return answer

    assert asyncio.run(scenario()).batch_size == 1


def test_logits_of_the_wrong_shape_are_an_error() -> None:
    async def scenario() -> None:
        batcher = Batcher(lambda images: np.zeros((2, 1), dtype=np.float32))
        with pytest.raises(ModelError, match="for 1 inputs"):
            await batcher.submit(image(0))
        batcher.close()

    asyncio.run(scenario())
