from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, rankdata

from bench.core.arrays import Floats, Ints
from bench.core.stats.ranks import exchange_classes, holm, p_better, smallest_p

INF = float("inf")


def enumerated(first: Floats, second: Floats, strata: Ints | None = None) -> float:
    """By definition: the share of all arrangements within strata with a rank sum as small."""
    ranks = rankdata(np.concatenate([first, second]))
    groups = np.zeros(len(ranks)) if strata is None else np.tile(strata, 2)
    choices = [
        combinations(ranks[groups == each], int((groups[: len(first)] == each).sum()))
        for each in np.unique(groups)
    ]
    sums = [sum(map(sum, chosen)) for chosen in product(*choices)]
    return float(np.mean(np.array(sums) <= ranks[: len(first)].sum() + 1e-9))


@pytest.mark.parametrize(
    ("num", "expected"), [(2, 1 / 6), (3, 1 / 20), (4, 1 / 70), (5, 1 / 252), (8, 1 / 12870)]
)
def test_the_smallest_p_is_one_of_all_arrangements(num: int, expected: float) -> None:
    """If all of one group are better, only one of (2n choose n) arrangements is as extreme."""
    first, second = np.arange(1.0, num + 1), np.arange(10.0, num + 10)
    assert p_better(first, second, "min") == pytest.approx(expected)
    assert p_better(second, first, "max") == pytest.approx(expected)
    assert p_better(second, first, "min") == pytest.approx(1.0)


def test_three_runs_against_three_can_never_show_it_at_five_percent() -> None:
    assert not p_better(np.array([1.0, 2, 3]), np.array([7.0, 8, 9]), "min") < 0.05


def test_misses_are_ties_at_the_worst_rank() -> None:
    """By hand: all arrangements of the 8 mid-ranks, counted by their sum in the first group."""
    first, second = np.array([1.0, 2, 3, INF]), np.array([4.0, INF, INF, INF])
    ranks = [1, 2, 3, 4, 6.5, 6.5, 6.5, 6.5]
    observed = 1 + 2 + 3 + 6.5
    sums = [sum(each) for each in combinations(ranks, 4)]
    expected = np.mean([each <= observed for each in sums])
    assert p_better(first, second, "min") == pytest.approx(expected)
    assert p_better(first, np.full(4, INF), "min") < 0.08


def test_all_equal_is_no_evidence() -> None:
    assert p_better(np.ones(5), np.ones(5), "min") == pytest.approx(1.0)
    assert np.isnan(p_better(np.ones(0), np.ones(5), "min"))
    with pytest.raises(ValueError, match="NaN is not a value"):
        p_better(np.array([1.0, np.nan]), np.ones(5), "min")


@pytest.mark.parametrize(("num_first", "num_second"), [(1, 7), (6, 6), (5, 12), (40, 30)])
def test_without_ties_it_is_scipys_exact_test(num_first: int, num_second: int) -> None:
    rng = np.random.default_rng(num_first)
    for _ in range(5):
        first, second = rng.normal(size=num_first), rng.normal(0.2, size=num_second)
        theirs = mannwhitneyu(first, second, alternative="less", method="exact").pvalue
        assert p_better(first, second, "min") == pytest.approx(theirs, rel=1e-9)
        theirs = mannwhitneyu(first, second, alternative="greater", method="exact").pvalue
        assert p_better(first, second, "max") == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_with_ties_and_misses_it_is_the_share_of_all_arrangements(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first = rng.choice([1.0, 2, 3, INF], int(rng.integers(1, 7)))
    second = rng.choice([2.0, 3, 4, INF], int(rng.integers(1, 7)))
    expected = enumerated(first, second)
    assert p_better(first, second, "min") == pytest.approx(expected)
    assert p_better(-first, -second, "max") == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(8))
