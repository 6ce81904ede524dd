"""The folder of a history: a file for each side that was checked or accepted, as baselines are."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.core.files import file_stamp, utc_now
from bench.gate.model import GateRun
from bench.gate.sides.baseline import read_baseline, write_runs
from bench.gate.sides.side import Side, provenance_of

_DIRTY = "-dirty"
_DIGITS = 10
# What the command makes of the files; see bench.gate.history.series.
SERIES_FILE = "series.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A side that was checked, or accepted as a baseline.

    Attributes:
        side: Its runs.
        commit: That of its runs; None if it is not known, or they are of several.
        utc: When its last run began.
        accepted: Whether it became a baseline.
    """

    side: Side
    commit: str | None
    utc: str
    accepted: bool


def check_of(side: Side) -> Check:
    """A side as an entry of the history."""
    provenance = provenance_of(side.runs)
    commits = provenance["commits"]
    return Check(
        side=side,
        commit=commits[0] if len(commits) == 1 and not commits[0].endswith(_DIRTY) else None,
        utc=provenance["last_started_utc"],
        accepted=side.provenance.get("accepted_utc") is not None,
    )


def add_check(folder: Path, side: Side, *, accepted: bool) -> None:
    """Store a side, once: if its runs are there, at most that they were accepted is new.

    Args:
        folder: That of the history; created if it is not there.
        side: What was checked. Nothing is stored if it has no runs.
        accepted: Whether it is a baseline, or becomes one.

    Raises:
        ValueError: The file cannot be written, or the one that is there cannot be read.
    """
    if not side.runs:
        return
    path = folder / _file_name(check_of(side), side.runs)
    if path.exists() and (not accepted or check_of(read_baseline(path)).accepted):
        return
    known_utc = side.provenance.get("accepted_utc")
    write_runs(path, side, (known_utc or utc_now()) if accepted else None)


def read_checks(folder: Path) -> list[Check]:
    """The entries of a history, in the order in which they were measured.

    Raises:
        ValueError: A file cannot be read, or is no baseline; the message begins with its path.
    """
    files = sorted(path for path in folder.glob("*.json") if path.name != SERIES_FILE)
    checks = [check_of(side) for path in files if (side := read_baseline(path)).runs]
    return sorted(checks, key=lambda check: check.utc)


def _file_name(check: Check, runs: Sequence[GateRun]) -> str:
    """By time and commit, and by the runs: two checks of a minute do not collide."""
    ids = "\n".join(sorted(run.run_id for run in runs))
    digest = hashlib.sha256(ids.encode()).hexdigest()[:8]
    commit = (check.commit or "no-commit")[:_DIGITS]
    return f"{file_stamp(check.utc)}-{commit}-{digest}.json"
