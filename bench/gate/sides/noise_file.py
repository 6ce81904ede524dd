"""The file of noise floors: what a revision gave against itself, by kind of host.

Raw values are stored, in sessions; floors are derived from them when they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from bench.gate.sides.sound import is_possible
from bench.gate.sides.textfile import read_text, validated, write_text

FORMAT = 1
KIND = "noise floors"
_REMEDY = "python -m bench.noise writes one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """Of one metric, on both sides, whose runs are of one revision; misses are left out."""

    first: list[float]
    second: list[float]

    def __post_init__(self) -> None:
        """Refuse what no run can have: the floor that follows would be none.

        Raises:
            ValueError: A value is negative, too large or not a number.
        """
        for value in self.pooled:
            if not is_possible(value):
                raise ValueError(f"{value}: cannot be")

    @property
    def pooled(self) -> list[float]:
        """Of both sides: the revision is the same."""
        return [*self.first, *self.second]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One A/A check: runs of one seed, such as `seed 0`."""

    utc: str
    commit: str | None
    seed: str
    metrics: dict[str, Values]


@dataclass(slots=True, kw_only=True)
class Measured:
    """All sessions of a configuration on a kind of host."""

    command: str
    config_hash: str
    configuration: str
    sessions: list[Session]

    def values(self, metric: str) -> Iterator[list[float]]:
        """Of the metric, pooled, by session."""
        for session in self.sessions:
            if metric in session.metrics:
                yield session.metrics[metric].pooled


@dataclass(slots=True, kw_only=True)
class HostNoise:
    """What was measured on a kind of host."""

    host: dict[str, Any]
    configurations: list[Measured]


@dataclass(slots=True, kw_only=True)
class NoiseFile:
    """All of the file."""

    kind: str = KIND
    format: int = FORMAT
    hosts: list[HostNoise] = field(default_factory=list)

    def find(self, host: dict[str, Any], config_hash: str) -> Measured | None:
        """What was measured of a configuration on a kind of host."""
        for each in self.hosts:
            if each.host == host:
                return next((m for m in each.configurations if m.config_hash == config_hash), None)
        return None

    def add(self, host: dict[str, Any], measured: Measured) -> None:
        """Add the sessions of a configuration to those that are there."""
        known = self.find(host, measured.config_hash)
        if known is not None:
            known.sessions.extend(measured.sessions)
            return
        same = next((each for each in self.hosts if each.host == host), None)
        if same is None:
            self.hosts.append(HostNoise(host=host, configurations=[measured]))
        else:
            same.configurations.append(measured)


_FILE: TypeAdapter[NoiseFile] = TypeAdapter(NoiseFile)


def read_noise(path: Path) -> NoiseFile:
    """The file.

    Raises:
        ValueError: It is not there, not a file of noise floors, cut, damaged, or of a newer format.
    """
    tree = read_text(path, kind=KIND, newest=FORMAT, remedy=_REMEDY)
    return validated(_FILE, tree, path, _REMEDY)


def write_noise(path: Path, noise: NoiseFile) -> None:
    """Replace the file.

    Raises:
        ValueError: It cannot be written there.
    """
    write_text(path, asdict(noise))
