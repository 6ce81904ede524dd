"""What the reported intervals cover, and how often a bold best value is a false alarm.

`python -m benchmarks.coverage [--repetitions N]`

    Every interval in tables, figures and the page claims 95%. This draws runs from distributions
    whose true value is known, misses and failures included, and counts the share of intervals that
    hold that value. With fewer than six runs a median has a range, which claims nothing; its
    coverage is listed to show why. *Bold* is the share of reports that mark a best value although
    all configurations are equal.

    It prints the tables behind docs/metrics.md, "Analysis". Everything is seeded. A share of 2000
    repetitions has a standard error of 0.5 points at 95%; one of the 500 reports of *bold* has 1.0.
    It takes four minutes of one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy.stats import binom, bootstrap

from analysis.stats.accuracy import differs
from analysis.stats.best import Contender, leader_of, p_best
from analysis.stats.expected_cost import expected_cost
from analysis.stats.outcomes import Outcomes
from analysis.stats.survival import kaplan_meier
from bench.core.arrays import Floats
from bench.core.stats.intervals import Estimate, median, median_of_ratios, ratio_of_medians, share
from bench.core.stats.ranks import ALPHA, holm, p_better
from benchmarks.markdown import print_table

Draw = Callable[[np.random.Generator, int], Floats]

SEED = 0
NUM_COLUMNS = 25  # columns of a report in which a best value is tested for
_SPREAD = 0.1


def _tailed(rng: np.random.Generator, num: int) -> Floats:
    return np.exp(_SPREAD * rng.standard_t(2, size=num))


def _bimodal(rng: np.random.Generator, num: int) -> Floats:
    """A processor that is in its fast state 60% of the time; the median lies in that state."""
    middle = 1 + 0.05 * rng.normal(size=num)
    return np.where(rng.random(num) < 0.4, 1.6 * middle, middle)


# All values are positive. The true median is estimated from many draws (_true_median).
DRAWS: dict[str, Draw] = {
    "normal": lambda rng, n: np.abs(1 + _SPREAD * rng.normal(size=n)),
    "lognormal": lambda rng, n: rng.lognormal(0.0, 0.5, size=n),
    "exponential": lambda rng, n: rng.exponential(size=n),
    "t, 2 df": _tailed,
    "bimodal": _bimodal,
}
# Hit rate, then the costs of hits and of other runs. Hits are lognormal with mean 1 and that sigma,
# misses cost the budget, failures cost anything below it.
RESTARTS = {
    "misses cost 3": (0.1, 3.0, False),
    "varied hits, misses cost 1.2": (0.5, 1.2, False),
    "failures of 0 to 3": (0.5, 3.0, True),
}
RATES = (0.95, 0.9, 0.7, 0.5, 0.3)


def _holds(estimate: Estimate, truth: float) -> bool:
    low = -np.inf if estimate.low is None else estimate.low
    return low <= truth <= (np.inf if estimate.high is None else estimate.high)


def _true_median(draw: Draw) -> float:
    return float(np.median(draw(np.random.default_rng(SEED + 1), 2_000_000)))


def _share(held: Sequence[bool]) -> str:
    return f"{np.mean(held):.3f}" if held else "-"


def medians(repetitions: int) -> Iterator[list[str]]:
    """Coverage of a median's range (below six runs) and of its interval (from six on)."""
    yield ["runs", *DRAWS]
    truths = {name: _true_median(draw) for name, draw in DRAWS.items()}
    for num in (2, 3, 4, 5, 6, 7, 8, 10, 12, 16):
        rng = np.random.default_rng(SEED)
        yield [
            f"{num}{' (range)' if num < 6 else ''}",
            *(
                _share([_holds(median(draw(rng, num)), truths[name]) for _ in range(repetitions)])
                for name, draw in DRAWS.items()
            ),
        ]


