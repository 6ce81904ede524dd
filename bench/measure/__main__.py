"""Measure any program: `python -m bench.measure KEY=VALUE... -- PROGRAM ARGUMENTS...`.

It records time, energy, use of CPUs and memory, and what disturbed the run, in results/measure/.
Exit code: that of the program; of several runs, the first that is not 0. 2 wrong key or value, 126
the program cannot be run, 127 it is not found.
"""

from __future__ import annotations

from bench.cli.help import print_help
from bench.cli.start import start


def main() -> int:
    """Measure a program."""
    if (code := print_help("bench.measure")) is not None:
        return code
    from bench.programs.command import measure_command  # slow to import, not needed for help

    return measure_command()


if __name__ == "__main__":
    start(main)
