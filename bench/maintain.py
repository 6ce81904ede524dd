"""Keep a deployed model accurate and measure the cost: `python -m bench.maintain [-m] KEY=VALUE`.

Each run serves one stream under one maintenance policy, in a fresh process. It leaves a folder in
results/maintain/ with its windows and events. A table of all runs ends the command. Exit code: 0,
2 wrong key or value, 5 a run failed, 130 after Ctrl-C.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.cli.help import print_help
from bench.cli.start import start

if TYPE_CHECKING:
    from bench.cli.sweep_report import Command

_JOB = "bench.drift.job:run"


def main() -> int:
    """Run one configuration or a sweep."""
    if (code := print_help("bench.maintain")) is not None:
        return code
    from bench.cli.ahead import import_ahead

    import_ahead("maintain", _JOB)
    from bench.cli.sweep import run_command  # slow to import, and not needed for help

    return run_command("maintain", load)


def load() -> Command:
    """Import the parts of the command."""
    from bench.cli.sweep_report import Command
    from bench.drift.plan import plan_maintaining
    from bench.drift.recovery import with_windows
    from bench.drift.table import SWEEP_COLUMNS, maintain_line, maintain_tables
    from bench.runs.instruments import MeterCheck

    return Command(
        name="maintain",
        job=_JOB,
        plan=plan_maintaining,
        check=MeterCheck(),
        tables=maintain_tables,
        line=maintain_line,
        columns=SWEEP_COLUMNS,
        recover=with_windows,
    )


if __name__ == "__main__":
    start(main)
