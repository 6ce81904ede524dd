"""Learning rates at the start, at the peak and at the end."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from bench.tasks.schedules import constant, cosine, one_cycle

STEPS = 100


def learning_rates(schedule: Callable[..., Any]) -> list[float]:
    """The rate of each of 100 steps, for lr=0.1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
    scheduler = schedule(optimizer, lr=0.1, total_steps=STEPS)
    rates = []
    for _ in range(STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        assert optimizer.param_groups[0]["momentum"] == 0.9
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return rates


def test_constant() -> None:
    assert learning_rates(constant) == [0.1] * STEPS


def test_one_cycle() -> None:
    rates = learning_rates(partial(one_cycle, warmup_frac=0.3, div_factor=10, final_div_factor=100))
    assert rates[0] == pytest.approx(0.1 / 10)
    # The last step of the 30 that go up; counted from 0.
    assert rates.index(max(rates)) == 29
    assert max(rates) == pytest.approx(0.1)
    assert rates[-1] == pytest.approx(0.1 / 10 / 100)


def test_one_cycle_along_straight_lines() -> None:
    schedule = partial(
        one_cycle,
        warmup_frac=0.3,
        div_factor=10,
        final_div_factor=100,
        anneal_strategy="linear",
    )
    rates = learning_rates(schedule)
    # From step 0 at 0.01 to step 29 at 0.1, then to step 99 at 0.0001.
    assert rates[10] == pytest.approx(0.01 + 0.09 * 10 / 29)
    assert rates[64] == pytest.approx((0.1 + 0.0001) / 2)
    assert rates[-1] == pytest.approx(0.0001)


def test_cosine() -> None:
    rates = learning_rates(partial(cosine, final_lr_frac=0.2))
    assert rates[0] == pytest.approx(0.1)
    # Half way the cosine is 0: the middle between 0.1 and 0.02.
    assert rates[STEPS // 2] == pytest.approx(0.06)
    assert rates == sorted(rates, reverse=True)
    assert 0.02 < rates[-1] < 0.0201


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        (partial(one_cycle, warmup_frac=1.0), "schedule.warmup_frac=1.0: must be between"),
        (partial(one_cycle, warmup_frac=0.01), "leaves none to warm up in"),
        (partial(one_cycle, div_factor=0.0), "schedule.div_factor=0.0: must be positive"),
        (partial(cosine, final_lr_frac=1.5), "schedule.final_lr_frac=1.5: must be between"),
    ],
)
def test_values_out_of_range_are_refused(schedule: Callable[..., Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        learning_rates(schedule)
