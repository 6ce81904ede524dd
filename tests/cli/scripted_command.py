"""bench.train with scripted runs, for tests in this process and as a command that can be killed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console, RenderableType

from bench.cli.overrides import Planned
from bench.cli.sweep import run_command
from bench.cli.sweep_report import Command, Finished
from bench.core.files import StoreError
from bench.core.records.run import RunRecord
from bench.training.plan import plan_training
from tests.cli.quick_hydra import quick_hydra
from tests.fork_server import LightServer, forked_by


def nothing(config: Mapping[str, Any]) -> None:
    """Check nothing."""


def no_tables(runs: Sequence[Finished], console: Console) -> Sequence[RenderableType]:
    """Make no table."""
    return []


def status(record: RunRecord) -> str:
    """Tell how a run ended."""
    return record.status


def with_log(folder: Path, record: RunRecord) -> RunRecord:
    """Recover something of a lost run's folder: here the first words of its log.

    Raises:
        StoreError: There are none.
    """
    words = (folder / "log.txt").read_text().split(":")[0] if (folder / "log.txt").exists() else ""
    if not words:
        raise StoreError(f"{folder}: no log")
    return replace(record, host={**record.host, "log": words})


def scripted(plan: Callable[[DictConfig], Sequence[Planned]]) -> Command:
    """The command with these plans for its scripted runs."""
    return Command(
        name="train",
        job="tests.cli.scripted:run",
        plan=plan,
        check=nothing,
        tables=no_tables,
        line=status,
        columns=[],
        recover=with_log,
    )


def main() -> int:
    """Run it; the exit code."""
    return run_command("train", lambda: scripted(plan_training))


if __name__ == "__main__":
    with forked_by(LightServer()), quick_hydra():
        sys.exit(main())
