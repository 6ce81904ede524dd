"""Fractions that older records hold in float32 are neither a loss nor a gain.

19/20 is 0.949999988079071 in float32 and 0.95 in float64: they differ by 1.25e-8 of it, and a
float32 that was rounded a few times by up to 2^-21 = 4.8e-7.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.config.gate import JudgeConfig
from bench.core.target import FLOAT32_ROUNDING
from bench.gate.matching.compare import compare
from bench.gate.metrics import metric_named
from bench.gate.model import GateRow
from bench.gate.rule.effect import without_rounding
from bench.gate.rule.rule import judge
from bench.gate.run.noise import add_noise
from bench.gate.sides.noise import read_noise
from tests.gate.made import made_side
from tests.gate.made_samples import samples

OLD, NEW = float(np.float32(19) / np.float32(20)), 19 / 20
ANY_LOSS: dict[str, Any] = {"min_effect": {"accuracy": 0.0}}


def compared(base: list[float], candidate: list[float]) -> GateRow:
    sides = [made_side({"accuracy": values}) for values in (base, candidate)]
    (row,) = compare(sides[0], sides[1], JudgeConfig(**ANY_LOSS)).rows
    return row


def test_the_two_really_differ() -> None:
    assert OLD == 0.949999988079071
    assert OLD < NEW


@pytest.mark.parametrize(("base", "candidate"), [(OLD, NEW), (NEW, OLD)])
def test_a_fraction_in_float32_is_no_change(base: float, candidate: float) -> None:
    row = compared([base] * 3, [candidate] * 3)
    assert (row.verdict, row.kind, row.loss_frac) == ("no change", "exact", 0.0)
    # The same text as in the issue, cut after ten digits.
    row = compared([0.9499999881], [0.95])
    assert (row.verdict, row.kind, row.loss_frac) == ("no change", "exact", 0.0)


def test_old_and_new_records_on_one_side_are_the_same_number() -> None:
    row = compared([OLD, NEW, OLD, NEW], [NEW] * 4)
    assert (row.verdict, row.kind) == ("no change", "exact")


def test_one_image_of_ten_thousand_is_a_loss_still() -> None:
    row = compared([0.95], [0.9499])
    assert (row.verdict, row.kind) == ("regression", "exact")
    assert row.loss_frac == pytest.approx(0.0001 / 0.95)


def test_ranks_of_a_demoted_metric_do_not_see_rounding() -> None:
    """All float32 on one side, all float64 on the other: without care, the largest difference."""
    old, new = ([float(np.float32(n) / np.float32(360)) for n in HITS], [n / 360 for n in HITS])
    (row,) = judge([samples(new, old, ACCURACY)])
    assert (row.kind, row.verdict, row.loss_frac) == ("measured", "no change", 0.0)
    assert row.p is not None
    assert row.p > 0.5


HITS = [342, 343, 342, 344, 342, 343, 345, 342]
ACCURACY = metric_named("accuracy")


def test_a_count_is_never_rounded() -> None:
    sides = [made_side({"num_parameters": [number]}) for number in (1e8, 1e8 + 1)]
    (row,) = compare(sides[0], sides[1], JudgeConfig()).rows
    assert row.verdict == "regression"


def test_noise_does_not_demote_a_metric_for_its_rounding(tmp_path: Path) -> None:
    path = tmp_path / "noise.json"
    old, new = made_side({"accuracy": [OLD] * 4}), made_side({"accuracy": [NEW] * 4})
    (row,) = add_noise(path, old, new)
    assert not row.demoted
    run = old.runs[0]
    known = read_noise(path).find(run)
    assert known is not None
    assert not known.is_demoted("accuracy")


def test_values_are_joined_with_their_neighbours_only() -> None:
    values = np.array([NEW, OLD, 0.9, math.inf, NEW * (1 + 2 * FLOAT32_ROUNDING), 0.0, -math.inf])
    found = without_rounding(values, FLOAT32_ROUNDING)
    assert found[0] == found[1] == OLD
    assert found[2:].tolist() == values[2:].tolist()
    assert without_rounding(values, 0.0) is values
    assert without_rounding(np.array([math.inf]), FLOAT32_ROUNDING).tolist() == [math.inf]
