"""bench.ab itself on planted slowdowns: `python -m benchmarks.gate_power real`.

Clones the last commit of this repository into a temporary folder, and adds commits with planted
slowdowns (benchmarks/gate_planted.py). A check runs `python -m bench.ab base=BASE head=COMMIT` in
the clone; the commits take turns. Columns of the table, for the checks of one commit:

- *ratio seen*: median ratio of time_per_sample_s, which is the slowdown that was really planted.
- *exit 1*: share of checks that found a regression; for the empty commit, the false alarms.
- *named*: share of checks that called time_per_sample_s a regression.
- *exit 3*: share of checks that asked for more runs.
- *no verdict*: number of checks that ended with exit code 4 or 5; no share counts them.
- *runs*: mean number of runs per side. *seconds*: median time of the whole command.

Shares have Wilson's 95% interval, medians a bootstrap interval. Run it on an idle machine. With
--out, a line is appended after each check; the same file continues a series that was interrupted.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.core.files import utc_now
from bench.core.stats.intervals import Estimate, median, share
from bench.gate.model import (
    EXIT_FAILED,
    EXIT_INCOMPARABLE,
    EXIT_PASS,
    EXIT_REGRESSION,
    EXIT_TOO_LITTLE,
)
from benchmarks.gate_planted import (
    PLANTED_METRIC,
    Calibration,
    Clone,
    Kind,
    Planted,
    all_planted,
    last_line,
    planted_source,
)

# Reaches its target, so that time to accuracy is judged, after about half a second of training.
OVERRIDES = (
    "experiment=smoke",
    "codecarbon=none",
    "lr=0.01",
    "target.value=0.97",
    "budget.max_epochs=40",
)
_WIDTH = 150
_VERDICTS = (EXIT_PASS, EXIT_REGRESSION, EXIT_TOO_LITTLE)
_ENDS = (*_VERDICTS, EXIT_INCOMPARABLE, EXIT_FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Outcome of one run of bench.ab.

    Attributes:
        turn: Number of the check of this slowdown, from 0.
        num_runs: Runs per side; None if nothing was compared.
        rows: Verdict and ratio by metric, for the first configuration.
        said: Last line of the errors of a check without a verdict.
    """

    turn: int
    kind: Kind
    slowdown_frac: float
    exit_code: int
    duration_s: float
    num_runs: int | None
    rows: Mapping[str, Mapping[str, Any]]
    said: str
    started_utc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """What all checks of one file share."""

    base: str
    overrides: Sequence[str]
    keys: Sequence[str]
    calibration: Calibration


def check(folder: Path, planted: Planted, turn: int, series: Series) -> Check:
    """Run bench.ab on a planted slowdown.

    Raises:
        ValueError: It ended in a way in which every further check would end too.
    """
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "check.json"
        words = [f"base={series.base}", f"head={planted.branch}", f"json={path}", *series.keys]
        command = [sys.executable, "-m", "bench.ab", *words, "--", *series.overrides]
        started_utc, start_s = utc_now(), time.perf_counter()
        code, err = _ended(command, folder)
        duration_s = time.perf_counter() - start_s
        told = json.loads(path.read_text()) if path.exists() else {}
    if code not in _ENDS or (code in _VERDICTS and not told):
        raise ValueError(f"{' '.join(command)}: exit code {code}: {last_line(err)}")
    return Check(
        turn=turn,
        kind=planted.kind,
        slowdown_frac=planted.slowdown_frac,
        exit_code=code,
        duration_s=duration_s,
        said="" if code in _VERDICTS else last_line(err),
        started_utc=started_utc,
        **parsed(told),
    )


def _ended(command: Sequence[str], folder: Path) -> tuple[int, str]:
    """Exit code and errors of a command; after Ctrl-C it may still remove its worktrees."""
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        _, err = process.communicate()
    except KeyboardInterrupt:
        process.communicate()  # it got Ctrl-C from the terminal as well
        raise
    return process.returncode, err


def parsed(told: Mapping[str, Any]) -> dict[str, Any]:
    """Runs per side and rows from the JSON of bench.ab; empty if it wrote none."""
    rows = told.get("rows", [])
    counts = [min(row["num_base"], row["num_candidate"]) for row in rows]
    return {
        "num_runs": max(counts, default=None),
        "rows": {
            row["metric"]["name"]: {
                "verdict": row["verdict"],
                "ratio": None if row["ratio"] is None else row["ratio"]["value"],
            }
            for row in reversed(rows)
        },
    }