def test_with_strata_only_arrangements_within_them_count(seed: int) -> None:
    """Of three strata, uneven ones; ties and misses among the values."""
    rng = np.random.default_rng(seed)
    first = rng.choice([1.0, 2, 3, 3.5, INF], 6)
    second = rng.choice([2.0, 3, 4, 5, INF], 6)
    strata = rng.integers(0, 3, 6)
    expected = enumerated(first, second, strata)
    assert p_better(first, second, "min", strata) == pytest.approx(expected)


def test_pairs_are_strata_of_two() -> None:
    """All of n pairs the same way is one of 2^n arrangements; all but the closest one, two."""
    pairs = np.arange(6)
    base = np.array([10.0, 20, 30, 40, 50, 60])
    assert p_better(base, base + 1, "min", pairs) == pytest.approx(2**-6)
    # Pairs of ranks (1, 4) (2, 5) (3, 6) and (8, 7): the sum is 14, and 13 at best.
    first, second = np.array([1.0, 2, 3, 8]), np.array([4.0, 5, 6, 7])
    assert p_better(first, second, "min", pairs[:4]) == pytest.approx(2 / 16)


def enumerated_servers(first: Floats, second: Floats, servers: Ints) -> float:
    """By definition: the share of all ways to choose as many servers with a rank sum as small.

    All servers have as many runs of each stratum.
    """
    ranks = rankdata(np.concatenate([first, second]))
    units = np.concatenate([servers, servers + servers.max() + 1])
    sums = [ranks[units == each].sum() for each in np.unique(units)]
    half = len(sums) // 2
    of_choices = [sum(chosen) for chosen in combinations(sums, half)]
    return float(np.mean(np.array(of_choices) <= sum(sums[:half]) + 1e-9))


@pytest.mark.parametrize("seed", range(8))
def test_all_runs_of_a_server_are_exchanged_together(seed: int) -> None:
    """Four servers of three runs on each side, one run of each of three seeds; ties and misses."""
    rng = np.random.default_rng(seed)
    first, second = rng.choice([1.0, 2, 2.5, 3, INF], (2, 12))
    servers, strata = np.repeat(np.arange(4), 3), np.tile(np.arange(3), 4)
    expected = enumerated_servers(first, second, servers)
    found = p_better(first, second, "min", strata, servers)
    assert found == pytest.approx(expected)
    assert p_better(-first, -second, "max", strata, servers) == pytest.approx(expected)


def test_as_many_runs_as_one_likes_are_no_evidence_without_servers() -> None:
    """Two servers a side can be chosen in 6 ways, however many runs they make."""
    servers = np.repeat(np.arange(2), 10)
    first = np.arange(20.0)
    assert p_better(first, first + 100, "min") < 1e-9
    assert p_better(first, first + 100, "min", None, servers) == pytest.approx(1 / 6)
    assert p_better(first, first + 100, "min", None, np.zeros(20, np.int64)) == pytest.approx(1 / 2)


def test_a_server_of_its_own_for_each_run_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 7))
    strata = np.array([0, 0, 0, 1, 1, 1, 1])
    alone = p_better(first, second, "min", strata, np.arange(7))
    assert alone == pytest.approx(p_better(first, second, "min", strata))


def test_servers_are_exchanged_only_with_those_that_made_the_same_runs() -> None:
    """The second server lost a run, and the third the runs of seed 1: three servers, three classes.

    Then each is exchanged with its counterpart on the other side only: 2^-3.
    """
    servers, strata = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 0, 1, 0])
    assert exchange_classes(strata, servers).tolist() == [1, 2, 0]
    base = np.arange(6.0)
    assert p_better(base, base + 10, "min", strata, servers) == pytest.approx(1 / 8)


