"""One side of a comparison: its runs, what is wrong with it, and where it comes from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.gate.model import GateRun, Problem

# Command and hash: what the runs of one comparison have in common.
Configuration = tuple[str, str]
# Served model, seed and repeat: what pairs a run with that of the other side.
Place = tuple[str | None, int, int]
# Two runs of the same place: that of the base and that of the candidate.
Pair = tuple[GateRun, GateRun]
SIDES = ("base", "candidate")
_REPEAT = "a key of bench.train and bench.serve, an argument of ProfilerCallback"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """The runs that ended as ok, each place once, and what the report says of the others.

    Attributes:
        name: Where it is from: a path, or a revision.
        runs: In the order of their start.
        problems: Runs that failed or could not be read, or that there are none.
        remarks: Runs that were measured again, and folders that were ignored.
        refused: Runs of combinations that do not exist, with the reason; nothing was measured.
        provenance: commits, hosts, cpus (sorted lists), num_runs, first_started_utc,
            last_started_utc; accepted_utc of a baseline.
    """

    name: str
    runs: list[GateRun]
    problems: list[Problem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    refused: list[tuple[GateRun, str]] = field(default_factory=list)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that no place is taken twice.

        Raises:
            ValueError: Two runs have the same configuration, seed and repeat.
        """
        # A place that is taken twice would enter the rank test as two independent runs.
        taken: set[tuple[Configuration, Place]] = set()
        for run in self.runs:
            key = (configuration_of(run), place_of(run))
            if key in taken:
                raise ValueError(
                    f"{self.name}: {run.command} {run.config_hash} {describe_place(run)} is there "
                    "twice; keep one of them"
                )
            taken.add(key)


def configuration_of(run: GateRun) -> Configuration:
    """The configuration of a run."""
    return run.command, run.config_hash


def place_of(run: GateRun) -> Place:
    """The place of a run."""
    return run.served_model, run.seed, run.repeat


def describe_seed(run: GateRun) -> str:
    """The seed, and the model's: what runs that are exchangeable have in common."""
    model = "" if run.served_model is None else f" of the model of {run.served_model}"
    return f"seed {run.seed}{model}"


def describe_place(run: GateRun) -> str:
    """A place as text, such as `seed 0 repeat 3`."""
    return f"{describe_seed(run)} repeat {run.repeat}"


def shared_places(runs: Sequence[GateRun]) -> str | None:
    """Report that hardly any run of a configuration counts, because they share seed and repeat.

    Args:
        runs: Those that count, of one configuration.

    Returns:
        The reason with its remedy; None where most runs have a seed and repeat of their own.
    """
    num = sum(run.num_finished for run in runs)
    # A few runs that were measured again are normal; that most of them were is a mistake.
    if not runs or num < 2 * len(runs):
        return None
    if len(runs) == 1:
        text = (
            f"{num} runs have the same seed and repeat ({describe_place(runs[0])}): only one counts"
        )
    else:
        text = f"{num} runs have only {len(runs)} different seeds and repeats: {len(runs)} count"
    return f"{text}; give each run a repeat of its own: repeat=0, repeat=1, ... ({_REPEAT})"


def has_shared_places(side: Side) -> bool:
    """Whether most runs of some configuration share seed and repeat: more like them add nothing."""
    groups = by_configuration(side.runs).values()
    return any(shared_places(runs) is not None for runs in groups)


def by_configuration(runs: Iterable[GateRun]) -> dict[Configuration, list[GateRun]]:
    """Runs by configuration, in the order in which each comes first."""
    groups: dict[Configuration, list[GateRun]] = {}
    for run in runs:
        groups.setdefault(configuration_of(run), []).append(run)
    return groups


def provenance_of(runs: Sequence[GateRun]) -> dict[str, Any]:
    """Where some runs come from; the keys are those of Side.provenance."""
    started = [run.started_utc for run in runs]
    return {
        "commits": _distinct(run.git_commit for run in runs),
        "hosts": _distinct(run.facts.get("host.name") for run in runs),
        "cpus": _distinct(run.facts.get("host.cpu_name") for run in runs),
        "num_runs": len(runs),
        "first_started_utc": min(started, default=None),
        "last_started_utc": max(started, default=None),
    }


def _distinct(values: Iterable[Any]) -> list[str]:
    # Sorted, because a report must be the same for the same runs.
    return sorted({str(value) for value in values if value is not None})
