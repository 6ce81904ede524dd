"""How long commands take to start: `python -m benchmarks.startup [--rounds N] [--against PATH]`.

For each command: the seconds until `--help` and a wrong key have ended, and until the first line of
output of a command that works (after which it is stopped). With another checkout, the two take
turns, and the ratios of this one to the other one are printed, too. Bytecode is stored before.
Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import compileall
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
_SWEEP = ("-m", "batch_size=32,256", "results=out")
# What a command is asked for until its first line; None if it needs runs or revisions.
COMMANDS: dict[str, Sequence[str] | None] = {
    "bench.train": _SWEEP,
    "bench.serve": None,
    "bench.maintain": ("experiment=maintain_smoke", "results=out"),
    "bench.compare": None,
    "bench.ab": None,
    "bench.noise": None,
    "analysis.report": (f"results={ROOT / 'results' / 'published'}", "out=out"),
    "analysis.plot": None,
    "analysis.export": None,
    "bench.opbench train": _SWEEP,
}
_WRONG = ("no_such_key=1",)


def seconds_s(checkout: Path, command: str, arguments: Sequence[str], *, whole: bool) -> float:
    """Seconds until a command has ended or, unless `whole`, until its first line."""
    module, *first = command.split()
    environment = {**os.environ, "PYTHONPATH": str(checkout), "PYTHONUNBUFFERED": "1"}
    with tempfile.TemporaryDirectory() as folder:
        started_s = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", module, *first, *arguments],
            cwd=folder,
            env=environment | {"BENCH_LOCK": f"{folder}/lock"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        took_s = time.perf_counter() - started_s
        if whole:
            process.communicate()
            took_s = time.perf_counter() - started_s
        else:
            process.terminate()
            process.communicate()
        assert line, f"{command} {' '.join(arguments)}: no output"
    return took_s


def times_s(
    checkouts: Sequence[Path], command: str, arguments: Sequence[str], rounds: int, *, whole: bool
) -> list[float]:
    """The median for each checkout; they take turns."""
    taken = [
        [seconds_s(each, command, arguments, whole=whole) for each in checkouts]
        for _ in range(rounds)
    ]
    return [statistics.median(each) for each in zip(*taken, strict=True)]


def _cell(taken_s: Sequence[float]) -> str:
    ratios = "".join(f" ({taken_s[0] / other_s:.2f})" for other_s in taken_s[1:])
    return f"{taken_s[0]:.2f}{ratios}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--against", type=Path, action="append", default=[])
    parser.add_argument(
        "--only", action="append", default=[], help="a command, such as bench.train"
    )
    given = parser.parse_args()
    checkouts = [ROOT, *(path.resolve() for path in given.against)]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for checkout in checkouts:
        for package in ("bench", "analysis", "hydra_plugins"):
            compileall.compile_dir(checkout / package, quiet=2)
    table = Table("command", "--help s", "wrong key s", "first line s")
    for command, work in COMMANDS.items():
        if given.only and command not in given.only:
            continue
        cells = [
            _cell(times_s(checkouts, command, arguments, given.rounds, whole=whole))
            for arguments, whole in ((("--help",), True), (_WRONG, True), (work, False))
            if arguments is not None
        ]
        table.add_row(command, *cells)
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
