from __future__ import annotations

import numpy as np
import pytest

from bench.core.stats.ranks import p_better
from bench.gate.rule.power import reaches, runs_to_settle, smallest_detectable_loss, too_few

INF = float("inf")


def test_a_level_is_reached_however_it_is_rounded() -> None:
    assert 0.1 + 0.2 > 0.3
    assert reaches(0.1 + 0.2, 0.3)
    assert not reaches(0.3001, 0.3)


def test_repeats_of_one_seed_reach_one_of_all_arrangements() -> None:
    """1/20 for 3 against 3, 1/70 for 4, 1/252 for 5, 1/924 for 6."""
    three = np.zeros(3, np.int64)
    assert too_few(three, level=0.05, min_runs=1) == 0
    assert too_few(three, level=0.049, min_runs=1) == 1
    assert too_few(three, level=0.004, min_runs=1) == 2
    assert too_few(three, level=0.002, min_runs=1) == 3
    assert too_few(three, level=0.05, min_runs=5) == 2


def test_a_new_seed_halves_the_smallest_p() -> None:
    """Five pairs of seeds: 1/32. For 0.05 / 4 it takes 1/128, two more."""
    pairs = np.arange(5)
    assert too_few(pairs, level=0.05, min_runs=5) == 0
    assert too_few(pairs, level=0.05 / 4, min_runs=5) == 2
    assert too_few(pairs, level=0.05 / 4, min_runs=9) == 4


def test_twice_the_score_takes_four_times_the_runs() -> None:
    """z = 1 at p = 0.1587, z = 2 at 0.02275: from 10 runs to 40."""
    assert runs_to_settle(10, p=0.158655, level=0.0227501) == 30
    assert runs_to_settle(10, p=0.0228, level=0.0227501) == 1


@pytest.mark.parametrize("seed", range(6))
def test_bisection_finds_what_trying_every_loss_finds(seed: int) -> None:
    """With ties, misses and seeds: p never grows with the loss."""
    rng = np.random.default_rng(seed)
    base, candidate = rng.choice([1.0, 1.1, 1.3, 2.0, INF], (2, 8), p=[0.3, 0.3, 0.2, 0.15, 0.05])
    strata = rng.integers(0, 2, 8)
    found = smallest_detectable_loss(
        base, candidate, strata, "min", threshold_frac=0.01, level=0.02
    )
    same = candidate * np.median(base) / np.median(candidate)
    losses = np.geomspace(0.01, 10, 400)
    p_values = [p_better(base, same * (1 + loss), "min", strata) for loss in losses]
    assert (np.diff(p_values) <= 1e-12).all()
    seen = losses[np.array(p_values) <= 0.02]
    assert found == (pytest.approx(seen[0]) if len(seen) else None)


def test_a_median_that_is_zero_or_missed_cannot_be_scaled_to() -> None:
    one, strata = np.ones(5), np.zeros(5, np.int64)
    for wrong in (np.zeros(5), np.full(5, INF)):
        for base, candidate in ((one, wrong), (wrong, one)):
            found = smallest_detectable_loss(
                base, candidate, strata, "min", threshold_frac=0.05, level=0.05
            )
            assert found is None


def test_a_loss_beyond_all_that_are_tried_is_not_seen() -> None:
    one, strata = np.ones(5), np.zeros(5, np.int64)
    assert smallest_detectable_loss(one, one, strata, "max", threshold_frac=1.0, level=0.05) is None
    assert (
        smallest_detectable_loss(one, one, strata, "max", threshold_frac=0.999, level=0.05) == 0.999
    )
