"""How much the numbers of one revision differ from themselves, and what follows for the gate.

The floor of a metric answers what a check asks: how far do the medians of two groups of runs lie
apart when nothing has changed? Groups are drawn from the pooled runs of a session, many times; the
floor is the 95th percentile, of the noisiest session. A smaller loss is not one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.core.files import utc_now
from bench.core.metric import Metric
from bench.gate.metrics import METRICS, metric_named
from bench.gate.model import GateRun
from bench.gate.rule.effect import without_rounding
from bench.gate.sides.facts import difference, host_class
from bench.gate.sides.labels import labels
from bench.gate.sides.noise_file import (
    Measured,
    NoiseFile,
    Session,
    Values,
    read_noise,
    write_noise,
)
from bench.gate.sides.side import Configuration, Side, by_configuration, repeated, seed_words

GROUP_SIZE = 5  # as many as the fewest runs that the gate judges from
NUM_DRAWS = 4000
PERCENTILE = 0.95
# The median absolute deviation of a normal distribution is its standard deviation over this.
_MAD_TO_STD = 1.4826


class NothingToStore(ValueError):  # noqa: N818 -- says what there is not
    """Too few runs of one configuration are comparable, or count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseRow:
    """One metric of one configuration after a session.

    Attributes:
        num_runs: Of this session, both sides.
        spread_frac: Coefficient of variation in this session, from the median absolute deviation;
            of the noisiest seed.
        floor_frac: That the gate will use: of all sessions in the file.
        demoted: An exact metric that differs between runs of one seed.
    """

    configuration: str
    metric: str
    unit: str
    num_runs: int
    spread_frac: float
    floor_frac: float
    demoted: bool


@dataclass(frozen=True, slots=True)
class Floors:
    """Noise floors by kind of host, configuration and metric; 0 without a file."""

    noise: NoiseFile | None = None

    def knows(self, facts: Mapping[str, Any], config_hash: str) -> bool:
        """Whether the file has this configuration on this kind of host; true without a file."""
        return self.noise is None or self._find(facts, config_hash) is not None

    def floor(self, facts: Mapping[str, Any], config_hash: str, metric: str) -> float:
        """Least difference of medians that is not noise, as a share; 0 where it is not known."""
        found = self._find(facts, config_hash)
        values = [] if found is None else list(found.values(metric))
        return max((floor_of(each) for each in values), default=0.0)

    def demoted(self, facts: Mapping[str, Any], config_hash: str, metric: str) -> bool:
        """Whether it is exact elsewhere, and runs of one revision and seed differed in it here."""
        found = self._find(facts, config_hash)
        if found is None or metric_named(metric).kind != "exact":
            return False
        rounding_frac = metric_named(metric).rounding_frac
        return any(
            len(np.unique(without_rounding(np.asarray(each), rounding_frac))) > 1
            for each in found.values(metric)
        )

    def _find(self, facts: Mapping[str, Any], config_hash: str) -> Measured | None:
        return None if self.noise is None else self.noise.find(host_class(facts), config_hash)


def read_floors(path: Path) -> Floors:
    """The floors of a file.

    Raises:
        ValueError: It is not there, not a file of noise floors, cut, or of a newer format.
    """
    return Floors(read_noise(path))


