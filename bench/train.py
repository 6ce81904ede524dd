"""Train to a target quality under the profilers: `python -m bench.train [-m] KEY=VALUE...`.

Each run is made in a fresh process and leaves a folder in results/train/; a table of all of them
ends the command. Exit code: 0, 2 for a wrong key or value, 5 if a run failed, 130 after Ctrl-C.
"""

from __future__ import annotations

import sys

from bench.cli.app import run_app
from bench.cli.sweep import Sweep


def main() -> int:
    """Run one configuration or a sweep."""
    sweep = Sweep(command="train", job="bench.cli.train_job:run")
    return sweep.finish(run_app("train", sweep.run_job))


if __name__ == "__main__":
    sys.exit(main())
