from __future__ import annotations

import numpy as np
import pytest

from bench.config.serve import PlacementConfig
from bench.serving.http.network import Delays


def delays(
    round_trip_ms: float = 0.0,
    jitter_ms: float = 0.0,
    bandwidth_mbit_per_s: float | None = None,
    seed: int = 0,
) -> Delays:
    placement = PlacementConfig(
        name="here",
        round_trip_ms=round_trip_ms,
        jitter_ms=jitter_ms,
        bandwidth_mbit_per_s=bandwidth_mbit_per_s,
    )
    return Delays(placement, seed=seed)


def draws(source: Delays, num_bytes: int = 0, n: int = 20_000) -> np.ndarray:
    return np.array([source.draw_ms(num_bytes) for _ in range(n)])


def test_whole_milliseconds_keep_the_mean() -> None:
    drawn = draws(delays(round_trip_ms=5.25))
    assert set(drawn) == {5, 6}
    # Standard error of the mean: sqrt(0.25 * 0.75 / 20000) = 0.003; four of them.
    assert drawn.mean() == pytest.approx(5.25, abs=0.013)


def test_jitter_is_the_standard_deviation_and_leaves_the_mean() -> None:
    drawn = draws(delays(round_trip_ms=40, jitter_ms=5))
    # The rounding adds a variance of at most 1/4 to 25; standard errors 0.036 and 0.026.
    assert drawn.mean() == pytest.approx(40, abs=0.15)
    assert drawn.std() == pytest.approx((25 + 1 / 6) ** 0.5, abs=0.13)
    assert drawn.min() > 0


def test_a_request_takes_its_time_on_the_line() -> None:
    # 125,000 bytes are a megabit: 100 ms at 10 Mbit/s.
    assert set(draws(delays(bandwidth_mbit_per_s=10), 125_000, n=100)) == {100}


def test_no_network_no_delay() -> None:
    assert set(draws(delays(), 10**6, n=100)) == {0}


def test_draws_repeat_with_the_seed_and_differ_between_streams() -> None:
    first = draws(delays(40, 5, seed=3), n=100)
    assert np.array_equal(first, draws(delays(40, 5, seed=3), n=100))
    assert not np.array_equal(first, draws(delays(40, 5, seed=4), n=100))
    assert not np.array_equal(first, draws(delays(40, 5, seed=3).spawn(1), n=100))


def test_jitter_needs_something_to_vary() -> None:
    with pytest.raises(ValueError, match=r"placement\.jitter_ms=2: .*round_trip_ms is 0"):
        delays(jitter_ms=2)
