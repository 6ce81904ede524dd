"""Serve a trained model and measure it: `python -m bench.serve [-m] run=RUN KEY=VALUE...`.

Each combination of scenario, backend, compression and placement is served in a fresh process. It
leaves a folder in results/serve/ that refers to its training run. Tables of all runs end the
command. Exit code: 0, 1 training and serving differ (skew), 2 wrong key or value, 5 a run failed,
130 after Ctrl-C.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.cli.help import print_help
from bench.cli.start import start

if TYPE_CHECKING:
    from bench.cli.sweep_report import Command

_JOB = "bench.serving.job:run"


def main() -> int:
    """Serve one configuration or a sweep."""
    if (code := print_help("bench.serve")) is not None:
        return code
    from bench.cli.ahead import import_ahead

    import_ahead("serve", _JOB)
    from bench.cli.sweep import run_command  # slow to import, and not needed for help

    return run_command("serve", load)


def load() -> Command:
    """Import the parts of the command."""
    from bench.cli.sweep_report import Command
    from bench.runs.instruments import MeterCheck
    from bench.serving.plan import plan_serving
    from bench.serving.table import SWEEP_COLUMNS, serve_line, serve_tables

    return Command(
        name="serve",
        job=_JOB,
        plan=plan_serving,
        check=MeterCheck(),
        tables=serve_tables,
        line=serve_line,
        columns=SWEEP_COLUMNS,
    )


if __name__ == "__main__":
    start(main)
