"""Runs that share a server, in simulation: `python -m benchmarks.gate_power servers`.

Each run of a check is of a server, and all runs of a server have a factor in common, as runs that
were forked from one process have its memory layout. Both its spread and that of the runs of one
server are log-normal, and independent for each of 12 metrics. Three ways to judge are compared:

- *servers*: bench.ab. The median of a server is one measurement, and the test exchanges servers.
- *runs*: the test exchanges runs as if each were from a server of its own.
- *runs of one server*: likewise, but each side has one server for all of its runs.

Columns: *false alarms* in percent of checks without a loss, with Wilson's 95% interval; losses of
10% and 20% *found*; the mean number of servers per side, without a loss and with each of these; and
the time that such checks would take with the given times of an import and a run, which is an
estimate and not measured.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.core.arrays import Floats
from bench.core.stats.intervals import Estimate, share
from benchmarks.gate_rules import LOOKS, Outcome, ours_looking

NUM_METRICS = 12
LOSSES_FRAC = (0.0, 0.1, 0.2)
RUNS_PER_SERVER = (1, 2, 4)
SEED = 0
_WIDTH = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way to make runs and to judge them.

    Attributes:
        exchanged: What the test exchanges, for the table.
        runs_per_server: Runs of a side that share a server.
        num_runs: Most runs per side.
        decide: Judges the runs, of shape (checks, runs, metrics).
        num_servers: How many servers of a side so many runs take.
    """

    exchanged: str
    runs_per_server: int
    num_runs: int
    decide: Callable[[Floats, Floats], Outcome]
    num_servers: Callable[[float], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """How a way does at one loss: percent of checks that find it, servers per side, seconds."""

    found: Estimate
    num_servers: float
    duration_s: float


def medians_of_servers(runs: Floats, runs_per_server: int) -> Floats:
    """The measurement of each server, of shape (checks, servers, metrics)."""
    checks, num, metrics = runs.shape
    blocks = runs.reshape(checks, num // runs_per_server, runs_per_server, metrics)
    medians: Floats = np.median(blocks, axis=2)
    return medians


def all_ways() -> Iterator[Way]:
    """The ways that are compared."""
    for each in RUNS_PER_SERVER:
        yield by_servers(each)
    for each in RUNS_PER_SERVER[1:]:
        yield by_runs("runs", each)
    yield by_runs("runs of one server", LOOKS[-1])


def by_servers(runs_per_server: int) -> Way:
    """As bench.ab judges: it looks after 6, 10, 14 and 16 servers per side."""

    def decide(base: Floats, candidate: Floats) -> Outcome:
        sides = (medians_of_servers(side, runs_per_server) for side in (base, candidate))
        return ours_looking(*sides)

    return Way(
        exchanged="servers",
        runs_per_server=runs_per_server,
        num_runs=LOOKS[-1] * runs_per_server,
        decide=decide,
        num_servers=lambda measurements: measurements,
    )


def by_runs(name: str, runs_per_server: int) -> Way:
    """As if each run were from a server of its own: after 6, 10, 14 and 16 runs per side."""
    return Way(
        exchanged=name,
        runs_per_server=runs_per_server,
        num_runs=LOOKS[-1],
        decide=ours_looking,
        num_servers=lambda num_runs: max(1.0, num_runs / runs_per_server),
    )


def drawn(
    rng: np.random.Generator, way: Way, num_checks: int, spread_frac: float, server_frac: float
) -> Floats:
    """Runs of one side, of shape (checks, runs, metrics), whose servers differ."""
    num_servers = -(-way.num_runs // way.runs_per_server)
    servers = rng.normal(0.0, server_frac, (num_checks, num_servers, NUM_METRICS))
    shared = np.repeat(servers, way.runs_per_server, axis=1)[:, : way.num_runs]
    own = rng.normal(0.0, spread_frac, shared.shape)
    runs: Floats = np.exp(shared + own)
    return runs


def cells(way: Way, chosen: argparse.Namespace, server_frac: float) -> list[Cell]:
    """A cell for each loss, on the same runs; the loss is in one metric."""
    rng = np.random.default_rng(SEED)
    base, candidate = (drawn(rng, way, chosen.checks, chosen.spread, server_frac) for _ in range(2))
    result = []
    for loss_frac in LOSSES_FRAC:
        worse = candidate.copy()
        worse[:, :, 0] *= 1 + loss_frac
        outcome = way.decide(base, worse)
        hits = outcome.flagged[:, 0] if loss_frac else outcome.flagged.any(axis=1)
        num_servers = way.num_servers(float(outcome.num_runs.mean()))
        per_server_s = chosen.import_s + 2 * way.runs_per_server * chosen.run_s
        result.append(
            Cell(
                found=share(int(hits.sum()), chosen.checks),
                num_servers=num_servers,
                duration_s=chosen.fixed_s + num_servers * per_server_s,
            )
        )
    return result


def add_servers(parser: argparse.ArgumentParser) -> None:
    """Define the command line of this part."""
    parser.add_argument("--checks", type=int, default=1000, help="checks per row, at least 1")
    parser.add_argument("--spread", type=float, default=0.03, help="of the runs of one server")
    parser.add_argument(
        "--server-spreads",
        type=float,
        nargs="+",
        default=[0.0, 0.01, 0.03, 0.1],
        help="of the servers",
    )
    parser.add_argument("--import-s", type=float, default=4.0, help="of two servers at once")
    parser.add_argument("--run-s", type=float, default=1.5, help="of a run from a server")
    parser.add_argument("--fixed-s", type=float, default=10.0, help="of a check without its runs")
    parser.set_defaults(run=simulate_servers)


def simulate_servers(chosen: argparse.Namespace) -> None:
    """Simulate, and print a table for each spread of the servers."""
    console = Console(width=_WIDTH)
    heads = "exchanged, runs per server, false alarms, 10% found, 20% found, servers, seconds"
    for server_frac in chosen.server_spreads:
        title = f"servers {server_frac:.0%}, runs of a server {chosen.spread:.0%}"
        table = Table(*heads.split(", "), title=title)
        for way in all_ways():
            row = cells(way, chosen, server_frac)
            table.add_row(
                way.exchanged,
                str(way.runs_per_server),
                *(percent(each.found) for each in row),
                "/".join(f"{each.num_servers:.1f}" for each in row),
                "/".join(f"{each.duration_s:.0f}" for each in row),
            )
        console.print(table)


def percent(estimate: Estimate) -> str:
    """A share and its interval, in percent."""
    value, low, high = (
        "" if each is None else f"{100 * each:.1f}"
        for each in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value} ({low}-{high})"
