"""bench.ab itself on planted slowdowns: `python -m benchmarks.gate_power real`.

Clones the last commit of this repository into a temporary folder, and adds commits with planted
slowdowns of the training step:

- *none*: an empty commit.
- *sleep*: the training step sleeps, so each sample takes longer by the planned share. Short sleeps
  are not precise, so it sleeps only once 2 ms are due, and subtracts what it overslept.
- *work*: the training step repeats its forward pass often enough to take the planned share. The
  time of a forward pass is measured once, from runs that repeat it ten times in each step. This is
  only for networks without dropout and batch norm, in which more passes would change the training.

A check runs `python -m bench.ab base=BASE head=COMMIT` in the clone. The commits are mixed so that
each has about the same share of its checks whenever the series is interrupted. Columns of the
table, for the checks of one commit:

- *ratio seen*: median ratio of time_per_sample_s, which is the slowdown that was really planted.
- *exit 1*: share of checks that found a regression; for the empty commit, the false alarms.
- *named*: share of checks that called time_per_sample_s a regression.
- *exit 3*: share of checks that asked for more runs.
- *no verdict*: number of checks that ended with exit code 4 or 5; no share counts them.
- *runs*: mean number of runs per side. *seconds*: median time of the whole command.

Shares have Wilson's 95% interval, medians their own. Run it on an idle machine. With --out, a line
is appended after each check, and checks that the file has are not made again; --read prints the
table of such a file. All checks of a file are of one commit: a resumed series clones that of the
file, whatever is checked out by then. `--most 3` makes three checks and ends, `--minutes 45` starts
none after that time.
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
from typing import Any, Literal, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.core.files import utc_now
from bench.core.stats.intervals import Estimate, median, share
from bench.gate.model import Exit
from bench.gate.sides.read import read_side
from bench.launch.interleave import UNSERVED

Kind = Literal["none", "sleep", "work"]

MODULE = Path("bench/tasks/task_module.py")
STEP = "        return self.task.loss(self.forward(inputs), targets)\n"
LEAST_SLEEP_S = 0.002
# Others may follow in the same file: --slowdowns 0.06 0.08
SLOWDOWNS_FRAC = (0.07, 0.1, 0.2)
FOUND_FRAC = 0.9
EXPECTED_S = 60.0  # of a check, until one has been made
PLANTED_METRIC = "time_per_sample_s"
# Reaches its target, so that time to accuracy is judged, after about half a second of training. The
# 100 requests of the experiment take 3 ms, in which one disturbance moves even the median.
OVERRIDES = (
    "experiment=smoke",
    "codecarbon=none",
    "lr=0.01",
    "target.value=0.97",
    "budget.max_epochs=40",
    "probe.num_requests=600",
)
_NUM_CALIBRATION_RUNS = 5
_NUM_EXTRA_PASSES = 10
_WIDTH = 150
_VERDICTS = (Exit.PASS, Exit.REGRESSION, Exit.TOO_LITTLE)
_ENDS = (*_VERDICTS, Exit.INCOMPARABLE, Exit.FAILED)


class Planted(NamedTuple):
    """A slowdown of the training step, as a share of its time, evaluations included."""

    kind: Kind
    slowdown_frac: float

    @property
    def branch(self) -> str:
        """Name of the branch in the clone."""
        return f"planted-{self.kind}-{self.slowdown_frac:g}"


class Calibration(NamedTuple):
    """Seconds of a training step of the last commit, and of an extra forward pass in it."""

    step_s: float
    pass_s: float


def all_planted(slowdowns_frac: Sequence[float]) -> list[Planted]:
    """Both kinds of each slowdown; an empty commit for 0."""
    kinds: tuple[Kind, ...] = ("sleep", "work")
    return [
        Planted(kind, slowdown_frac)
        for slowdown_frac in slowdowns_frac
        for kind in (kinds if slowdown_frac else ("none",))
    ]


def planted_source(source: str, planted: Planted, calibration: Calibration) -> str:
    """The source of the LightningModule with the slowdown in its training step.

    Raises:
        ValueError: The source has no training step in the expected form.
    """
    if source.count(STEP) != 1:
        raise ValueError(
            f"{MODULE}: not one line {STEP.strip()!r}: change STEP in benchmarks/gate_real.py"
        )
    owed_s = planted.slowdown_frac * calibration.step_s
    if planted.kind == "work":
        code = work_code(owed_s / calibration.pass_s)
    else:
        code = sleep_code(owed_s) if planted.kind == "sleep" else ""
    return source.replace(STEP, code + STEP)


def sleep_code(step_s: float) -> str:
    """Lines that make a training step sleep on average `step_s`, for several steps at a time."""
    return f"""\
        import time

        self.owed_s = getattr(self, "owed_s", 0.0) + {step_s!r}
        if self.owed_s >= {LEAST_SLEEP_S}:
            before_s = time.perf_counter()
            time.sleep(self.owed_s)
            self.owed_s -= time.perf_counter() - before_s
