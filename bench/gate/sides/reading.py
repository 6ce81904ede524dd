"""The records in a folder: what cannot be read is told, and the others are read all the same."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from bench.core.files import read_file
from bench.core.find import is_named_like_a_run, runs_below
from bench.core.records.run import RunRecord
from bench.core.store import NewerSchema, began, read_record, record_path
from bench.gate.model import EXIT_FAILED, EXIT_INCOMPARABLE, Problem


@dataclass(kw_only=True)
class Read:
    """What was found in a folder.

    Attributes:
        problems: Records and folders that cannot be read.
        remarks: Folders that were passed over.
    """

    records: list[RunRecord] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether there are no runs at all."""
        return not self.records and not self.problems

    def unreadable(self, message: str) -> None:
        """Add what cannot be read: it may be of a run that failed."""
        self.problems.append(Problem(kind="unreadable", message=message, exit_code=EXIT_FAILED))


def read_folders(path: Path) -> Read:
    """The runs at or below a folder.

    Args:
        path: A results folder, the folder of a command, or a run folder.
    """
    read = Read()
    found = runs_below(str(path), on_error=lambda error: read.unreadable(_unlisted(error)))
    for folder in map(Path, sorted(found)):
        try:
            read.records.append(read_record(folder))
        except NewerSchema as error:
            problem = Problem(kind="incomparable", message=str(error), exit_code=EXIT_INCOMPARABLE)
            read.problems.append(problem)
        except ValueError as error:
            if (remark := _passed_over(folder)) is None:
                read.unreadable(str(error))
            else:
                read.remarks.append(remark)
    return read


def _unlisted(error: OSError) -> str:
    return f"{error.filename}: cannot be read ({error.strerror}); let it be read, or move it away"


def _passed_over(folder: Path) -> str | None:
    """Why a folder without a readable record is none of a run that was made; None if it may be."""
    try:
        record = record_path(folder)
        if record is None and folder.is_dir() and not began(folder):
            return f"{folder}: passed over, of a run that was ended before it began"
        if record is not None and not is_named_like_a_run(str(folder)) and _is_foreign(record):
            return f"{folder}: passed over, its run.json is none of a run"
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
