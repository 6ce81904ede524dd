"""Units that fit the numbers."""

from __future__ import annotations

import pytest

from bench.cli.terminal import in_ascii
from bench.core.scales import (
    BYTES,
    COUNT,
    ENERGY,
    PLAIN,
    RATE,
    TIME,
    Scale,
    common_unit,
    digits,
    quantity,
)
from bench.runs.table.medians import quality_text


@pytest.mark.parametrize(
    ("value", "scale", "text"),
    [
        (3.1e-5, TIME, "31 µs"),
        (0.0312, TIME, "31.2 ms"),
        (0.455, TIME, "0.455 s"),
        (119, TIME, "119 s"),
        (1200, TIME, "20 min"),
        (36000, TIME, "10 h"),
        (2e-9, TIME, "2 ns"),
        (0.0, TIME, "0 ns"),
        (3.57, ENERGY, "3.57 J"),
        (1.54e-4, ENERGY, "154 µJ"),
        (25_000, ENERGY, "25 kJ"),
        (38_549, BYTES, "38.5 kB"),
        (634e6, BYTES, "634 MB"),
        (3e9, BYTES, "3 GB"),
        (135_168, COUNT, "135k"),
        (200, COUNT, "200"),
        (3.7e6, RATE, "3.70 M/s"),
        (956.4, RATE, "956 /s"),
        (0.25, PLAIN, "0.250"),
        (None, TIME, "-"),
        (float("inf"), TIME, "inf"),
    ],
)
def test_a_quantity_has_the_unit_it_reads_best_in(
    value: float | None, scale: Scale, text: str
) -> None:
    assert quantity(value, scale) == text


def test_numbers_of_a_column_share_the_unit_of_their_median() -> None:
    values = [0.0004, 0.02, 0.9]
    unit = common_unit(values, TIME)
    assert unit is not None
    assert [quantity(value, TIME, unit) for value in values] == ["0.400", "20", "900"]


def test_numbers_too_far_apart_have_units_of_their_own() -> None:
    assert common_unit([1e-5, 1.0], TIME) is None
    assert common_unit([1.1e-4, 1.0], TIME) is not None
    assert common_unit([1e-9, 1.0], PLAIN) is not None  # there is no other


def test_unknown_and_infinite_values_do_not_decide_the_unit() -> None:
    unit = common_unit([None, float("inf"), 0.0, 0.002], TIME)
    assert unit is not None
    assert unit.name == "ms"
    assert common_unit([], TIME) is not None


def test_three_digits_and_all_of_a_whole_number() -> None:
    assert [digits(value) for value in (6.0, 6.001, 27.66, 999.4, 999.6, 16384.2, 0.0)] == [
        "6",
        "6.00",
        "27.7",
        "999",
        "1000",
        "16384",
        "0",
    ]


def test_a_quality_never_looks_like_a_threshold_that_it_missed() -> None:
    assert quality_text(0.9381, 0.95) == "0.9381"
    assert quality_text(0.949999, 0.95) == "0.949999"
    assert quality_text(0.95, 0.95) == "0.95"


def test_ascii_has_letters_for_the_signs() -> None:
    assert in_ascii("31 µs ±5%") == "31 us +-5%"
