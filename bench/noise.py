"""Measure how much a revision differs from itself: `python -m bench.noise -- KEY=VALUE...`.

It runs the revision in two worktrees in turn, as bench.ab runs two revisions, and stores the
differences as noise floors for the gate. Exit code: 0, 2 wrong key, value or revision, 3 no
comparable runs to store, 5 a run failed, 6 the revision could not be installed, 130 after Ctrl-C.
"""

from __future__ import annotations

from bench.cli.help import print_help
from bench.cli.start import start


def main() -> int:
    """Measure one revision against itself."""
    if (code := print_help("bench.noise")) is not None:
        return code
    from bench.gate.run.noise import noise_command  # slow to import, and not needed for help

    return noise_command()


if __name__ == "__main__":
    start(main)
