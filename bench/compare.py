"""The performance gate: `python -m bench.compare baseline=DIR_OR_FILE candidate=DIR_OR_FILE`.

Says of each metric whether the candidate is worse, in a table and, where asked for, in Markdown,
JSON and JUnit XML; accept=true stores the candidate as the baseline. Exit code: 0 pass,
1 regression, 2 for a wrong key, value or path, 3 nothing or too little to compare, 4 incomparable,
5 a run failed or cannot be read.
"""

from __future__ import annotations

from bench.cli.help import answered
from bench.cli.start import start


def main() -> int:
    """Compare a candidate with a baseline."""
    if (code := answered("bench.compare")) is not None:
        return code
    from bench.gate.run.compare import compare_command  # heavy, and not needed for help

    return compare_command()


if __name__ == "__main__":
    start(main)