def floor_of(values: Sequence[float]) -> float:
    """The 95th percentile of |median(a) / median(b) - 1| over two groups drawn from the values.

    Groups are disjoint, of five values or of half of them; draws are seeded.

    Args:
        values: Finite, of runs of one revision and seed, shape (n,).

    Returns:
        0 for fewer than two values; infinite where a median is 0 in more than 5% of the draws and
        the other is not.
    """
    size = min(GROUP_SIZE, len(values) // 2)
    if size == 0:
        return 0.0
    rng = np.random.default_rng(0)
    drawn = rng.permuted(np.tile(np.asarray(values, dtype=np.float64), (NUM_DRAWS, 1)), axis=1)
    above = np.median(drawn[:, :size], axis=1)
    below = np.median(drawn[:, size : 2 * size], axis=1)
    apart = np.full(NUM_DRAWS, np.inf)
    np.divide(np.abs(above - below), np.abs(below), out=apart, where=below != 0)
    apart[above == below] = 0.0
    return float(np.quantile(apart, PERCENTILE, method="higher"))


def spread_of(values: Sequence[float]) -> float:
    """Coefficient of variation of some values, robust: 1.4826 MAD / median.

    Source: Rousseeuw and Croux (1993), Alternatives to the median absolute deviation.
    """
    middle = float(np.median(values))
    deviation = float(np.median(np.abs(np.asarray(values) - middle)))
    if deviation == 0:
        return 0.0
    return _MAD_TO_STD * deviation / abs(middle) if middle else float("inf")


def add_noise(path: Path, first: Side, second: Side) -> list[NoiseRow]:
    """Add what a revision gave against itself to a file, which is made if it is not there.

    Runs that are incomparable or served invalidly, misses and modelled joules are left out.

    Args:
        path: Written atomically.
        first: Runs of the revision.
        second: Other runs of the same one.

    Returns:
        A row for each configuration and metric that both sides have.

    Raises:
        NothingToStore: The sides have no comparable runs of one configuration, or their runs share
            seed and repeat.
        ValueError: A run failed, or the sides are of different kinds of host; or the file is not
            one of noise floors.
    """
    for side in (first, second):
        if side.problems:
            raise ValueError(f"{side.name}: {side.problems[0].message}")
    noise = read_noise(path) if path.exists() else NoiseFile()
    names = labels([*first.runs, *second.runs])
    rows = []
    for key, runs in _common(first, second).items():
        host = _one_host([*runs[0], *runs[1]])
        measured = Measured(
            command=key[0],
            config_hash=key[1],
            configuration=names[key],
            sessions=_sessions(*runs, utc_now()),
        )
        noise.add(host, measured)
        rows += _rows(measured, Floors(noise), runs[0][0])
    write_noise(path, noise)
    return rows


def _common(first: Side, second: Side) -> dict[Configuration, tuple[list[GateRun], list[GateRun]]]:
    """The comparable runs of each configuration that both sides have.

    Raises:
        NothingToStore: There is none, or the runs of one share seed and repeat.
    """
    groups = [by_configuration(comparable_runs(side.runs)) for side in (first, second)]
    common = [key for key in groups[0] if key in groups[1]]
    if not common:
        raise NothingToStore(
            f"{first.name} and {second.name}: no comparable runs of one configuration on both "
            "sides; measure again, on an idle machine"
        )
    for side in (first, second):
        for key, runs in by_configuration(side.runs).items():
            if key in common and (because := repeated(runs)):
                raise NothingToStore(f"{side.name}: {because}")
    return {key: (groups[0][key], groups[1][key]) for key in common}


def comparable_runs(runs: Sequence[GateRun]) -> list[GateRun]:
    """Those that noise is told from."""
    return [run for run in runs if run.comparable is not False and not run.invalid]


def _one_host(runs: Sequence[GateRun]) -> dict[str, Any]:
    host = host_class(runs[0].facts)
    for run in runs:
        if (other := host_class(run.facts)) != host:
            raise ValueError(
                f"{runs[0].run_id} and {run.run_id} are of different kinds of host ({host} / "
                f"{other}); measure noise on one"
            )
    return host


def _sessions(first: Sequence[GateRun], second: Sequence[GateRun], utc: str) -> list[Session]:
    """One for each seed: what differs between seeds is no noise."""
    seeds = dict.fromkeys(seed_words(run) for run in (*first, *second))
    sessions = []
    for seed in seeds:
        sides = [[run for run in side if seed_words(run) == seed] for side in (first, second)]
        commits = [run.git_commit for side in sides for run in side]
        found: dict[str, Values] = {}
        for metric in METRICS:
            values = [_values(metric, side) for side in sides]
            if all(values) and _obtained_alike(metric, [*sides[0], *sides[1]]):
                found[metric.name] = Values(first=values[0], second=values[1])
        sessions.append(Session(utc=utc, commit=commits[0], seed=seed, metrics=found))
    return sessions


def _obtained_alike(metric: Metric, runs: Sequence[GateRun]) -> bool:
    """Whether joules are of the same components in all runs: what differs else is no noise."""
    facts = metric.joules.facts if metric.joules else ()
    metered = [run for run in runs if metric.name in run.values]
    return all(
        difference(name, [[run.facts.get(name) for run in metered], []]) is None for name in facts
    )


def _values(metric: Metric, runs: Sequence[GateRun]) -> list[float]:
    return [
        run.values[metric.name]
        for run in runs
        if metric.name in run.values and metric.name not in run.modelled
    ]


def _rows(measured: Measured, floors: Floors, run: GateRun) -> list[NoiseRow]:
    rows = []
    for metric in METRICS:
        values = list(measured.values(metric.name))
        if not values:
            continue
        where = run.facts, run.config_hash, metric.name
        rows.append(
            NoiseRow(
                configuration=measured.configuration,
                metric=metric.name,
                unit=metric.unit,
                num_runs=sum(map(len, values)),
                spread_frac=max(map(spread_of, values)),
                floor_frac=floors.floor(*where),
                demoted=floors.demoted(*where),
            )
        )
    return rows
