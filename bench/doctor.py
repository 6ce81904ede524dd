"""Examine this machine: `python -m bench.doctor`.

It shows what can be measured here and how well, what would disturb a measurement and what to do
about it, what is installed, and how small a slowdown could be seen. Exit code: 0 a run of this
moment would be comparable, 1 it would not be, 2 wrong key or value, 130 after Ctrl-C.
"""

from __future__ import annotations

from bench.cli.help import print_help
from bench.cli.start import start


def main() -> int:
    """Examine this machine."""
    if (code := print_help("bench.doctor")) is not None:
        return code
    from bench.diagnosis.command import doctor_command  # slow to import, and not needed for help

    return doctor_command()


if __name__ == "__main__":
    start(main)
