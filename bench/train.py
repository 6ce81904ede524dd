"""Train to a target quality and measure the cost: `python -m bench.train [-m] KEY=VALUE...`.

Each run is made in a fresh process and leaves a folder in results/train/. A table of all runs ends
the command. Exit code: 0, 2 wrong key or value, 5 a run failed, 130 after Ctrl-C.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.cli.help import print_help
from bench.cli.start import start

if TYPE_CHECKING:
    from bench.cli.sweep_report import Command

_JOB = "bench.training.job:run"


def main() -> int:
    """Run one configuration or a sweep."""
    if (code := print_help("bench.train")) is not None:
        return code
    from bench.cli.ahead import import_ahead

    import_ahead("train", _JOB)
    from bench.cli.sweep import run_command  # slow to import, and not needed for help

    return run_command("train", load)


def load() -> Command:
    """Import the parts of the command."""
    from bench.cli.sweep_report import Command
    from bench.runs.charges import complete_training
    from bench.runs.instruments import MeterCheck
    from bench.training.plan import plan_training
    from bench.training.table import SWEEP_COLUMNS, run_line, sweep_tables

    return Command(
        name="train",
        job=_JOB,
        plan=plan_training,
        check=MeterCheck(),
        tables=sweep_tables,
        line=run_line,
        complete=complete_training,
        columns=SWEEP_COLUMNS,
    )


if __name__ == "__main__":
    start(main)
