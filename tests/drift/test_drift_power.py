"""What benchmarks/drift_power.py simulates is what its page says."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import drift_power
from benchmarks.drift_power import CHANGE, CHANGES, Always, Row


@pytest.mark.parametrize(
    ("change", "error"),
    [("none", 0.05), ("concept", 0.15), ("boundary", 0.14), ("celsius", 0.5), ("harmless", 0.03)],
)
def test_a_change_moves_the_error_as_the_page_says(change: str, error: float) -> None:
    streams = [drift_power.samples(np.random.default_rng(seed), 5_000, change) for seed in range(8)]
    errors = np.array([stream.outcomes.errors for stream in streams])
    for part, expected in ((errors[:, :CHANGE], 0.05), (errors[:, CHANGE:], error)):
        standard_error = np.sqrt(expected * (1 - expected) / part.size)
        # The errors on the page are rounded to whole percents.
        assert abs(part.mean() - expected) <= 0.005 + 4 * standard_error


def test_always_has_only_false_alarms_and_a_detector_of_errors_finds_concept_drift() -> None:
    rows = [Row(detector=drift_power.made("error_eprocess")), Row(detector=Always())]
    for change in ("none", "concept"):
        drift_power.watch(rows, change, 1_000, seed=0)
    eprocess, always = rows
    assert always.alarms["none"] == always.alarms["concept"] == [9]  # the first look
    assert always.delays("concept") == []
    assert eprocess.alarms["none"] == [None]
    assert 0 < eprocess.delays("concept")[0] < 500
    assert eprocess.looked_at == 5_000
    assert set(eprocess.alarms) == set(CHANGES)
