"""How figures name the bounds of their medians."""

from __future__ import annotations

import pandas as pd
import pytest

from analysis.figures.marks import bars_words, bounds_words, medians


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([6, 8], "95% interval of the median"),
        ([2, 5], "range of the runs"),
        ([5, 6], "95% interval of the median, range of the runs below 6"),
    ],
)
def test_an_interval_is_called_one_from_six_runs_on(numbers: list[int], words: str) -> None:
    assert bounds_words(numbers) == words
    assert bars_words([1, *numbers]) == f"; bars: {words}"


def test_single_runs_have_no_bars() -> None:
    assert bars_words([1, 1]) == ""


def test_the_bounds_of_a_cell_are_those_of_its_median() -> None:
    """Two runs: their range. Nine: the second and the eighth, as tables of the binomial have it."""
    runs = pd.DataFrame({"cell": ["few"] * 2 + ["many"] * 9, "bound": False, "comparable": True})
    runs["value"] = [1.0, 3.0, *range(9)]
    found = medians(runs, ["cell"], "value").set_index("cell")
    assert found[["low", "value", "high"]].to_numpy().tolist() == [[1, 2, 3], [1, 4, 7]]
    runs.loc[0, "bound"] = True
    missed = medians(runs, ["cell"], "value").set_index("cell")
    assert missed["high"].isna().to_dict() == {"few": True, "many": False}
