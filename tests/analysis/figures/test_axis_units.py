from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from analysis.figures.axes import log_axis, plain_axis
from analysis.figures.axis_units import fit_units, in_unit, short_quantity
from bench.core.scales import COUNT, TIME


def shown(
    low: float, high: float, label: str, *, is_log: bool, values: list[float] | None = None
) -> tuple[list[str], str]:
    """The ticks and the label of an axis with these limits."""
    axes = Figure().subplots()
    axes.set_xlim(low, high)
    axes.plot([low, high], [0, 1])
    (log_axis(axes, "x", values) if is_log else plain_axis(axes, "x"))
    axes.set_xlim(low, high)
    axes.set_xlabel(label)
    fit_units([axes])
    ticks = np.asarray(axes.get_xticks())
    texts = axes.xaxis.get_major_formatter().format_ticks(list(ticks))
    inside = (ticks >= low) & (ticks <= high)
    return list(np.array(texts)[inside]), axes.get_xlabel()


@pytest.mark.parametrize(
    ("limits", "is_log", "label", "ticks", "words"),
    [
        ((2e-5, 2e-4), True, "time (s)", ["20", "50", "100", "200"], "time (µs)"),
        ((0.2, 3.0), True, "latency (ms)", ["200", "500", "1000", "2000"], "latency (µs)"),
        (
            (0.0, 3.5e-3),
            False,
            "energy (J, modelled)",
            ["0", "1", "2", "3"],
            "energy (mJ, modelled)",
        ),
        ((0.0, 0.35), False, "time (s)", ["0.0", "0.1", "0.2", "0.3"], "time (s)"),
        (
            (0.0, 7.5e-7),
            False,
            "cost\n(USD: power)",
            ["0", "200", "400", "600"],
            "cost\n(nUSD: power)",
        ),
        # One unit would make numbers of seven digits: each tick has its own.
        ((1e-6, 1.0), True, "price (USD)", ["1 µUSD", "100 µUSD", "10 mUSD", "1 USD"], "price"),
        ((1e-6, 10.0), True, "e (J, by label)", ["1 µJ", "100 µJ", "10 mJ", "1 J"], "e (by label)"),
        # Round in hours: 7200 s are 2 h.
        ((0.0, 4e4), False, "time (s)", ["0", "2", "4", "6", "8", "10"], "time (h)"),
        # Never 1e5 beside 50000, nor 9e-4 beside 0.001.
        ((1e4, 1.1e5), True, "samples", ["10k", "20k", "50k", "100k"], "samples"),
        (
            (1e3, 6e4),
            True,
            "samples",
            ["1000", "2000", "5000", "10000", "20000", "50000"],
            "samples",
        ),
        ((1.0, 2e6), True, "n", ["1", "10", "100", "1k", "10k", "100k", "1M"], "n"),
        ((8e-4, 2e-3), False, "lr", ["0.0008", "0.0010", "0.0012", "0.0014"], "lr"),
        ((1e-4, 0.1), True, "lr", ["1e-4", "1e-3", "1e-2", "1e-1"], "lr"),
        ((0.935, 0.975), False, "accuracy (fraction)", ["0.94", "0.95", "0.96", "0.97"], None),
    ],
)
def test_ticks_are_in_a_unit_that_fits(
    limits: tuple[float, float], is_log: bool, label: str, ticks: list[str], words: str | None
) -> None:
    texts, found = shown(*limits, label, is_log=is_log)
    assert texts[: len(ticks)] == ticks
    assert found == (words or label)


def test_batch_sizes_are_in_full_at_powers_of_two() -> None:
    sizes = [2.0**n for n in range(14, 19)]
    texts, _ = shown(1e4, 3e5, "batch size (samples)", is_log=True, values=sizes)
    assert texts == ["16384", "32768", "65536", "131072", "262144"]


def test_panels_of_one_quantity_have_one_unit() -> None:
    left, right = Figure().subplots(1, 2)
    left.set_xlim(1e-5, 2e-5)
    right.set_xlim(0.5, 1.0)
    for axes in (left, right):
        axes.set_xlabel("latency (s)")
    fit_units([left, right])
    assert left.get_xlabel() == right.get_xlabel()


def test_axes_that_share_their_ticks_share_the_unit() -> None:
    left, right = Figure().subplots(1, 2, sharey=True)
    left.plot([0, 1], [1e-3, 5e-3])
    left.set_ylabel("time (s)")
    fit_units([left, right])
    for axes in (left, right):
        assert axes.yaxis.get_major_formatter().format_ticks([1e-3, 2e-3]) == ["1", "2"]
    assert left.get_ylabel() == "time (ms)"


def test_numbers_in_a_figure_get_the_unit_of_their_axis() -> None:
    assert in_unit([0.002, 0.05], "mean energy (J)") == (1e-3, "mean energy (mJ)")
    assert in_unit([3.0], "median time (ms)") == (1.0, "median time (ms)")
    assert in_unit([np.nan], "time (s)") == (1.0, "time (s)")
    assert short_quantity(0.3, TIME) == "300 ms"
    assert short_quantity(1000.0, TIME) == "1000 s"  # not 16.7 min
    assert short_quantity(25_000, COUNT) == "25k"
