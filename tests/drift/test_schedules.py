"""Schedules: the strength of a drift at each prediction, and when a change begins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.config.maintain import DriftConfig
from bench.drift.streams.schedules import Schedule, Strengths, resolve_schedule

NUM = 1000


def schedule_of(**keys: Any) -> Schedule:
    return resolve_schedule(DriftConfig(kind="label", strength=0.5, **keys), NUM)


def strengths(**keys: Any) -> Strengths:
    return schedule_of(**keys).strength(np.arange(NUM))


def test_sudden_changes_exactly_at_its_time() -> None:
    assert strengths(schedule="sudden", at=333).tolist() == [0] * 333 + [1] * 667


def test_gradual_is_a_sigmoid_with_this_slope() -> None:
    """1/(1 + exp(-4 (t - t0)/w)): 0.5 at t0; at t0 + w/2, 1/(1 + e^-2) = 0.881."""
    strength = strengths(schedule="gradual", at=500, width=200)
    assert strength[500] == 0.5
    assert strength[600] == pytest.approx(0.8808, abs=1e-4)
    assert strength[400] == pytest.approx(1 - 0.8808, abs=1e-4)


def test_incremental_rises_in_a_straight_line() -> None:
    strength = strengths(schedule="incremental", at=100, width=200)
    assert strength[[0, 100, 150, 200, 300, 999]].tolist() == [0, 0, 0.25, 0.5, 1, 1]


def test_seasonal_repeats_with_its_period() -> None:
    strength = strengths(schedule="seasonal", period=250)
    np.testing.assert_allclose(strength[:-250], strength[250:], atol=1e-12)
    assert strength[[0, 125, 250]] == pytest.approx([0, 1, 0], abs=1e-12)
    later = strengths(schedule="seasonal", at=100, period=250)
    assert (later[:101] == 0).all()
    assert later[225] == pytest.approx(1)


def test_a_burst_comes_and_goes() -> None:
    strength = strengths(schedule="burst", at=100, width=50)
    assert strength.nonzero()[0].tolist() == list(range(100, 150))


@pytest.mark.parametrize(
    ("keys", "changes"),
    [
        ({"schedule": "sudden", "at": 333}, [333]),
        # Its tangent at 500, of slope 1/200, is 0 at 400.
        ({"schedule": "gradual", "at": 500, "width": 200}, [400]),
        ({"schedule": "gradual", "at": 10, "width": 200}, [0]),
        ({"schedule": "incremental", "at": 100, "width": 50}, [100]),
        ({"schedule": "seasonal", "period": 400}, [0, 200, 400, 600, 800]),
        ({"schedule": "seasonal", "at": 300, "period": 500}, [300, 550, 800]),
        ({"schedule": "burst", "at": 100, "width": 50}, [100, 150]),
        ({"schedule": "burst", "at": 900, "width": 100}, [900]),
    ],
)
def test_changes_are_when_the_distribution_begins_to_change(
    keys: dict[str, Any], changes: list[int]
) -> None:
    assert schedule_of(**keys).changes(NUM) == changes


def test_open_times_follow_the_length_of_the_stream() -> None:
    assert schedule_of(schedule="sudden").at == 500
    assert schedule_of(schedule="burst").width == 100
    seasonal = schedule_of(schedule="seasonal")
    assert (seasonal.at, seasonal.period) == (0, 500)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"at": NUM}, "drift.at=1000: the stream ends after 1000 predictions"),
        ({"width": 5}, "drift.width=5: drift.schedule=sudden ignores it"),
        ({"schedule": "burst", "period": 5}, "drift.period=5: .* choose drift.schedule=seasonal"),
    ],
)
def test_times_without_an_effect_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        schedule_of(**keys)