"""


def work_code(num_passes: float) -> str:
    """Lines that make a training step repeat the forward pass, on average `num_passes` times."""
    return f"""\
        self.owed_passes = getattr(self, "owed_passes", 0.0) + {num_passes!r}
        while self.owed_passes >= 1:
            self(inputs)
            self.owed_passes -= 1
"""


class Clone:
    """A clone of this repository, in which slowdowns are committed."""

    def __init__(self, folder: Path, commit: str = "HEAD") -> None:
        """Clone the working directory's repository, and check out one of its commits.

        Raises:
            ValueError: The working directory is not in a repository, or has no such commit.
        """
        self.folder = folder
        self.base = run(["git", "rev-parse", "--verify", f"{commit}^{{commit}}"]).strip()
        run(["git", "clone", "--quiet", ".", str(folder)])
        self.git("fetch", "--quiet", "origin", self.base)  # it may be on no branch any more
        self.git("checkout", "--quiet", "--detach", self.base)

    def git(self, *words: str) -> str:
        """Run git in the clone and return its output."""
        author = ["-c", "user.name=gate_real", "-c", "user.email=gate_real@localhost"]
        return run(["git", *author, "-c", "commit.gpgsign=false", *words], self.folder)

    def plant(self, branch: str, source: str) -> None:
        """Commit a source of the LightningModule on a branch; the base stays checked out."""
        self.git("checkout", "--quiet", "-B", branch, self.base)
        (self.folder / MODULE).write_text(source)
        self.git("commit", "--quiet", "--all", "--allow-empty", "--message", branch)
        self.git("checkout", "--quiet", "--detach", self.base)

    def source(self) -> str:
        """Source of the LightningModule in the base."""
        return self.git("show", f"{self.base}:{MODULE.as_posix()}")

    def step_s(self, revision: str, overrides: Sequence[str]) -> float:
        """Seconds per training step of a revision, evaluations included, in its quickest run.

        The quickest run counts, because other load on the machine can only slow a run down.

        Raises:
            ValueError: A run failed.
        """
        self.git("checkout", "--quiet", "--detach", revision)
        with tempfile.TemporaryDirectory() as name:
            words = [f"repeat=range(0,{_NUM_CALIBRATION_RUNS})", f"results={name}", *overrides]
            run([sys.executable, "-m", "bench.train", "-m", *words], self.folder)
            runs = read_side(Path(name)).runs
        self.git("checkout", "--quiet", "--detach", self.base)
        return min(run.values[PLANTED_METRIC] * int(run.config["batch_size"]) for run in runs)

    def calibrate(self, overrides: Sequence[str]) -> Calibration:
        """Measure the time of a step and of a forward pass, from a few runs of each.

        Raises:
            ValueError: A run failed, or more work took no time.
        """
        step_s = self.step_s(self.base, overrides)
        source = self.source().replace(STEP, work_code(_NUM_EXTRA_PASSES) + STEP)
        self.plant("calibration", source)
        pass_s = (self.step_s("calibration", overrides) - step_s) / _NUM_EXTRA_PASSES
        if pass_s <= 0:
            raise ValueError(
                f"{_NUM_EXTRA_PASSES} more forward passes per step took no time "
                f"({pass_s * 1e3:.3g} ms each): is the machine busy?"
            )
        return Calibration(step_s=step_s, pass_s=pass_s)


def run(words: Sequence[str], folder: Path | None = None) -> str:
    """Run a command and return its output.

    Raises:
        ValueError: The command failed; the message has the last line of its errors.
    """
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(
            f"{' '.join(words)}: exit code {done.returncode}: {last_line(done.stderr)}"
        )
    return done.stdout


def last_line(text: str) -> str:
    """The last line that is not empty."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Outcome of one run of bench.ab.

    Attributes:
        turn: Number of the check of this slowdown, from 0.
        num_runs: Runs per side; None if nothing was compared.
        rows: Verdict, ratio and the smallest loss that would have been seen, by metric, for the
            first configuration.
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


