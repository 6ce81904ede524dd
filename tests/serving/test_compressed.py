"""The latency of two models measured in turns, on a fake clock with known answers."""

from __future__ import annotations

import numpy as np
import pytest
from typing_extensions import override

from bench.compression.artifact import Artifact
from bench.core.arrays import Inputs
from bench.serving.backend import Backend, Outputs
from bench.serving.compressed import latency_ratio, ratio_of_rounds
from tests.fakes import FakeClock

IMAGES = np.arange(3, dtype=np.float32).reshape(3, 1, 1, 1)


class SlowBackend(Backend):
    """Takes as long as it is told to for each request, the machine's slowness at the time on top.

    Every request, its own and the other model's, makes the machine slower by `drift`.
    """

    name = "slow"
    kind = "torch"

    def __init__(
        self, called: str, latency_s: float, clock: FakeClock, calls: list[str], drift: float = 0.0
    ) -> None:
        super().__init__(device="cpu", num_threads=None)
        self.inputs: list[float] = []
        self._called = called
        self._latency_s = latency_s
        self._clock = clock
        self._calls = calls
        self._drift = drift

    def open(self, artifact: Artifact) -> None:
        """Nothing to open."""

    def predict(self, images: Inputs) -> Outputs:
        assert images.shape == (1, 1, 1, 1)
        self.inputs.append(float(images.item()))
        self._clock.advance(self._latency_s * (1 + self._drift * len(self._calls)))
        self._calls.append(self._called)
        return images.reshape(1, 1)

    def close(self) -> None:
        """Nothing to close."""


def pair(
    compressed_s: float, baseline_s: float, drift: float = 0.0
) -> tuple[SlowBackend, SlowBackend, FakeClock, list[str]]:
    clock, calls = FakeClock(), list[str]()
    compressed = SlowBackend("A", compressed_s, clock, calls, drift)
    baseline = SlowBackend("B", baseline_s, clock, calls, drift)
    return compressed, baseline, clock, calls


def test_each_model_is_given_inputs_of_its_own() -> None:
    """Both see the same inputs, whatever the other one writes into them."""

    class Writing(SlowBackend):
        @override
        def predict(self, images: Inputs) -> Outputs:
            logits = super().predict(images).copy()
            images *= -1
            return logits

    clock, images = FakeClock(), IMAGES.copy()
    writing, other = (kind("", 0.001, clock, []) for kind in (Writing, SlowBackend))
    latency_ratio(writing, other, images, rounds=3, requests=4, warmup=1, clock=clock)
    assert writing.inputs == other.inputs
    np.testing.assert_array_equal(images, IMAGES)


def test_constant_latencies_give_their_ratio_and_an_interval_of_no_width() -> None:
    compressed, baseline, clock, _ = pair(0.002, 0.005)
    found = latency_ratio(compressed, baseline, IMAGES, rounds=4, requests=3, warmup=0, clock=clock)
    assert (found.ratio, found.low, found.high) == pytest.approx((0.4, 0.4, 0.4))
    assert found.num_rounds == 4


def test_models_take_turns_and_the_order_alternates_by_round() -> None:
    compressed, baseline, clock, calls = pair(0.001, 0.001)
    latency_ratio(compressed, baseline, IMAGES, rounds=3, requests=2, warmup=1, clock=clock)
    assert "".join(calls) == "AB" + "AABB" + "BBAA" + "AABB"


def test_both_models_get_the_same_inputs_and_these_are_cycled() -> None:
    compressed, baseline, clock, _ = pair(0.001, 0.001)
    latency_ratio(compressed, baseline, IMAGES, rounds=2, requests=2, warmup=0, clock=clock)
    assert compressed.inputs == baseline.inputs == [0, 1, 2, 0]


def test_a_machine_that_becomes_slower_does_not_change_the_ratio_of_equals() -> None:
    # After an even number of rounds each model has gone first equally often. Request k takes
    # 1 + 0.01 k: in round r of 2 requests each, the first model's median is 1 + 0.01 (4 r + 0.5)
    # and the second's 1 + 0.01 (4 r + 2.5). Over rounds A, who is first in rounds 0 and 2, has
    # 1.005, 1.065, 1.085, 1.145 and B 1.025, 1.045, 1.105, 1.125: both have the median 1.075.
    compressed, baseline, clock, _ = pair(1.0, 1.0, drift=0.01)
    found = latency_ratio(compressed, baseline, IMAGES, rounds=4, requests=2, warmup=0, clock=clock)
    assert found.ratio == pytest.approx(1.0)
    assert found.low < 1.0 < found.high


def test_warmup_is_not_in_the_ratio() -> None:
    # Request k takes 1 + k seconds. The 5 of warm-up of each model come first, so that A has 1 + 10
    # in round 0 and 1 + 13 in round 1, and B has 1 + 11 and 1 + 12: both have the median 12.5.
    compressed, baseline, clock, calls = pair(1.0, 1.0, drift=1.0)
    found = latency_ratio(compressed, baseline, IMAGES, rounds=2, requests=1, warmup=5, clock=clock)
    assert len(calls) == 10 + 4
    assert found.ratio == pytest.approx(1.0)


def test_the_interval_draws_rounds_whole() -> None:
    # The machine is three times slower in half of the rounds, for both models: within each round
    # the ratio is 0.5, so that it is 0.5 in every sample of rounds with an odd number of them,
    # whose median is one round's. Drawn apart, the two would range from 1/6 to 3/2.
    machine = np.array([1.0, 3.0, 1.0, 3.0, 1.0, 3.0, 1.0])
    found = ratio_of_rounds(0.5 * machine, 1.0 * machine)
    assert (found.ratio, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))


def test_the_interval_is_the_same_each_time() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.uniform(1, 2, 20), rng.uniform(1, 2, 20)
    assert ratio_of_rounds(a, b) == ratio_of_rounds(a, b)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"rounds": 1}, "rounds=1"),
        ({"requests": 0}, "requests=0"),
        ({"warmup": -1}, "warmup=-1"),
        ({"inputs": IMAGES[:0]}, "0 inputs"),
    ],
)
def test_numbers_out_of_range_are_refused(change: dict[str, object], named: str) -> None:
    compressed, baseline, clock, _ = pair(0.001, 0.001)
    options = {"inputs": IMAGES, "rounds": 2, "requests": 1, "warmup": 0, "clock": clock}
    with pytest.raises(ValueError, match=named):
        latency_ratio(compressed, baseline, **{**options, **change})  # type: ignore[arg-type]


def test_a_clock_that_stands_still_is_an_error_and_not_a_ratio() -> None:
    compressed, baseline, clock, _ = pair(0.0, 0.001)
    with pytest.raises(ValueError, match="too coarse"):
        latency_ratio(compressed, baseline, IMAGES, rounds=2, requests=1, warmup=0, clock=clock)