class SeriesFile:
    """JSON lines: first what all checks share, then one line for each check."""

    def __init__(self, path: Path | None) -> None:
        """Read the file if it exists; without a path, nothing is kept.

        Raises:
            ValueError: A line is damaged.
        """
        self.path = path
        self.series: Series | None = None
        self.checks: list[Check] = []
        text = path.read_text() if path is not None and path.exists() else ""
        for number, line in enumerate(text.splitlines(), 1):
            try:
                self._read(json.loads(line))
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(f"{path}: line {number}: {error}; remove that line") from error

    def _read(self, content: dict[str, Any]) -> None:
        if self.series is None:
            calibration = Calibration(**content.pop("calibration"))
            self.series = Series(**content, calibration=calibration)
        else:
            self.checks.append(Check(**content))

    def start(self, series: Series) -> None:
        """Begin a series with its first line."""
        self.series = series
        self._append(series)

    def add(self, one: Check) -> None:
        """Append a check."""
        self.checks.append(one)
        self._append(one)

    def _append(self, content: Series | Check) -> None:
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(json.dumps(asdict(content)) + "\n")

    def series_for(self, clone: Clone, overrides: Sequence[str], keys: Sequence[str]) -> Series:
        """Return the series of the file, or calibrate a new one.

        Raises:
            ValueError: The series in the file has another commit or other keys.
        """
        given = {"overrides": [*overrides], "keys": [*keys]}
        wanted: dict[str, Any] = {"base": clone.base, **given}
        if self.series is None:
            self.start(Series(**wanted, calibration=clone.calibrate(overrides)))
        assert self.series is not None
        for name, value in wanted.items():
            if getattr(self.series, name) != value:
                there = getattr(self.series, name)
                raise ValueError(f"{self.path}: its {name} is {there}, not {value}; use a new file")
        return self.series


def table(checks: Sequence[Check]) -> Table:
    """A row for each planted slowdown."""
    heads = "planted, checks, ratio seen, exit 1 %, named %, exit 3 %, no verdict, runs, seconds"
    result = Table(*heads.split(", "), title="bench.ab")
    for kind, slowdown_frac in dict.fromkeys((one.kind, one.slowdown_frac) for one in checks):
        row = [one for one in checks if (one.kind, one.slowdown_frac) == (kind, slowdown_frac)]
        result.add_row(f"{kind} {slowdown_frac:.0%}", str(len(row)), *cells(row))
    return result


def cells(checks: Sequence[Check]) -> list[str]:
    """Cells of the row for one slowdown."""
    ended = [one for one in checks if one.exit_code in _VERDICTS]
    nothing = str(len(checks) - len(ended))
    if not ended:
        return ["", "", "", "", nothing, "", ""]
    rows = [one.rows.get(PLANTED_METRIC, {}) for one in ended]
    ratios = [row["ratio"] for row in rows if row.get("ratio") is not None]
    hits = (
        [one.exit_code == EXIT_REGRESSION for one in ended],
        [row.get("verdict") == "regression" for row in rows],
        [one.exit_code == EXIT_TOO_LITTLE for one in ended],
    )
    return [
        interval(median(ratios)) if ratios else "",
        *(interval(share(sum(each), len(each)), 100) for each in hits),
        nothing,
        f"{np.mean([one.num_runs or 0 for one in ended]):.1f}",
        interval(median([one.duration_s for one in ended])),
    ]


def interval(estimate: Estimate, times: float = 1) -> str:
    """A value and its interval."""
    value, *bounds = (
        "" if each is None else f"{each * times:.3g}"
        for each in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value} ({'-'.join(bounds)})" if all(bounds) else value


def add_real(parser: argparse.ArgumentParser) -> None:
    """Define the command line of this part."""
    parser.add_argument("--checks", type=int, default=20, help="checks per planted slowdown")
    parser.add_argument("--slowdowns", default="0,0.1,0.2", help="shares of the time of a step")
    parser.add_argument(
        "--overrides", nargs="*", default=OVERRIDES, help="overrides for bench.train"
    )
    parser.add_argument(
        "--keys", nargs="*", default=(), help="keys for bench.ab, such as max_runs=16"
    )
    parser.add_argument("--out", type=Path, help="a file of JSON lines, appended to")
    parser.set_defaults(run=real)


def real(chosen: argparse.Namespace) -> None:
    """Plant the slowdowns, check them in turns, print and write.

    Raises:
        ValueError: A slowdown is not a share, or something fails that all checks need.
    """
    planted = all_planted(shares(chosen.slowdowns))
    kept, console = SeriesFile(chosen.out), Console(width=_WIDTH)
    with tempfile.TemporaryDirectory() as name:
        clone = Clone(Path(name) / "clone")
        if not (clone.folder / "bench/ab.py").exists():
            raise ValueError(f"commit {clone.base[:10]} has no bench/ab.py; commit it first")
        series = kept.series_for(clone, chosen.overrides, chosen.keys)
        console.print(
            f"a step takes {series.calibration.step_s * 1e3:.3g} ms, of which a forward "
            f"pass {series.calibration.pass_s * 1e3:.3g} ms"
        )
        source = clone.source()
        for each in planted:
            clone.plant(each.branch, planted_source(source, each, series.calibration))
        done = {(one.turn, one.kind, one.slowdown_frac) for one in kept.checks}
        for turn in range(chosen.checks):
            for each in planted:
                if (turn, each.kind, each.slowdown_frac) not in done:
                    one = check(clone.folder, each, turn, series)
                    kept.add(one)
                    console.print(
                        f"check {turn + 1} of {chosen.checks}, {each.branch}: exit code "
                        f"{one.exit_code}, {one.num_runs} runs, {one.duration_s:.0f} s {one.said}"
                    )
    console.print(table(kept.checks))


def shares(text: str) -> list[float]:
    """Parse the slowdowns of the command line.

    Raises:
        ValueError: One of them is not a number of at least 0.
    """
    try:
        found = [float(each) for each in text.split(",")]
    except ValueError:
        found = [-1.0]
    if not all(0 <= each < math.inf for each in found):
        raise ValueError(f"--slowdowns {text}: must be shares from 0 on, such as 0,0.1,0.2")
    return found
