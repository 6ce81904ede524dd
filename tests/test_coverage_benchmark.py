"""benchmarks/coverage.py counts correctly, with few repetitions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.coverage import accuracies, bold, restarts, shares, survival


@pytest.mark.parametrize(
    ("table", "first_shares"),
    [(restarts(4), 2), (survival(6), 1), (accuracies(4), 2), (bold(1), 1), (shares([2, 6]), 1)],
    ids=["restarts", "survival", "accuracies", "bold", "shares"],
)
def test_every_row_has_a_share_for_each_column(
    table: Iterator[list[str]], first_shares: int
) -> None:
    head, *rows = table
    assert rows
    for row in rows:
        assert len(row) == len(head)
        found = [text.partition(" ")[0] for text in row[first_shares:]]
        assert all(text == "-" or 0 <= float(text) <= 1 for text in found)


def test_wilsons_interval_covers_95_percent_on_average() -> None:
    """Brown, Cai and DasGupta (2001), figure 11: the average is close to the claim from n = 10 on;
    near rates of 0 and 1 it dips.
    """
    rows = {row[0]: row[1:] for row in shares([16, 1000])}
    assert float(rows["16"][1]) == pytest.approx(0.95, abs=0.01)
    assert float(rows["16"][0]) < 0.90
    assert float(rows["1000"][0]) > 0.94
