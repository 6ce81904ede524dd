"""Verify records: `python -m bench.verify results=...`.

It recomputes every derived number of a record that its raw data give: the crossing, joules by
component and phase, costs, percentiles, utilization, flags. Exit code: 0 all agree, 1 something
differs, 2 wrong key, value or folder, 5 something cannot be read, 130 after Ctrl-C.
"""

from __future__ import annotations

from bench.cli.help import print_help
from bench.cli.start import start


def main() -> int:
    """Verify records."""
    if (code := print_help("bench.verify")) is not None:
        return code
    from bench.verification.command import verify_command  # slow to import, not needed for help

    return verify_command()


if __name__ == "__main__":
    start(main)
