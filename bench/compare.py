"""The performance gate: `python -m bench.compare baseline=DIR_OR_FILE candidate=DIR_OR_FILE`.

It reports for each metric whether the candidate is worse: in a table and, on request, in Markdown,
JSON and JUnit XML. accept=true stores the candidate as the baseline. Exit code: 0 pass,
1 regression, 2 wrong key, value or path, 3 nothing or too little to compare, 4 incomparable,
5 a run failed or cannot be read.
"""

from __future__ import annotations

from bench.cli.help import print_help
from bench.cli.start import start


def main() -> int:
    """Compare a candidate with a baseline."""
    if (code := print_help("bench.compare")) is not None:
        return code
    from bench.gate.run.compare import compare_command  # slow to import, not needed for help

    return compare_command()


if __name__ == "__main__":
    start(main)