def check(folder: Path, base: str, planted: Planted, turn: int, keys: Sequence[str] = ()) -> Check:
    """Run bench.ab on a planted slowdown.

    Args:
        folder: The clone.
        base: Its commit without a slowdown.
        planted: The slowdown.
        turn: The number of the check of this slowdown.
        keys: More keys of bench.ab.

    Raises:
        ValueError: It ended in a way in which every further check would end too.
    """
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "check.json"
        words = [f"base={base}", f"head={planted.branch}", f"json={path}", *keys]
        command = [sys.executable, "-m", "bench.ab", *words, "--", *OVERRIDES]
        started_utc, start_s = utc_now(), time.perf_counter()
        code, err = _run_ab(command, folder)
        duration_s = time.perf_counter() - start_s
        content = json.loads(path.read_text()) if path.exists() else {}
    if code not in _ENDS or (code in _VERDICTS and not content):
        raise ValueError(f"{' '.join(command)}: exit code {code}: {last_line(err)}")
    require_served(content)
    return Check(
        turn=turn,
        **planted._asdict(),
        exit_code=code,
        duration_s=duration_s,
        said="" if code in _VERDICTS else last_line(err),
        started_utc=started_utc,
        **parsed(content),
    )


def require_served(content: Mapping[str, Any]) -> None:
    """Refuse a check without servers: a series of such would be as sound, and tell another cost.

    Raises:
        ValueError: Each run was a whole command; the message has the reason.
    """
    for remark in content.get("remarks", []):
        if UNSERVED in remark:
            raise ValueError(f"bench.ab: {remark}")


def _run_ab(command: Sequence[str], folder: Path) -> tuple[int, str]:
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


