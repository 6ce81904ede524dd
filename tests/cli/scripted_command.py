"""bench.train with scripted runs, for tests in this process and as a command that can be killed."""

from __future__ import annotations

import sys

from bench.cli.app import run_app
from bench.cli.sweep import Sweep
from bench.cli.sweep_report import Command
from bench.training.plan import plan_training


def main() -> int:
    """Run it; the exit code."""
    sweep = Sweep(
        Command(
            name="train",
            job="tests.cli.scripted:run",
            plan=plan_training,
            check=lambda config: None,
            tables=lambda runs, console: [],
            line=lambda record: record.status,
            complete=lambda record: record,
            columns=[],
        )
    )
    return sweep.finish(run_app("train", sweep.run_job))


if __name__ == "__main__":
    sys.exit(main())
