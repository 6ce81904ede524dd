"""When to look, and at which level: levels of all looks add up to alpha."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.core.stats.looks import level_at, look_sizes


def test_looks_grow_by_the_factor_and_end_at_the_last() -> None:
    assert look_sizes(8, 40) == [8, 13, 21, 40]  # 8 * 1.6 = 12.8, 20.8; 33.6 is too close to 40
    assert look_sizes(5, 5) == [5]
    assert look_sizes(6, 5) == []


@given(st.integers(1, 30), st.integers(1, 200), st.sampled_from([1.3, 1.6, 2.0]))
def test_levels_of_all_looks_add_up_to_alpha(first: int, most: int, growth: float) -> None:
    sizes = look_sizes(first, most, growth)
    assert sizes == sorted(set(sizes))
    if sizes:
        levels = [
            level_at(size, previous=previous, max_runs=most, alpha=0.05)
            for previous, size in zip([0, *sizes[:-1]], sizes, strict=True)
        ]
        assert sum(levels) == pytest.approx(0.05)