def parsed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Runs per side and rows from the JSON of bench.ab; empty if it wrote none."""
    rows = content.get("rows", [])
    counts = [min(row["num_base"], row["num_candidate"]) for row in rows]
    return {
        "num_runs": max(counts, default=None),
        "rows": {
            row["metric"]["name"]: {
                "verdict": row["verdict"],
                "ratio": None if row["ratio"] is None else row["ratio"]["value"],
                "smallest_seen_frac": row["smallest_seen_frac"],
            }
            for row in reversed(rows)
        },
    }


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
        [one.exit_code == Exit.REGRESSION for one in ended],
        [row.get("verdict") == "regression" for row in rows],
        [one.exit_code == Exit.TOO_LITTLE for one in ended],
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
    parser.add_argument("--checks", type=int, default=10, help="checks per planted slowdown")
    parser.add_argument("--null-checks", type=int, default=40, help="checks of the empty commit")
    parser.add_argument(
        "--slowdowns",
        type=float,
        nargs="+",
        default=SLOWDOWNS_FRAC,
        metavar="FRAC",
        help="planted shares of a step's time; the empty commit is checked in any case",
    )
    parser.add_argument("--keys", nargs="*", default=(), help="keys of bench.ab, as in max_runs=10")
    parser.add_argument("--most", type=int, help="end after this number of checks")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="start no check after this time"
    )
    parser.add_argument("--out", type=Path, help="a file of JSON lines, appended to and resumed")
    parser.add_argument("--read", type=Path, help="a file of JSON lines, whose table is printed")
    parser.set_defaults(run=real)


class Series(NamedTuple):
    """What all checks of a file share: they are of one commit and one configuration."""

    base: str
    overrides: Sequence[str]
    keys: Sequence[str]
    calibration: Calibration


def read_series(path: Path) -> tuple[Series, list[Check]]:
    """What a file holds: what its checks share, and the checks."""
    first, *lines = map(json.loads, path.read_text().splitlines())
    calibration = Calibration(**first["calibration"])
    shared = Series(first["base"], first["overrides"], first.get("keys", []), calibration)
    return shared, [Check(**line) for line in lines]


def missing_checks(chosen: argparse.Namespace, done: Sequence[Check]) -> list[tuple[Planted, int]]:
    """The checks that are still to be made, with their turns.

    At any point of the list, each commit has had about the same share of its checks.
    """
    have = {(one.kind, one.slowdown_frac, one.turn) for one in done}
    planned = all_planted([0.0, *(each for each in chosen.slowdowns if each)])
    nums = [chosen.checks if each.slowdown_frac else chosen.null_checks for each in planned]
    shares = [
        ((turn + 0.5) / num, each, turn)
        for each, num in zip(planned, nums, strict=True)
        for turn in range(num)
    ]
    return [
        (each, turn)
        for _, each, turn in sorted(shares, key=lambda one: one[0])
        if (*each, turn) not in have
    ]


def real(chosen: argparse.Namespace) -> None:
    """Plant the slowdowns, check them in turns, print and write; or print what a file holds.

    Raises:
        ValueError: Something fails that all checks need, or the file is of another series.
    """
    console = Console(width=_WIDTH)
    if chosen.read is not None:
        report(console, read_series(chosen.read)[1])
        return
    resumed = resume(chosen)
    deadline_s = time.monotonic() + 60 * chosen.minutes
    with tempfile.TemporaryDirectory() as name:
        clone = Clone(Path(name) / "clone", resumed[0].base if resumed else "HEAD")
        if not (clone.folder / "bench/ab.py").exists():
            raise ValueError(f"commit {clone.base[:10]} has no bench/ab.py; commit it first")
        shared, checks = resumed or (begin(clone, chosen), [])
        calibration = shared.calibration
        console.print(
            f"commit {clone.base[:10]}: a step takes {calibration.step_s * 1e3:.3g} ms, of which "
            f"a forward pass {calibration.pass_s * 1e3:.3g} ms"
        )
        planned = missing_checks(chosen, checks)
        source = clone.source()
        for each in dict(planned):
            clone.plant(each.branch, planted_source(source, each, calibration))
        for num, (each, turn) in enumerate(planned[: chosen.most]):
            if time.monotonic() >= deadline_s:
                break
            typical_s = np.median([one.duration_s for one in checks]) if checks else EXPECTED_S
            num_left = len(planned[: chosen.most]) - num
            console.print(f"{num_left} checks left, about {num_left * typical_s / 60:.0f} min")
            one = check(clone.folder, clone.base, each, turn, chosen.keys)
            append(chosen.out, asdict(one))
            checks.append(one)
            console.print(
                f"check {turn + 1} of {each.branch}: exit code {one.exit_code}, "
                f"{one.num_runs} runs, {one.duration_s:.0f} s {one.said}"
            )
    report(console, checks)


def resume(chosen: argparse.Namespace) -> tuple[Series, list[Check]] | None:
    """What the file of the series has; None if it does not exist yet.

    Raises:
        ValueError: The file is of another configuration or of other keys.
    """
    if chosen.out is None or not chosen.out.exists() or not chosen.out.stat().st_size:
        return None
    shared, done = read_series(chosen.out)
    if (list(shared.overrides), list(shared.keys)) != (list(OVERRIDES), list(chosen.keys)):
        raise ValueError(
            f"--out {chosen.out}: has checks with {' '.join([*shared.keys, *shared.overrides])}; "
            "name another file"
        )
    return shared, done


def begin(clone: Clone, chosen: argparse.Namespace) -> Series:
    """Measure what all checks of a series share, and begin its file."""
    shared = Series(clone.base, OVERRIDES, list(chosen.keys), clone.calibrate(OVERRIDES))
    append(chosen.out, {**shared._asdict(), "calibration": shared.calibration._asdict()})
    return shared


def report(console: Console, checks: Sequence[Check]) -> None:
    """Print the table, and the smallest slowdown that is found nearly always."""
    console.print(table(checks))
    for kind in ("sleep", "work"):
        smallest = smallest_found([one for one in checks if one.kind == kind])
        if smallest is not None:
            share_found = f"at least {FOUND_FRAC:.0%} of checks"
            console.print(f"{kind}: {smallest:.0%} and more are found in {share_found}")


def smallest_found(checks: Sequence[Check]) -> float | None:
    """The smallest slowdown from which on all are named in nearly all checks; None if none is."""
    smallest = None
    for slowdown_frac in sorted({one.slowdown_frac for one in checks}, reverse=True):
        ended = [one for one in checks if one.slowdown_frac == slowdown_frac]
        named = [one.rows.get(PLANTED_METRIC, {}).get("verdict") == "regression" for one in ended]
        if sum(named) < FOUND_FRAC * len(named):
            break
        smallest = slowdown_frac
    return smallest


def append(path: Path | None, content: Mapping[str, Any]) -> None:
    """Append a line to a file, where there is one."""
    if path is not None:
        with path.open("a") as file:
            file.write(json.dumps(content) + "\n")
