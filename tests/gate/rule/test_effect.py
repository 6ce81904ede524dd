from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest

from bench.core.arrays import Floats
from bench.gate.rule.effect import loss_of, ratio

INF = float("inf")


@pytest.mark.parametrize(
    ("base", "candidate", "better", "loss"),
    [
        ([1, 2, 3], [2, 3, 4], "min", 0.5),  # 3 / 2 - 1
        ([1, 2, 3], [2, 3, 4], "max", -0.5),
        ([4, 4], [3, 3], "max", 0.25),
        ([2, 2], [2, 2], "min", 0.0),
        ([0, 0], [0, 0], "max", 0.0),
        ([0, 0], [1, 1], "min", INF),
        ([0, 0], [1, 1], "max", -INF),
        ([1, 1], [0, 0], "max", 1.0),
        ([1, 1], [1, INF], "min", INF),  # the middle lies between a hit and a miss
        ([1, INF], [1, 1], "min", -INF),
        ([1, 1], [-INF, 1], "max", INF),
        ([-INF, -INF], [1, 1], "max", -INF),
        # Both medians missed: three of four against four of four.
        ([1, INF, INF, INF], [INF] * 4, "min", INF),
        ([INF] * 4, [1, INF, INF, INF], "min", -INF),
        ([1, -INF, -INF, -INF], [-INF] * 4, "max", INF),
    ],
)
def test_a_loss_is_a_share_of_the_base(
    base: list[float], candidate: list[float], better: Literal["min", "max"], loss: float
) -> None:
    assert loss_of(np.array(base, float), np.array(candidate, float), better) == pytest.approx(loss)


def test_equally_many_misses_on_both_sides_show_nothing() -> None:
    assert math.isnan(loss_of(np.array([1, INF, INF]), np.array([9, INF, INF]), "min"))


def test_a_ratio_of_zeros_is_one_and_a_missed_rate_is_zero() -> None:
    def value(base: Floats, candidate: Floats) -> float | None:
        estimate = ratio(base, candidate)
        assert estimate is not None
        return estimate.value

    assert value(np.zeros(3), np.zeros(3)) == 1
    assert value(np.ones(3), np.full(3, -INF)) == 0
    assert value(np.ones(3), np.full(3, INF)) is None
    assert value(np.full(3, INF), np.full(3, INF)) is None


def test_a_loss_from_a_negative_median_is_a_share_of_its_size() -> None:
    """R2 from -0.2 to -0.3 is half of 0.2 less."""
    base, candidate = np.full(3, -0.2), np.full(3, -0.3)
    assert loss_of(base, candidate, "max") == pytest.approx(0.5)
    assert loss_of(base, candidate, "min") == pytest.approx(-0.5)
    assert ratio(base, candidate) is None
