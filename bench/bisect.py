"""Find the commit that made something slower: `python -m bench.bisect good=REF bad=REF -- ...`.

It compares both revisions as bench.ab does, and if bad is worse, bisects the commits between them:
each is compared with good in turn. Exit code: 0 found, 2 wrong key, value or revision, 3 not found,
because bad is not measurably worse or commits could not be judged, 4 incomparable, 5 a run of good
or bad failed, 6 one of them could not be installed, 130 after Ctrl-C.
"""

from __future__ import annotations

from bench.cli.help import print_help
from bench.cli.start import start


def main() -> int:
    """Find the commit that made something slower."""
    if (code := print_help("bench.bisect")) is not None:
        return code
    from bench.gate.run.bisect import bisect_command  # slow to import, and not needed for help

    return bisect_command()


if __name__ == "__main__":
    start(main)
