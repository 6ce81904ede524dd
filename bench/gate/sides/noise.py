"""How much the numbers of one revision differ from themselves, stored by kind of host.

The floor of a metric answers what a check asks: how far apart do the medians of two groups of runs
lie when nothing has changed? Groups are drawn from the pooled runs of a session, many times; the
floor is the 95th percentile, of the noisiest session. The gate counts no smaller loss.

The file holds raw values; floors are derived from them when they are needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from bench.core.printable import printable
from bench.gate.metrics import lower_of, metric_named
from bench.gate.model import GateRun
from bench.gate.rule.effect import without_rounding
from bench.gate.sides.facts import host_class
from bench.gate.sides.validation import is_possible, read_text, validated

FORMAT = 1
KIND = "noise floors"
_REMEDY = "python -m bench.noise writes one"
GROUP_SIZE = 5  # as many as the fewest runs that the gate judges from
NUM_DRAWS = 4000
# The complement of the gate's default level.
PERCENTILE = 0.95
# The median absolute deviation of a normal distribution is its standard deviation over this.
_MAD_TO_STD = 1.4826


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """The values of one metric on both sides, whose runs are of one revision, without misses."""

    first: list[float]
    second: list[float]

    @property
    def pooled(self) -> list[float]:
        """Of both sides: the revision is the same."""
        return [*self.first, *self.second]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseSession:
    """One run of bench.noise: its runs of one seed, such as `seed 0`."""

    utc: str
    commit: str | None
    seed: str
    metrics: dict[str, Values]

    def __post_init__(self) -> None:
        """Refuse what no run can have: no floor could follow from it.

        Raises:
            ValueError: A value is too small, too large or not a number.
        """
        for name, values in self.metrics.items():
            for value in values.pooled:
                if not is_possible(value, lower_of(name)):
                    raise ValueError(f"{printable(name)}={value}: cannot be")


@dataclass(slots=True, kw_only=True)
class ConfigurationNoise:
    """All sessions of a configuration on a kind of host."""

    command: str
    config_hash: str
    configuration: str
    sessions: list[NoiseSession]

    def values(self, metric: str) -> list[list[float]]:
        """The values of a metric in each session that has it."""
        return [each.metrics[metric].pooled for each in self.sessions if metric in each.metrics]

    def floor_frac(self, metric: str) -> float:
        """Least difference of medians that is not noise; 0 where it was not measured."""
        # The noisiest session: a quiet night must not make the gate strict.
        return max(map(floor_of, self.values(metric)), default=0.0)

    def is_demoted(self, metric: str) -> bool:
        """Whether a metric is exact elsewhere, and differed here between runs of one seed."""
        if metric_named(metric).kind != "exact":
            return False
        rounding_frac = metric_named(metric).rounding_frac
        return any(
            len(np.unique(without_rounding(np.asarray(each), rounding_frac))) > 1
            for each in self.values(metric)
        )


@dataclass(slots=True, kw_only=True)
class HostNoise:
    """What was measured on a kind of host."""

    host: dict[str, Any]
    configurations: list[ConfigurationNoise]


@dataclass(slots=True, kw_only=True)
class NoiseFile:
    """All of the file."""

    kind: str = KIND
    format: int = FORMAT
    hosts: list[HostNoise] = field(default_factory=list)

    def find(self, run: GateRun) -> ConfigurationNoise | None:
        """What was measured of the configuration of a run on its kind of host."""
        host = self._host(host_class(run.facts))
        known = [] if host is None else host.configurations
        return next((each for each in known if each.config_hash == run.config_hash), None)

    def add(self, run: GateRun, measured: ConfigurationNoise) -> ConfigurationNoise:
        """Add the sessions of a configuration to those that are there, and return all.

        Args:
            run: One of the runs; its kind of host is that of all.
            measured: Of the configuration of the run.
        """
        if (known := self.find(run)) is not None:
            known.sessions.extend(measured.sessions)
            return known
        host = self._host(host_class(run.facts))
        if host is None:
            host = HostNoise(host=host_class(run.facts), configurations=[])
            self.hosts.append(host)
        host.configurations.append(measured)
        return measured

    def _host(self, kind: dict[str, Any]) -> HostNoise | None:
        return next((each for each in self.hosts if each.host == kind), None)


_FILE: TypeAdapter[NoiseFile] = TypeAdapter(NoiseFile)


def read_noise(path: Path) -> NoiseFile:
    """Read a file of noise floors.

    Raises:
        ValueError: It is not there, not a file of noise floors, cut, damaged, or of a newer format.
    """
    tree = read_text(path, kind=KIND, newest=FORMAT, remedy=_REMEDY)
    return validated(_FILE, tree, path, _REMEDY)


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
    # Seeded, so that the same file gives the same floor.
    rng = np.random.default_rng(0)
    # Each row is a shuffled copy; its first values and the next ones are two disjoint groups.
    drawn = rng.permuted(np.tile(np.asarray(values, dtype=np.float64), (NUM_DRAWS, 1)), axis=1)
    above = np.median(drawn[:, :size], axis=1)
    below = np.median(drawn[:, size : 2 * size], axis=1)
    # Where the median below is 0, any difference is infinitely large.
    apart = np.full(NUM_DRAWS, np.inf)
    np.divide(np.abs(above - below), np.abs(below), out=apart, where=below != 0)
    apart[above == below] = 0.0
    # Not interpolated: the floor is a difference that occurred.
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
