"""Slowdowns planted in the training step of a clone of this repository, for gate_real.py.

- *none*: an empty commit.
- *sleep*: the training step sleeps, so each sample takes longer by the planned share. Short sleeps
  are not precise, so it sleeps only once 2 ms are due, and subtracts what it overslept.
- *work*: the training step repeats its forward pass often enough to take the planned share. The
  time of a forward pass is measured once, from runs that repeat it ten times in each step. This is
  only for networks without dropout and batch norm, in which more passes would change the training.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.gate.sides.read import read_side

Kind = Literal["none", "sleep", "work"]

MODULE = Path("bench/tasks/classifier.py")
STEP = "        return cross_entropy(self(images), labels)\n"
LEAST_SLEEP_S = 0.002
PLANTED_METRIC = "time_per_sample_s"
_NUM_CALIBRATION_RUNS = 5
_NUM_EXTRA_PASSES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """A slowdown of the training step, as a share of its time, evaluations included."""

    kind: Kind
    slowdown_frac: float

    @property
    def branch(self) -> str:
        """Name of the branch in the clone."""
        return f"planted-{self.kind}-{self.slowdown_frac:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Seconds of a training step of the last commit, and of an extra forward pass in it."""

    step_s: float
    pass_s: float


def all_planted(slowdowns_frac: Sequence[float]) -> list[Planted]:
    """Both kinds of each slowdown; an empty commit for 0."""
    kinds: tuple[Kind, ...] = ("sleep", "work")
    return [
        Planted(kind=kind, slowdown_frac=slowdown_frac)
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
            f"{MODULE}: not one line {STEP.strip()!r}: change STEP in benchmarks/gate_planted.py"
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
            self(images)
            self.owed_passes -= 1
"""


class Clone:
    """A clone of this repository, in which slowdowns are committed."""

    def __init__(self, folder: Path) -> None:
        """Clone the last commit of the working directory's repository.

        Raises:
            ValueError: The working directory is not in a repository.
        """
        self.folder = folder
        run(["git", "clone", "--quiet", ".", str(folder)])
        self.base = self.git("rev-parse", "HEAD").strip()

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
