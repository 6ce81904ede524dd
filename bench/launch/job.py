"""What a job's process is given, and what it says while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.core.records.run import RunIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run to make: passed from the command to the fresh process; title is for people."""

    identity: RunIdentity
    folder: Path
    title: str
    config: dict[str, Any]
    host: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Sent by a job when something has happened that a person may want to see."""

    stage: str
