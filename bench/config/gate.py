"""The configuration of bench.compare, bench.ab and bench.noise: every key, its type and range.

bench/gate/settings.py checks the names of metrics and facts, and the files of noise floors.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt, Le, Lt

from bench.core.checks import (
    EXPAND_PATH,
    MISSING,
    Folder,
    KeyGroup,
    PositiveAmount,
    Selection,
    Texts,
    matches_pattern,
    not_blank,
    require_writable,
)

OUTPUTS = (
    "markdown",
    "json",
    "junit",
    "bencher",
    "smaller_is_better",
    "bigger_is_better",
    "openmetrics",
)
RUNS_PER_ROUND = 2  # runs of each side: base, head, head, base
_ROUNDS_PER_LOOK = 2
_MAX_RUNS = 1000

_Effect = Annotated[float, Ge(0)]
_Runs = Annotated[int, Ge(1), Le(_MAX_RUNS)]
_RunsPerServer = Annotated[int, Ge(0), Le(_MAX_RUNS)]
_Revision = Annotated[str, not_blank("must name a revision, for example origin/main or HEAD~1")]
_Side = Annotated[str, not_blank("must name a results folder or a baseline file"), EXPAND_PATH]
_Output = Annotated[str, not_blank("must name a file, or be null"), EXPAND_PATH] | None
_Program = Annotated[str, not_blank("must not be empty; leave it out, or give null")] | None
_Module = Annotated[
    str,
    matches_pattern(
        r"[^\W\d]\w*(\.[^\W\d]\w*)*$",
        "must be a module that `python -m` can run, for example bench.train",
    ),
]


@dataclass(kw_only=True)
class JudgeConfig(KeyGroup):
    """Keys of bench.compare and bench.ab: what counts as a regression, and what to overlook.

    Attributes:
        alpha: The chance of any false alarm in one check.
        min_runs: A measured metric needs at least this number of runs per side.
        metrics: Names of the metrics to compare; None compares every metric of the runs.
        min_effect: By name of the metric, the smallest loss that counts, instead of its default.
        force: Facts that may differ: exact names (`host.name`) or groups (`host`). `health` keeps
            runs that are not comparable and servings that are not valid. `config` matches
            configurations that differ only in keys which one side does not have.
        allow_missing: Whether the check may pass although something is missing on one side.
        noise: The file of noise floors, or None.
        runs_per_server: Runs with this number of consecutive repeats, from 0 on, were forked from
            one server, and so were all runs of one repeat. None if each run counts as from a server
            of its own.
    """

    alpha: Annotated[float, Gt(0), Lt(0.5)] = 0.05
    min_runs: _Runs = 5
    metrics: Selection = None
    min_effect: dict[str, _Effect] = field(default_factory=dict)
    force: Texts = field(default_factory=list)
    allow_missing: bool = False
    noise: Annotated[str, EXPAND_PATH] | None = None
    runs_per_server: _Runs | None = None


@dataclass(kw_only=True)
class OutputConfig(KeyGroup):
    """Keys of bench.compare and bench.ab: report files, in addition to the terminal."""

    markdown: _Output = None
    json: _Output = None
    junit: _Output = None
    bencher: _Output = None
    smaller_is_better: _Output = None
    bigger_is_better: _Output = None
    openmetrics: _Output = None

    def __post_init__(self) -> None:
        """Check that the outputs are different files and can be written.

        Raises:
            ValueError: An output is a folder, is named twice, or cannot be written; the message
                names the key.
        """
        seen: dict[str, str] = {}
        for key, path in self.output_files().items():
            if os.path.isdir(path):
                raise ValueError(f"{key}={path}: is a folder; name a file")
            require_writable(key, path)
            other = seen.setdefault(os.path.realpath(path), key)
            if other != key:
                raise ValueError(f"{key}={path}: {other}= writes this file; name another one")

    def output_files(self) -> dict[str, Path]:
        """Files to write, by key."""
        paths = {key: getattr(self, key) for key in OUTPUTS}
        return {key: Path(path) for key, path in paths.items() if path is not None}


@dataclass(kw_only=True)
class CompareConfig(JudgeConfig, OutputConfig):
    """The keys of bench.compare.

    Attributes:
        history: The folder that every check and every accepted baseline is added to.
        verify: Whether to refuse sides whose records do not follow from their raw data.
    """

    baseline: _Side = MISSING
    candidate: _Side = MISSING
    accept: bool = False
    verify: bool = False
    history: Annotated[Folder, EXPAND_PATH] | None = None

    required_keys: ClassVar = dict.fromkeys(
        ("baseline", "candidate"),
        ": a results folder or a baseline file each, "
        "as in baseline=perf/baseline.json candidate=results",
    )

    def __post_init__(self) -> None:
        """Check that no output overwrites a side, and that the candidate can be accepted.

        Raises:
            ValueError: An output is one of the sides, or accept=true cannot store the candidate;
                the message names the key.
        """
        super().__post_init__()
        # By their real paths: a link to a side is that side.
        sides = {os.path.realpath(self.baseline): "baseline"}
        sides.setdefault(os.path.realpath(self.candidate), "candidate")
        for key, path in self.output_files().items():
            if (side := sides.get(os.path.realpath(path))) is not None:
                raise ValueError(f"{key}={path}: is the {side}; name another file")
        if not self.accept:
            return
        if len(sides) == 1:
            raise ValueError(
                f"candidate={self.candidate}: is the baseline itself; nothing to accept"
            )
        if os.path.isdir(self.baseline):
            raise ValueError(
                f"baseline={self.baseline}: accept=true stores a file, and this is a folder; "
                "name a file, for example baseline=perf/baseline.json"
            )
        require_writable("baseline", Path(self.baseline))


@dataclass(kw_only=True)
class MeasuredConfig(KeyGroup):
    """Keys of bench.ab and bench.noise: how to run a revision.

    Attributes:
        runs_per_server: Runs of a side that are forked from one server; 0 makes each run a whole
            command.
    """

    module: _Module = "bench.train"
    runs_per_server: _RunsPerServer = 1
    install: _Program = None
    python: _Program = None
    warmup: Annotated[int, Ge(0), Le(_MAX_RUNS)] = 1
    results: Annotated[Folder, EXPAND_PATH] = "results"
    allow_dirty: bool = False


@dataclass(kw_only=True)
class TrialConfig(JudgeConfig, MeasuredConfig):
    """Keys of bench.ab and bench.bisect; the first look comes after min_runs runs of each side."""

    min_runs: _Runs = 6
    max_runs: _Runs = 16
    budget_s: PositiveAmount | None = None
    runs_per_server: _RunsPerServer = 1

    def __post_init__(self) -> None:
        """Check that there is at least one look.

        Raises:
            ValueError: max_runs is too small; the message names the key.
        """
        if self.max_runs < self.min_runs:
            raise ValueError(f"max_runs={self.max_runs}: must be at least min_runs={self.min_runs}")

    def looks(self, runs_per_server: int = 1) -> list[int]:
        """Runs per side at each look, in order, rounded up to whole rounds.

        Args:
            runs_per_server: Runs that share a server, and are one measurement.
        """
        first, last = _whole_rounds(self.min_runs), _whole_rounds(self.max_runs)
        # The last look always comes, however many runs the steps would give.
        looks = [*range(first, last, _ROUNDS_PER_LOOK * RUNS_PER_ROUND), last]
        return [num * runs_per_server for num in looks]


@dataclass(kw_only=True)
class AbConfig(TrialConfig, OutputConfig):
    """The keys of bench.ab.

    Attributes:
        explain: Whether to trace one more run of each side where there is a regression.
    """

    base: _Revision = MISSING
    head: _Revision = "HEAD"
    explain: bool = False

    required_keys: ClassVar = {
        "base": ": the revision to compare with, as in base=origin/main",
    }

    def __post_init__(self) -> None:
        """Check the outputs and the looks.

        Raises:
            ValueError: An output cannot be written, or max_runs is too small; the message names
                the key.
        """
        OutputConfig.__post_init__(self)
        TrialConfig.__post_init__(self)


@dataclass(kw_only=True)
class BisectConfig(TrialConfig):
    """The keys of bench.bisect; what bench.ab has holds for each commit."""

    good: _Revision = MISSING
    bad: _Revision = "HEAD"

    required_keys: ClassVar = {
        "good": ": a revision before the loss, as in good=v1",
    }


@dataclass(kw_only=True)
class NoiseConfig(MeasuredConfig):
    """The keys of bench.noise."""

    ref: _Revision = "HEAD"
    runs: Annotated[int, Ge(RUNS_PER_ROUND), Le(_MAX_RUNS)] = 10
    noise: Annotated[str, not_blank("must name a file"), EXPAND_PATH] = "results/noise.json"

    def __post_init__(self) -> None:
        """Check that the noise floors can be stored, before any run is made.

        Raises:
            ValueError: The file cannot be written; the message names the key.
        """
        require_writable("noise", Path(self.noise))

    def num_runs(self, runs_per_server: int = 1) -> int:
        """Runs per side, rounded up to whole rounds.

        Args:
            runs_per_server: Runs that share a server, and are one measurement.
        """
        return _whole_rounds(self.runs) * runs_per_server


def _whole_rounds(num_runs: int) -> int:
    """Round a number of runs per side up to whole rounds."""
    return -(-num_runs // RUNS_PER_ROUND) * RUNS_PER_ROUND