@pytest.mark.parametrize("values", [range(6), [1, 1, 2, 2, 2, INF], [1, 1, 1, 1, 1, 2]])
@pytest.mark.parametrize("groups", [[0] * 6, [0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 2, 2]])
def test_under_no_difference_p_is_small_no_more_often_than_it_says(
    values: list[float], groups: list[int]
) -> None:
    """Over all arrangements of the values within strata, which are then equally likely."""
    pooled, strata = np.array(values, dtype=float), np.array(groups)
    halves = [np.flatnonzero(strata == each) for each in np.unique(strata)]
    # Half of each stratum is on the first side.
    choices = product(*(combinations(each, len(each) // 2) for each in halves))
    found = []
    for chosen in choices:
        is_first = np.isin(np.arange(6), np.concatenate(chosen))
        found.append(p_better(pooled[is_first], pooled[~is_first], "min", strata[is_first]))
    for p in found:
        assert np.mean(np.array(found) <= p + 1e-12) <= p + 1e-9


def test_the_smallest_p_that_can_be_reached() -> None:
    """5 against 5: 1 / (10 choose 5); two strata of 3 against 3: 1 / 20^2."""
    halves = np.repeat([0, 1], 3)
    assert smallest_p(5, 5) == 1 / 252
    assert smallest_p(1, 3) == 1 / 4
    assert smallest_p(3, 3) ** 2 == pytest.approx(1 / 400)
    assert smallest_p(0, 3) == 1
    first, second = np.array([1.0, 2, 3, 10, 11, 12]), np.array([4.0, 5, 6, 13, 14, 15])
    assert p_better(first, second, "min", halves) == pytest.approx(1 / 400)


def test_above_two_hundred_runs_the_normal_approximation_goes_on_where_the_exact_one_ends() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=150), rng.normal(0.2, size=150)
    theirs = mannwhitneyu(first, second, alternative="less", method="asymptotic").pvalue
    assert p_better(first, second, "min") == pytest.approx(theirs, rel=1e-9)
    # 75 strata of two pairs each: 4000 arrangements drawn within them.
    strata = np.arange(150) // 2
    ranks, groups = rankdata(np.concatenate([first, second])), np.tile(strata, 2)
    cells = np.array([ranks[groups == each] for each in range(75)])
    drawn = rng.permuted(np.repeat(cells[None], 4000, axis=0), axis=2)[:, :, :2].sum(axis=(1, 2))
    expected = np.mean(drawn <= ranks[:150].sum())
    assert p_better(first, second, "min", strata) == pytest.approx(expected, abs=0.02)
    assert p_better(np.ones(150), np.ones(150), "min") == 1.0


def test_forty_against_forty_with_ties_is_exact() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 20, 40).astype(float), rng.integers(3, 23, 40).astype(float)
    p_value = p_better(first, second, "min")
    drawn = np.concatenate([first, second])
    ranks = rankdata(drawn)
    draws = rng.permuted(np.repeat(ranks[None], 20_000, axis=0), axis=1)[:, :40].sum(axis=1)
    # Three standard errors of 20000 draws.
    margin = 3 * np.sqrt(p_value * (1 - p_value) / 20_000)
    assert abs(p_value - np.mean(draws <= ranks[:40].sum())) <= margin


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        # The best of four, one of four arrangements; tied with one of them, two.
        ([1.0], [2.0, 3.0, 4.0], 1 / 4),
        ([1.0], [1.0, 3.0, 4.0], 2 / 4),
        ([2.0, 3.0, 4.0], [1.0], 1.0),
        ([1.0, 2.0], [2.0], 2 / 3),
        ([5.0], [5.0], 1.0),
    ],
)
def test_a_single_run_is_compared_exactly_ties_included(
    first: list[float], second: list[float], p: float
) -> None:
    assert p_better(np.array(first), np.array(second), "min") == pytest.approx(p)
    # Turned round, the direction is too.
    assert p_better(-np.array(first), -np.array(second), "max") == pytest.approx(p)


def test_holm_multiplies_by_how_many_are_left_and_never_decreases() -> None:
    """Of 0.01, 0.04, 0.03: 3 x 0.01, then 2 x 0.03, then 1 x 0.04, which is raised to the 0.06."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([None, 0.5, None, 0.9]) == [None, 1.0, None, 1.0]
    assert holm([]) == []
