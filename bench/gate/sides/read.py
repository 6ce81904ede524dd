"""Read one side of a comparison: from run folders, or from a baseline file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench.core.counting import Ended, choose_run, has_begun, has_finished, start_order
from bench.core.files import read_file
from bench.core.find import is_named_like_a_run, runs_below
from bench.core.records.run import RunError, RunRecord
from bench.core.store import NewerSchema, read_record, record_path
from bench.core.store import began as folder_began
from bench.gate.model import CUT_OFF, GateRun, problem
from bench.gate.sides.baseline import read_baseline
from bench.gate.sides.reduce import reduced
from bench.gate.sides.side import (
    Configuration,
    Place,
    Side,
    configuration_of,
    describe_place,
    place_of,
    provenance_of,
)

_AGAIN = "measure it again"


def read_side(path: Path) -> Side:
    """Read the runs in or at a path.

    What is wrong with single runs is among the side's problems. Of runs of the same configuration,
    seed and repeat one counts: see bench.core.counting.

    Args:
        path: A results folder, the folder of a command, a run folder, or a baseline file.

    Raises:
        ValueError: There is no such path, or it is a file that is no baseline.
    """
    if os.path.isfile(path):
        return read_baseline(path)
    if not os.path.isdir(path):
        raise ValueError(f"{path}: no such folder or file; give a results folder or a baseline")
    # Filled below: what is wrong with one run must not stop the others from being compared.
    side = Side(name=str(path), runs=[])
    records = _read_records(path, side)
    if not records and not side.problems:
        remedy = "give a results folder, a run folder or a baseline file"
        side.problems.append(problem("empty", f"{path}: no runs there; {remedy}"))
    # A GateRun has no error, because a run that ended as ok has none.
    errors = {record.run_id: record.error for record in records}
    for run in _counting(reduced(records, side.problems), errors, side.remarks):
        _add(run, errors[run.run_id], side)
    return replace(side, provenance=provenance_of(side.runs))


def _add(run: GateRun, error: RunError | None, side: Side) -> None:
    """Add a run that counts to its side, by how it ended."""
    if run.status == "ok":
        side.runs.append(run)
    elif run.status == "refused":
        # Not a failure: both sides may refuse the same combination, and then nothing has changed.
        side.refused.append((run, "no reason is recorded" if error is None else error.message))
    elif run.status == "interrupted":
        side.remarks.append(f"{run.run_id} was interrupted and does not count; {_AGAIN}")
    else:
        reason = f": {error.message}" if error is not None else ""
        message = f"{run.run_id} ended as {run.status}{reason}; {_AGAIN}"
        side.problems.append(problem("failed", message))


def _read_records(path: Path, side: Side) -> list[RunRecord]:
    """The readable records at or below a folder.

    Args:
        path: A results folder, the folder of a command, or a run folder.
        side: Filled with problems, for what cannot be read may be of a run that failed, and with
            remarks on folders that are ignored.
    """

    def report_unlisted(error: OSError) -> None:
        message = f"{error.filename}: cannot be read ({error.strerror})"
        side.problems.append(problem("unreadable", f"{message}; let it be read, or move it away"))

    records = []
    for folder in map(Path, sorted(runs_below(str(path), on_error=report_unlisted))):
        try:
            records.append(read_record(folder))
        # Before ValueError, of which it is a kind: the record is whole, so measuring again is no
        # remedy.
        except NewerSchema as error:
            side.problems.append(problem("incomparable", str(error)))
        except ValueError as error:
            if (reason := _why_ignored(folder)) is None:
                side.problems.append(problem("unreadable", str(error)))
            else:
                side.remarks.append(f"{folder}: ignored, because {reason}")
    return records


def _why_ignored(folder: Path) -> str | None:
    """Why a folder without a readable record holds no run; None if it may hold one."""
    try:
        record = record_path(folder)
        # Ctrl-C while the command waited for the host leaves such a folder.
        if record is None and folder.is_dir() and not folder_began(folder):
            return "its run was ended before it began"
        # Only in folders with another name: a run folder with a damaged record may hide a failure.
        if record is not None and not is_named_like_a_run(str(folder)) and _is_foreign(record):
            return "its run.json is not the record of a run"
    except OSError:
        return None
    return None


def _is_foreign(record: Path) -> bool:
    """Whether a file is whole, but of some other program."""
    try:
        content = json.loads(read_file(record))
    except (ValueError, RecursionError):
        return False
    return not isinstance(content, dict) or "schema_version" not in content


def _counting(
    runs: Sequence[GateRun], errors: Mapping[str, RunError | None], remarks: list[str]
) -> list[GateRun]:
    """The run that counts of each configuration, seed and repeat, in the order of their start.

    Where every run was interrupted, the latest is kept. Runs that never began are dropped.

    Args:
        runs: In any order.
        errors: Of each, by its id.
        remarks: Filled with what does not count.
    """
    places: dict[tuple[Configuration, Place], list[tuple[GateRun, Ended]]] = {}
    for run in sorted(runs, key=_start):
        error = errors[run.run_id]
        kind = None if error is None else error.kind
        ended = Ended(run.status, kind, run.started_utc, run.run_id, CUT_OFF in run.flags)
        if has_begun(ended):
            places.setdefault((configuration_of(run), place_of(run)), []).append((run, ended))
    kept = []
    for attempts in places.values():
        runs, ends = zip(*attempts, strict=True)
        index = choose_run(ends)
        run = runs[-1 if index is None else index]
        num_ok = sum(each.status == "ok" for each in runs)
        # The number shows later whether runs share seed and repeat by mistake.
        kept.append(replace(run, num_finished=max(num_ok, 1)))
        if len(runs) > 1:
            others = [
                each.run_id if each.status == "ok" else f"{each.run_id} ({each.status})"
                for each in runs
                if each is not run
            ]
            which = "the latest that finished" if any(map(has_finished, ends)) else "the latest"
            if index is not None and any(end.cut_off > ends[index].cut_off for end in ends):
                which = "the latest with its whole budget"
            remarks.append(
                f"{run.command} {run.config_hash} {describe_place(run)} was measured {len(runs)} "
                f"times: {run.run_id} counts, {which}; not {', '.join(others)}"
            )
    return sorted(kept, key=_start)


def _start(run: GateRun) -> tuple[str, ...]:
    return start_order(run.run_id, run.started_utc)
