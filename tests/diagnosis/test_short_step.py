"""The smallest slowdown that the gate would find, where it can be derived by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bench.diagnosis.short_step import step_noise, step_times_s


class CountingClock:
    """A clock on which a hundredth of a second passes between two looks."""

    def __init__(self) -> None:
        self.num_looks = 0

    def __call__(self) -> float:
        self.num_looks += 1
        return self.num_looks * 0.01


def test_steps_without_noise() -> None:
    """Any slowdown beyond the least effect of 5% is found, once p can be small enough.

    If all runs of one side are slower, p is 1 / C(2n, n): 1/6 for 2 runs, 1/20 for 3, 1/924 for 6.
    The level is 0.05. Of the slowdowns that are tried, 3% apart, the first above 5% is taken.
    """
    noise = step_noise(np.full(20, 1e-3), 100, [2, 3, 6])
    assert noise.slowdown_frac[2] is None
    assert noise.slowdown_frac[3] == noise.slowdown_frac[6] == pytest.approx(0.05, abs=0.002)
    assert (noise.num_repeats, noise.num_steps, noise.step_s) == (20, 100, 1e-3)
    assert noise.variation_frac == pytest.approx(0, abs=1e-12)  # 1e-3 is no binary fraction


def test_more_noise_hides_more_and_more_runs_show_more() -> None:
    times_s = np.random.default_rng(1).normal(1.0, 0.01, 20)
    quiet = step_noise(times_s, 1, [6, 16]).slowdown_frac
    loud = step_noise(1 + 10 * (times_s - 1), 1, [6, 16]).slowdown_frac
    assert quiet[6] is not None
    assert quiet[16] is not None
    assert loud[6] is not None
    assert loud[16] is not None
    assert quiet[6] < loud[6]
    assert loud[16] < loud[6]


def test_the_coefficient_of_variation() -> None:
    # Values 0.9 and 1.1: mean 1, and a variance of 5 * 2 * 0.01 / 9.
    noise = step_noise(np.array([0.9, 1.1] * 5), 1, [])
    assert noise.variation_frac == pytest.approx((0.1 / 9) ** 0.5)


def test_the_steps_are_timed() -> None:
    """The warm-up ends after 0.3 s: with a look of 10 ms per step, after some 29 steps.

    A repeat has a third of them, and a look at its start and its end.
    """
    times_s, num_steps = step_times_s(5, CountingClock())
    assert num_steps == 10
    assert times_s == pytest.approx(np.full(5, 0.01 / num_steps))
