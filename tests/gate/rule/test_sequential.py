from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bench.core.metric import Metric
from bench.core.stats.intervals import Estimate
from bench.core.stats.looks import level_at
from bench.gate.model import GateRow
from bench.gate.rule.rule import judge
from bench.gate.rule.sequential import is_open
from tests.gate.made_samples import RATE, TIME, samples


def row(low: float | None, high: float | None, metric: Metric = TIME, **fields: Any) -> GateRow:
    """A row without a difference whose ratio has this interval, of six runs."""
    defaults: dict[str, Any] = {
        "kind": "measured",
        "configuration": "",
        "command": "train",
        "config_hash": "abc",
        "num_base": 6,
        "num_candidate": 6,
        "base": 1.0,
        "candidate": 1.0,
        "loss_frac": 0.0,
        "threshold_frac": metric.least_effect_frac,
        "p": 0.5,
        "p_holm": 1.0,
        "verdict": "no change",
    }
    ratio = Estimate(value=1.0, low=low, high=high, num=6)
    return GateRow(metric=metric, ratio=ratio, **{**defaults, **fields})


def test_the_levels_of_looks_at_6_10_and_16_add_up_to_alpha() -> None:
    """0.05 times 6/16, 4/16 and 6/16."""
    looks = [(6, 0), (10, 6), (16, 10)]
    levels = [level_at(num, previous=last, max_runs=16, alpha=0.05) for num, last in looks]
    assert levels == pytest.approx([0.01875, 0.0125, 0.01875])
    assert sum(levels) == pytest.approx(0.05)
    assert level_at(16, previous=0, max_runs=16, alpha=0.05) == 0.05


@pytest.mark.parametrize(("num_runs", "previous"), [(6, 6), (6, 8), (18, 6), (6, -1), (0, 0)])
def test_looks_out_of_order_are_refused(num_runs: int, previous: int) -> None:
    with pytest.raises(ValueError, match=f"a look at {num_runs} runs after one at {previous}"):
        level_at(num_runs, previous=previous, max_runs=16, alpha=0.05)


def test_a_regression_closes_whatever_else_is_open() -> None:
    open_row = row(0.9, 1.2)
    assert is_open([open_row])
    assert not is_open([open_row, row(1.1, 1.3, verdict="regression")])
    assert not is_open([open_row, row(None, None, kind="exact", verdict="regression")])


@pytest.mark.parametrize(
    ("low", "high", "metric", "expected"),
    [
        (0.98, 1.04, TIME, False),
        (0.98, 1.06, TIME, True),
        (0.98, 1.05, TIME, True),  # a loss of the least effect counts
        (0.98, None, TIME, True),
        (0.96, 1.50, RATE, False),
        (0.94, 1.50, RATE, True),
        (None, 1.50, RATE, True),
    ],
)
def test_it_is_open_until_a_loss_that_counts_is_excluded(
    low: float | None, high: float | None, metric: Metric, expected: bool
) -> None:
    assert is_open([row(0.99, 1.01), row(low, high, metric)]) is expected


def test_only_measured_rows_that_are_judged_keep_it_open() -> None:
    assert is_open([row(0.99, 1.01, verdict="underpowered")])
    assert not is_open([row(0.9, 1.5, kind="exact")])
    assert not is_open([row(0.9, 1.5, kind="modelled", verdict="not judged")])
    assert not is_open([row(None, None, verdict="not judged", note="all missed")])
    assert not is_open([row(0.7, 0.8, verdict="improvement")])
    assert is_open([row(0.9, 1.1, threshold_frac=0.1)])
    assert not is_open([row(0.9, 1.1, threshold_frac=0.2)])  # a noise floor
    assert not is_open([])


def test_the_range_of_a_few_runs_excludes_nothing() -> None:
    """Below six runs there is no interval: what lies outside of the range may still be true."""
    narrow = row(0.99, 1.01)
    assert not is_open([narrow])
    assert narrow.ratio is not None
    assert is_open([replace(narrow, ratio=replace(narrow.ratio, kind="range"))])
    few = judge([samples([1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0])], min_runs=1)
    assert few[0].ratio is not None
    assert few[0].ratio.kind == "range"
    assert is_open(few)


def alarm(values: npt.NDArray[np.float64]) -> bool:
    """Whether (metrics, 2, 16) values raise an alarm, looked at after 6, 10 and 16 runs."""
    any_loss, previous = replace(TIME, least_effect_frac=0.0), 0
    for num in (6, 10, 16):
        found = [samples(base[:num], candidate[:num], any_loss) for base, candidate in values]
        rows = judge(found, alpha=level_at(num, previous=previous, max_runs=16, alpha=0.05))
        if not is_open(rows):
            return any(each.verdict == "regression" for each in rows)
        previous = num
    return False


def test_false_alarms_over_all_looks_stay_below_alpha() -> None:
    """Two like sides, two metrics with outliers: at most alpha and three standard errors."""
    rng, num = np.random.default_rng(11), 100
    values = np.exp(0.1 * rng.standard_t(2, (num, 2, 2, 16)))
    alarms = sum(alarm(each) for each in values)
    assert alarms / num <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / num)


def test_a_large_loss_is_found_at_the_first_look() -> None:
    rng = np.random.default_rng(12)
    values = np.exp(0.02 * rng.standard_normal((2, 2, 16)))
    values[0, 1] *= 1.3
    assert alarm(values)
    values[0, 1, 6:] = 0.1  # nobody looks here any more
    assert alarm(values)
