"""Measure two revisions and compare them: `python -m bench.ab base=REF head=REF -- KEY=VALUE...`.

It checks both out and runs `python -m bench.train KEY=VALUE...` of each in fresh processes, one at
a time (base, head, head, base, ...), until the gate reaches a verdict. Exit code: 0 pass,
1 regression, 2 wrong key, value or revision, 3 nothing or too little to compare, 4 incomparable,
5 a run failed, 6 a revision could not be installed, 130 after Ctrl-C.
"""

from __future__ import annotations

from bench.cli.help import print_help
from bench.cli.start import start


def main() -> int:
    """Measure two revisions and compare them."""
    if (code := print_help("bench.ab")) is not None:
        return code
    from bench.gate.run.ab import ab_command  # slow to import, and not needed for help

    return ab_command()


if __name__ == "__main__":
    start(main)
