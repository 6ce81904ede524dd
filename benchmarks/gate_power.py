"""False alarms and power of the gate, compared with other rules, in simulation and for real.

`python -m benchmarks.gate_power simulate [--noise RESULTS] [--checks N]`

    A check compares up to 12 metrics of two sides. The columns, in percent with Wilson's 95%
    interval:

    - *false alarms*: checks without a loss in which any metric is called worse.
    - *detected*: checks with a loss planted in one metric (a different one from check to check) in
      which that metric is called worse.
    - *undecided*: checks without a loss that ask for more runs (exit code 3), which fails a build
      too.
    - *runs*: mean number of runs per side that a check took, without a loss and with each loss.

    All rules see the same n runs of each side. A loss as large as a rule's least effect (5%;
    thresholds and asv: 10%) is found in about half of the checks: in the others, noise makes it
    look smaller than it is.

    Noise: (i) the runs of a results folder, each drawn whole, so that its metrics stay correlated;
    (ii) log-normal with 5% and with 10%, independently for each metric; (iii) heavier tails: 5%,
    and with probability 10% a neighbour slows the run in all metrics, by 1 + Exponential(0.3); and
    Student's t with 3 degrees of freedom and 5% in the logarithm.

`python -m benchmarks.gate_power servers [--server-spreads FRAC...] [--checks N]`

    Runs that share a server, and what the test exchanges: benchmarks/gate_servers.py.

`python -m benchmarks.gate_power real [--checks N] [--null-checks N] [--out FILE.jsonl]`
`python -m benchmarks.gate_power real --read results/published/gate_real.jsonl`

    Runs bench.ab itself on commits with planted slowdowns: benchmarks/gate_real.py.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.core.arrays import Floats
from bench.core.stats.intervals import Estimate, share
from bench.gate.metrics import GATE_METRICS
from bench.gate.model import GateRun
from bench.gate.sides.read import read_side
from bench.gate.sides.side import by_configuration
from benchmarks.gate_real import add_real
from benchmarks.gate_rules import Rule, all_rules
from benchmarks.gate_servers import add_servers

Draw = Callable[[np.random.Generator, int, int], Floats]

NUM_METRICS = 12
LOSSES_FRAC = (0.0, 0.05, 0.1, 0.2, 0.5)
SEED = 0
_FEWEST_RUNS = 10
_WIDTH = 184


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """The distribution from which the runs of a check are drawn.

    Attributes:
        draw: Takes a generator and the numbers of checks and runs; returns shape
            (checks, runs, metrics).
    """

    name: str
    num_metrics: int
    draw: Draw


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One rule in one cell of the table.

    Attributes:
        found: Share of false alarms if loss_frac is 0, else of detected losses.
        undecided: Share of checks that ask for more runs.
        mean_runs: Runs per side.
    """

    rule: str
    num_runs: int
    loss_frac: float
    found: Estimate
    undecided: Estimate
    mean_runs: float


def log_normal(spread_frac: float) -> Noise:
    """Log-normal noise, independent for each metric."""

    def draw(rng: np.random.Generator, checks: int, runs: int) -> Floats:
        return np.exp(rng.normal(0.0, spread_frac, (checks, runs, NUM_METRICS)))

    return Noise(name=f"log-normal, {spread_frac:.0%}", num_metrics=NUM_METRICS, draw=draw)


def neighbour(spread_frac: float = 0.05, slowed_frac: float = 0.1, mean: float = 0.3) -> Noise:
    """Log-normal noise; some runs are slowed in all metrics by 1 + Exponential(mean)."""

    def draw(rng: np.random.Generator, checks: int, runs: int) -> Floats:
        calm = np.exp(rng.normal(0.0, spread_frac, (checks, runs, NUM_METRICS)))
        slowed = rng.random((checks, runs, 1)) < slowed_frac
        busy: Floats = calm * (1 + slowed * rng.exponential(mean, (checks, runs, 1)))
        return busy

    name = f"{spread_frac:.0%}, a busy neighbour in {slowed_frac:.0%} of runs"
    return Noise(name=name, num_metrics=NUM_METRICS, draw=draw)


def student(spread_frac: float = 0.05, freedom: int = 3) -> Noise:
    """Noise whose logarithm is Student's t with that standard deviation, for each metric."""
    scale = spread_frac / math.sqrt(freedom / (freedom - 2))

    def draw(rng: np.random.Generator, checks: int, runs: int) -> Floats:
        return np.exp(scale * rng.standard_t(freedom, (checks, runs, NUM_METRICS)))

    name = f"Student t with {freedom} degrees of freedom, {spread_frac:.0%}"
    return Noise(name=name, num_metrics=NUM_METRICS, draw=draw)


def measured(path: Path) -> Noise:
    """Noise of a results folder: its runs, drawn whole with replacement.

    Raises:
        ValueError: One configuration has too few comparable runs, or no metric is in all runs.
    """
    runs = [run for run in read_side(path).runs if run.comparable is not False]
    groups = by_configuration(runs)
    if len(groups) != 1 or len(runs) < _FEWEST_RUNS:
        raise ValueError(
            f"--noise {path}: {len(runs)} comparable runs of {len(groups)} configurations; give a "
            f"folder with at least {_FEWEST_RUNS} of one: "
            "python -m bench.train -m 'repeat=range(0,24)'"
        )
    names, values = residuals(runs)

    def draw(rng: np.random.Generator, checks: int, num: int) -> Floats:
        drawn: Floats = values[rng.integers(0, len(values), (checks, num))]
        return drawn

    name = f"as measured in {path}: {len(runs)} runs, {len(names)} metrics ({', '.join(names)})"
    return Noise(name=name, num_metrics=len(names), draw=draw)


