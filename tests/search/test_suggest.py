"""The orders in which a search tries configurations."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import pytest

from bench.core.errors import LibraryMissing
from bench.search.suggest import OptunaOrder, RandomOrder
from bench.search.trial import Order, Result

GRID: list[dict[str, Any]] = [
    {"model": model, "batch_size": size, "lr": lr}
    for model, size, lr in product(("mlp", "cnn"), (16, 64, 256), (0.3, 0.01))
]


def always(place: int) -> Result:
    return Result(spent=1.0, reached=True)


def drawn_by(
    order: Order, told: Callable[[int], Result] = always, known: Sequence[int] = ()
) -> list[int]:
    drawn = list(known)
    while (place := order.next(drawn)) is not None:
        drawn.append(place)
        order.tell(place, told(place), stopped=False)
    return drawn


def test_random_order_tries_each_once_and_is_the_same_for_a_seed() -> None:
    drawn = drawn_by(RandomOrder(20, seed=3))
    assert sorted(drawn) == list(range(20))
    assert drawn == drawn_by(RandomOrder(20, seed=3)) != drawn_by(RandomOrder(20, seed=4))
    known = drawn[:7]
    assert drawn_by(RandomOrder(20, seed=3), known=known) == drawn


@pytest.fixture(scope="module", autouse=True)
def _optuna() -> None:
    pytest.importorskip("optuna")


def cost_of(place: int) -> float:
    row = GRID[place]
    slower = 3.0 if row["model"] == "cnn" else 0.0
    return 1.0 + slower + float(row["batch_size"]) / 64 + float(row["lr"])


def some_fail(place: int) -> Result:
    reached = place % 3 > 0
    return Result(spent=cost_of(place), reached=reached, failed=place % 3 == 0 and place % 2 == 0)


def test_optuna_tries_each_once_and_is_the_same_for_a_seed() -> None:
    drawn = drawn_by(OptunaOrder(GRID, seed=1), some_fail)
    assert sorted(drawn) == list(range(len(GRID)))
    assert drawn == drawn_by(OptunaOrder(GRID, seed=1), some_fail)


def test_optuna_goes_on_from_what_was_measured_before() -> None:
    order = OptunaOrder(GRID, seed=1)
    for place in range(6):
        order.tell(place, some_fail(place), stopped=False)
    states = [trial.state.name for trial in order._study.trials]
    # 0 failed, 3 missed (pruned: it has no value), the others reached the target.
    assert states == ["FAIL", "COMPLETE", "COMPLETE", "PRUNED", "COMPLETE", "COMPLETE"]
    assert sorted(drawn_by(order, some_fail, known=range(6))) == list(range(len(GRID)))


def test_numbers_are_ordered_for_optuna_and_others_are_categories() -> None:
    order = OptunaOrder(GRID)
    kinds = {key: type(each).__name__ for key, each in order._distributions.items()}
    assert kinds == {
        "model": "CategoricalDistribution",
        "batch_size": "IntDistribution",
        "lr": "IntDistribution",
    }
    assert order._rows[0] == {"model": 0, "batch_size": 0, "lr": 1}  # 0.3 is the larger of two


def test_without_optuna_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(LibraryMissing, match=r"suggest=optuna: optuna is not .* 'search'"):
        OptunaOrder(GRID)