def ratios(repetitions: int) -> Iterator[list[str]]:
    """Coverage for two groups of one distribution, and for one group against a constant."""
    yield ["runs of each", *DRAWS, "one varies: normal", "one varies: bimodal"]
    truths = {name: _true_median(draw) for name, draw in DRAWS.items()}
    for num in (6, 7, 8, 10, 12, 16):
        rng = np.random.default_rng(SEED)
        alike = [
            [
                _holds(ratio_of_medians(draw(rng, num), draw(rng, num)), 1)
                for _ in range(repetitions)
            ]
            for draw in DRAWS.values()
        ]
        fixed = [
            [
                _holds(ratio_of_medians(DRAWS[name](rng, num), np.full(num, truths[name])), 1)
                for _ in range(repetitions)
            ]
            for name in ("normal", "bimodal")
        ]
        yield [str(num), *(_share(held) for held in (*alike, *fixed))]


def pairs(repetitions: int) -> Iterator[list[str]]:
    """Coverage for pairs that share the effect of their seed (lognormal, sigma 1)."""
    yield ["pairs", *DRAWS, "percentile bootstrap of the medians, normal"]
    for num in (6, 8, 10, 12, 16, 20):
        rng = np.random.default_rng(SEED)
        row = []
        for draw in DRAWS.values():
            held = []
            for _ in range(repetitions):
                seeds = rng.lognormal(0.0, 1.0, size=num)
                held.append(
                    _holds(median_of_ratios(draw(rng, num) * seeds, draw(rng, num) * seeds), 1)
                )
            row.append(_share(held))
        yield [str(num), *row, _share([_bootstrapped(rng, num) for _ in range(repetitions // 8)])]


def _bootstrapped(rng: np.random.Generator, num: int) -> bool:
    """Whether the interval of bench.serving.compressed covers; it resamples whole pairs."""
    both = (DRAWS["normal"](rng, num), DRAWS["normal"](rng, num))

    def ratio(x: Floats, y: Floats, axis: int = -1) -> Floats:
        return np.asarray(np.median(x, axis=axis) / np.median(y, axis=axis))

    result = bootstrap(both, ratio, paired=True, method="percentile", n_resamples=999, rng=rng)
    return bool(result.confidence_interval.low <= 1 <= result.confidence_interval.high)


def restarts(repetitions: int) -> Iterator[list[str]]:
    """Coverage of the expected cost, where it has an interval; in parentheses how often it has."""
    yield ["runs", "costs", *(f"hit rate {rate:g}" for rate in RATES)]
    for num in (6, 8, 12, 16):
        for name, (sigma, budget, fails) in RESTARTS.items():
            rng = np.random.default_rng(SEED)
            cells = []
            for rate in RATES:
                truth = 1 + (1 - rate) / rate * budget * (0.5 if fails else 1.0)
                estimates = [
                    expected_cost(_outcomes(rng, num, rate, sigma, budget, fails))
                    for _ in range(repetitions)
                ]
                shown = [each for each in estimates if each.low is not None]
                held = _share([_holds(each, truth) for each in shown])
                cells.append(f"{held} ({len(shown) / repetitions:.0%})")
            yield [str(num), name, *cells]


def _outcomes(
    rng: np.random.Generator, num: int, rate: float, sigma: float, budget: float, fails: bool
) -> Outcomes:
    hit = rng.random(num) < rate
    others = rng.uniform(0, budget, size=num) if fails else np.full(num, budget)
    cost = np.where(hit, rng.lognormal(-(sigma**2) / 2, sigma, size=num), others)
    return Outcomes(cost=cost, hit=hit, failed=~hit & fails)


def shares(numbers: Sequence[int] = (2, 3, 4, 6, 8, 12, 16, 360, 10_000)) -> Iterator[list[str]]:
    """Coverage of Wilson's interval of a hit rate: exact, over rates from 1% to 99%."""
    yield ["runs", "least", "mean"]
    for num in numbers:
        hits = np.arange(num + 1)
        bounds = [share(int(k), num) for k in hits]
        low, high = (np.array([getattr(each, end) for each in bounds]) for end in ("low", "high"))
        rates = np.linspace(0.01, 0.99, 99)
        covers = [
            float(binom.pmf(hits, num, rate)[(low <= rate) & (rate <= high)].sum())
            for rate in rates
        ]
        yield [str(num), f"{min(covers):.3f}", f"{np.mean(covers):.3f}"]


def survival(repetitions: int) -> Iterator[list[str]]:
    """Coverage of Kaplan and Meier's bounds, where there are any; runs are censored at 1.5."""
    levels = (0.9, 0.7, 0.5, 0.3)
    yield ["runs", *(f"hit by then: {1 - level:.0%}" for level in levels)]
    for num in (6, 8, 10, 12, 16):
        rng = np.random.default_rng(SEED)
        held: dict[float, list[bool]] = {level: [] for level in levels}
        for _ in range(repetitions):
            cost = rng.exponential(size=num)
            hit = cost <= 1.5
            if not hit.any():
                continue
            curve = kaplan_meier(Outcomes(cost=np.minimum(cost, 1.5), hit=hit, failed=hit & False))
            for level in levels:
                place = int(np.searchsorted(curve.time, -np.log(level), side="right")) - 1
                if place >= 0 and not np.isnan(curve.low[place]):
                    held[level].append(bool(curve.low[place] <= level <= curve.high[place]))
        yield [str(num), *(_share(each) for each in held.values())]


def accuracies(repetitions: int) -> Iterator[list[str]]:
    """How often equal models are called different: on two splits, and on one shared split."""
    yield ["test samples", "accuracy", "of their own", "the same, half of the errors in common"]
    for num in (360, 10_000):
        for accuracy in (0.8, 0.95, 0.99):
            rng = np.random.default_rng(SEED)
            rows = rng.binomial(num, accuracy, size=(repetitions, 2)) / num
            own = [differs(first, second, num, num) for first, second in rows]
            common = rng.binomial(num, (1 - accuracy) / 2, size=(repetitions, 1))
            alone = rng.binomial(num, (1 - accuracy) / 2, size=(repetitions, 2))
            same = [differs(a, b, num, num) for a, b in 1 - (common + alone) / num]
            yield [f"{num}", f"{accuracy:g}", _share(own), _share(same)]


def bold(repetitions: int) -> Iterator[list[str]]:
    """Share of reports on equal configurations, with 25 columns, that mark any value as best."""
    counts = (2, 3, 4, 6)
    yield ["runs of each", *(f"{k} configurations" for k in counts), "as before, 2 configurations"]
    for num in (5, 6, 7, 8, 10, 12):
        rng = np.random.default_rng(SEED)
        row = [_share([_is_bold(rng, num, k) for _ in range(repetitions)]) for k in counts]
        yield [str(num), *row, _share([_was_bold(rng, num) for _ in range(repetitions)])]


def _is_bold(rng: np.random.Generator, num: int, num_configurations: int) -> bool:
    p_values: list[float | None] = []
    for _ in range(NUM_COLUMNS):
        values = rng.normal(size=(num_configurations, num))
        contenders = [Contender(values=each, comparable=True) for each in values]
        leader = leader_of(contenders, "min")
        assert leader is not None
        p_values.append(p_best(contenders, leader, "min"))
    return any(p is not None and p < ALPHA for p in holm(p_values))


def _was_bold(rng: np.random.Generator, num: int) -> bool:
    """Whether testing the leader against the second, column by column, marks any value."""
    for _ in range(NUM_COLUMNS):
        first, second = sorted(rng.normal(size=(2, num)), key=lambda own: float(np.median(own)))
        if p_better(first, second, "min") < ALPHA:
            return True
    return False


def _print(title: str, rows: Iterator[list[str]]) -> None:
    print(f"\n**{title}**\n")
    print_table(rows)


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repetitions", type=int, default=2000)
    num = parser.parse_args().repetitions
    _print("Median", medians(num))
    _print("Ratio of medians", ratios(num))
    _print("Median ratio of pairs", pairs(num))
    _print("Expected cost with restarts", restarts(num // 2))
    _print("Hit rate", shares())
    _print("Hit probability over time", survival(num // 2))
    _print("Two equal accuracies that are said to differ", accuracies(num))
    _print("Reports that mark a best value where there is none", bold(num // 4))


if __name__ == "__main__":
    main()
