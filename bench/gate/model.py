"""The data of the gate, in the order in which it is made: run, row values, row, comparison.

A *row* is one metric of one configuration, compared between two sides: `base` and `candidate`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Literal

from bench.cli.start import CRASHED, INTERRUPTED, USAGE_ERROR
from bench.core.arrays import Floats, Ints
from bench.core.metric import Better, Metric
from bench.core.stats.intervals import Estimate
from bench.gate.explanation import Explanation
from bench.gate.history.model import History

# exact: the same whenever the same work is done, compared from a single run on; measured: takes
# evidence; modelled: shown, never judged; sum: shown, because each of its parts is judged.
Kind = Literal["exact", "measured", "modelled", "sum"]
Verdict = Literal["regression", "improvement", "no change", "underpowered", "not judged"]
# The flag of a run that a search stopped before its own budget was used up.
CUT_OFF = "cut_off"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRun:
    """A run as the gate needs it, from a run folder or from a baseline file.

    Attributes:
        comparable: Whether its health flags allow comparing it; None where none are recorded.
        values: By name of the metric; without those that the run does not have.
        directions: Which direction of a user's own metric is better, by its name here; without
            those of which that is not known.
        modelled: Names of metrics whose value was modelled in this run.
        inexact: Names of exact metrics that depend on a measured time or cost in this run.
        missed: Whether it missed its target; None where there is none.
        facts: What has to be the same on both sides, by dotted name: host, target, data, schema,
            how joules were obtained and of what. Nothing momentary; None for what is not recorded.
        config: What went into config_hash, for reporting what differs.
        choices: The option that was chosen for each group of the configuration, as it was written.
        served_model: Which training a served model is of, such as `seed 0`; part of what pairs
            runs. None for a training.
        invalid: Why its serving does not count by the rules of its scenario.
        unavailable: Meters that could not be read, with the reason.
        num_finished: How many runs of this configuration, seed and repeat ended as ok; this is the
            one of them that counts.
    """

    run_id: str
    command: str
    config_hash: str
    seed: int
    repeat: int
    started_utc: str
    status: str
    comparable: bool | None = None
    flags: list[str] = field(default_factory=list)
    missed: bool | None = None
    values: dict[str, float] = field(default_factory=dict)
    directions: dict[str, Better] = field(default_factory=dict)
    modelled: list[str] = field(default_factory=list)
    inexact: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    git_commit: str | None = None
    served_model: str | None = None
    invalid: list[str] = field(default_factory=list)
    choices: dict[str, str] = field(default_factory=dict)
    unavailable: list[str] = field(default_factory=list)
    num_finished: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """What a row is about: one metric of one configuration."""

    metric: Metric
    kind: Kind
    configuration: str
    command: str
    config_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RowValues(_Row):
    """The values of one row before it is judged: paired by seed and repeat, misses infinite.

    Attributes:
        base: Shape (n,), no NaN; infinite (of the bad sign) for a run that missed.
        candidate: Shape (n,), likewise.
        strata: Shape (n,), a number per pair: runs are exchangeable within one, not across.
        servers: Shape (n,), a number per pair: runs of one number were forked from one server on
            each side, and are exchanged together. None if each run is from a server of its own.
    """

    base: Floats
    candidate: Floats
    strata: Ints
    servers: Ints | None = None
    floor_frac: float = 0.0
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRow(_Row):
    """One metric of one configuration with its verdict.

    Attributes:
        kind: That of the metric; exact is demoted to measured where runs of one revision differ,
            modelled follows from the label, sum from the parts of a total being judged.
        base: Median; None where it is infinite, because most runs missed.
        candidate: Likewise.
        ratio: candidate over base, seed by seed, with its interval or range.
        loss_frac: How much worse the candidate is, as a share of the base; negative for better;
            None where it is infinite or not known.
        threshold_frac: The least loss that counts here: minimum effect or noise floor.
        p: One-sided, that the candidate is not worse; None for an exact metric.
        p_holm: The same, adjusted over all measured rows.
        smallest_seen_frac: The smallest loss that would have been called a regression with this
            many runs of this spread; None where none would have been.
        more_runs: How many more runs per side would settle an underpowered row.
        note: What else explains the row: demoted, most runs missed, ...
        candidate_median: candidate with its own interval, for tools that plot it over time.
    """

    num_base: int
    num_candidate: int
    base: float | None
    candidate: float | None
    ratio: Estimate | None
    loss_frac: float | None
    threshold_frac: float
    p: float | None
    p_holm: float | None
    verdict: Verdict
    smallest_seen_frac: float | None = None
    more_runs: int | None = None
    note: str = ""
    candidate_median: Estimate | None = None


class Exit(IntEnum):
    """The exit codes of the gate's commands; where several apply, the first in this order."""

    INTERRUPTED = INTERRUPTED
    WRONG = USAGE_ERROR
    INCOMPARABLE = 4
    NOT_INSTALLED = 6
    FAILED = CRASHED
    REGRESSION = 1
    TOO_LITTLE = 3
    PASS = 0


# failed: a run did not end as ok. missing: only one side has a configuration, a seed or a metric.
# health: left out for its health flags. repeated: too few runs count, because several have the same
# seed and repeat. Without a comparison: wrong (the command line), interrupted, broken (the command
# itself).
ProblemKind = Literal[
    "failed",
    "incomparable",
    "missing",
    "health",
    "repeated",
    "unreadable",
    "empty",
    "wrong",
    "interrupted",
    "broken",
]
_EXIT_CODES: dict[ProblemKind, int] = {
    "failed": Exit.FAILED,
    "unreadable": Exit.FAILED,
    "broken": Exit.FAILED,
    "incomparable": Exit.INCOMPARABLE,
    "wrong": Exit.WRONG,
    "interrupted": Exit.INTERRUPTED,
}


def gravest(codes: Collection[int]) -> int:
    """Of several exit codes that apply, the one that is returned."""
    return next((code for code in Exit if code in codes), Exit.PASS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that is wrong with a comparison as a whole, and the exit code that it asks for."""

    kind: ProblemKind
    message: str
    exit_code: int


def problem(kind: ProblemKind, message: str) -> Problem:
    """A problem with the exit code of its kind."""
    exit_code = _EXIT_CODES.get(kind, Exit.TOO_LITTLE)
    return Problem(kind=kind, message=message, exit_code=exit_code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The rows of two sides, with the problems and remarks that a report adds.

    Attributes:
        base_name: Where the base is from: a path, or a revision.
        candidate_name: Likewise.
        problems: What is wrong; the gravest decides the exit code.
        remarks: What changes no exit code: forced, allowed to be missing, drift of the baseline.
        alpha: Level of the whole check (of this look, where there are several).
        provenance: Of both sides: commit, host, number of runs, when.
        history: What all checks so far show; None without `history=`.
        explanation: Where the time went that was lost; None if nobody asked, or nothing was lost.
    """

    base_name: str
    candidate_name: str
    rows: list[GateRow] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    alpha: float
    provenance: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    history: History | None = None
    explanation: Explanation | None = None

    @property
    def exit_code(self) -> int:
        """The gravest of what the problems and the rows ask for."""
        codes = {problem.exit_code for problem in self.problems}
        verdicts = {row.verdict for row in self.rows}
        if "regression" in verdicts:
            codes.add(Exit.REGRESSION)
        judged = verdicts - {"not judged"}
        if "underpowered" in verdicts or not judged:
            codes.add(Exit.TOO_LITTLE)
        return gravest(codes)