def residuals(runs: Sequence[GateRun]) -> tuple[list[str], Floats]:
    """Values over their median, for at most 12 measured metrics that all runs have.

    A rate is inverted, so that smaller is better throughout.

    Returns:
        Names of the metrics, and shape (runs, metrics).

    Raises:
        ValueError: No metric is in all of them.
    """
    metrics = [
        metric
        for metric in GATE_METRICS
        if metric.kind == "measured"
        and all(run.values.get(metric.name, 0) > 0 for run in runs)
        and not any(metric.name in run.modelled for run in runs)
    ][:NUM_METRICS]
    if not metrics:
        raise ValueError("no measured metric is in all of the runs")
    values = np.array([[run.values[metric.name] for metric in metrics] for run in runs])
    relative = values / np.median(values, axis=0)
    smaller_is_better = [metric.better == "min" for metric in metrics]
    return [metric.name for metric in metrics], np.where(smaller_is_better, relative, 1 / relative)


def cells(noise: Noise, rules: Sequence[Rule], num_checks: int, seed: int = SEED) -> Iterator[Cell]:
    """Try each installed rule with each number of runs and each loss, on the same runs."""
    rng = np.random.default_rng(seed)
    most = max(num for rule in rules for num in rule.num_runs)
    base, candidate = noise.draw(rng, num_checks, most), noise.draw(rng, num_checks, most)
    place = (np.arange(num_checks) % noise.num_metrics)[:, None, None]
    for loss_frac in LOSSES_FRAC:
        worse = candidate.copy()
        planted = np.take_along_axis(candidate, place, axis=2) * (1 + loss_frac)
        np.put_along_axis(worse, place, planted, axis=2)
        for rule in rules:
            if rule.decide is None:
                continue
            # If metrics are judged independently, only the planted one needs to be judged.
            alone = loss_frac > 0 and not rule.joint
            sides = [
                np.take_along_axis(side, place, 2) if alone else side for side in (base, worse)
            ]
            for num in rule.num_runs:
                outcome = rule.decide(*(side[:, :num] for side in sides))
                hits = outcome.flagged
                if loss_frac and not alone:
                    hits = np.take_along_axis(hits, place[:, 0], axis=1)
                yield Cell(
                    rule=rule.name,
                    num_runs=num,
                    loss_frac=loss_frac,
                    found=share(int(hits.any(axis=1).sum()), num_checks),
                    undecided=share(int(outcome.undecided.sum()), num_checks),
                    mean_runs=float(outcome.num_runs.mean()),
                )


def table(noise: Noise, rules: Sequence[Rule], cells: Sequence[Cell]) -> Table:
    """A row for each rule and number of runs, a column for each loss."""
    losses = [f"{loss_frac:.0%} found" for loss_frac in LOSSES_FRAC if loss_frac]
    heads = ("rule", "n", "false alarms", *losses, "undecided", "runs")
    result = Table(*heads, title=f"percent of checks; noise: {noise.name}")
    for rule in rules:
        for num in rule.num_runs:
            row = [one for one in cells if (one.rule, one.num_runs) == (rule.name, num)]
            result.add_row(rule.name, str(num), *(_texts(row, rule) if row else ["not installed"]))
    return result


def _texts(row: Sequence[Cell], rule: Rule) -> list[str]:
    varying = any(one.mean_runs != one.num_runs for one in row)
    return [
        *(percent(one.found) for one in row),
        percent(row[0].undecided) if rule.joint else "",
        "/".join(f"{one.mean_runs:.1f}" for one in row) if varying else "",
    ]


def percent(estimate: Estimate) -> str:
    """A share and its interval, in percent."""
    value, low, high = (
        f"{100 * each:.1f}"
        for each in (estimate.value, estimate.low, estimate.high)
        if each is not None
    )
    return f"{value} ({low}-{high})"


def simulate(chosen: argparse.Namespace) -> None:
    """Simulate, and print a table for each noise.

    Raises:
        ValueError: The folder of runs cannot be used.
    """
    console = Console(width=_WIDTH)
    noises = [log_normal(0.05), log_normal(0.1), neighbour(), student()]
    if chosen.noise is not None:
        noises.insert(0, measured(chosen.noise))
    rules = all_rules()
    for noise in noises:
        start_s = time.perf_counter()
        simulated = list(cells(noise, rules, chosen.checks))
        console.print(table(noise, rules, simulated))
        taken = f"{time.perf_counter() - start_s:.0f} s"
        console.print(f"{chosen.checks} checks of {noise.num_metrics} metrics per cell, {taken}")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parts = parser.add_subparsers(required=True)
    simulated = parts.add_parser("simulate", help="rules on random runs")
    simulated.add_argument("--noise", type=Path, help="a results folder: runs as measured")
    simulated.add_argument("--checks", type=int, default=1000, help="checks per cell, at least 1")
    simulated.set_defaults(run=simulate)
    add_servers(parts.add_parser("servers", help="runs that share a server, in simulation"))
    add_real(parts.add_parser("real", help="bench.ab on planted slowdowns"))
    chosen = parser.parse_args()
    if chosen.checks < 1:
        parser.error(f"--checks {chosen.checks}: must be at least 1")
    return chosen


def main() -> None:
    """Run the chosen part."""
    chosen = arguments()
    try:
        chosen.run(chosen)
    except ValueError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
