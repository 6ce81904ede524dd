from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest

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
    assert ratio(np.zeros(3), np.zeros(3)).value == 1
    assert ratio(np.ones(3), np.full(3, -INF)).value == 0
    assert ratio(np.ones(3), np.full(3, INF)).value is None
    assert ratio(np.full(3, INF), np.full(3, INF)).value is None
