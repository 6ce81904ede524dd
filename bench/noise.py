"""One revision against itself: `python -m bench.noise -- KEY=VALUE...`.

Runs it in two worktrees in turn, as bench.ab does with two revisions, and stores how much they
differ for the gate. Exit code: 0, 2 for a wrong key, value or revision, 3 no comparable runs to
store, 5 a run failed, 6 the revision could not be installed, 130 after Ctrl-C.
"""

from __future__ import annotations

from bench.cli.help import answered
from bench.cli.start import start


def main() -> int:
    """Measure one revision against itself."""
    if (code := answered("bench.noise")) is not None:
        return code
    from bench.gate.run.noise import noise_command  # heavy, and not needed for help

    return noise_command()


if __name__ == "__main__":
    start(main)
