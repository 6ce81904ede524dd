"""What a large sweep costs its command: `python -m benchmarks.sweep_scale [--jobs 2000]`.

A real `bench.train -m` plans that many jobs and writes its plan. Its launcher measures nothing: it
leaves the notes and the run folders that the processes of a cluster would leave. The command
gathers them, writes sweep.csv and prints the table. The same command with resume=true, in another
process, then finds every run finished.

There are two shapes: as many configurations as jobs, and one configuration with as many seeds. The
goals are 5 s for gathering 2,000 records, and 500 MB at the peak of the process. Time is CPU time,
so that neighbours matter little; a slow disk or a network file system adds its own.
"""

from __future__ import annotations

import argparse
import functools
import io
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from rich.console import Console
from rich.table import Table

from bench import train
from bench.cli import sweep
from bench.cli.gather import Gathering
from bench.core.host import host_facts
from bench.core.process import Process
from bench.core.store import CurveWriter, create_run_folder, new_identity, write_record
from bench.core.sweep_folder import JobNote, JobRun, RunKey, SweepFolder
from bench.training.plan import plan_training
from tests.analysis.made_records import Made, curve_of, record_of

GATHERING, PLANNING = "gather the records", "all else: plan the jobs, find finished runs"
WHOLE, PEAK = "the whole command", "peak of the memory"
MOST_CPU_S, MOST_MB, GOAL_JOBS = 5.0, 500.0, 2000
SHAPES: dict[str, Callable[[int], str]] = {
    "configurations": lambda num: "lr=" + ",".join(f"{1 / (2 + each):.6f}" for each in range(num)),
    "seeds": lambda num: f"seed=range({num})",
}
LAUNCHER = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
COMMON = ("experiment=smoke", "codecarbon=none")


@dataclass(kw_only=True)
class Cost:
    """What a command cost its process.

    Attributes:
        shape: The shape of the sweep.
        command: `first` or `resume`.
        num_jobs: Number of jobs of the sweep.
        num_launched: Number of those that were launched.
        cpu_s: CPU seconds by step.
        peak_mb: Peak of the memory of the process.
    """

    shape: str
    command: str
    num_jobs: int
    num_launched: int = 0
    cpu_s: dict[str, float] = field(default_factory=dict)
    peak_mb: float = 0.0

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Add the CPU time of the block to a step."""
        began_s = time.process_time()
        try:
            yield
        finally:
            self.cpu_s[step] = self.cpu_s.get(step, 0.0) + time.process_time() - began_s


def made_launch(cost: Cost) -> Callable[..., Sequence[JobReturn]]:
    """The launch of a launcher that leaves what a cluster would leave, and measures nothing."""

    def launch(
        launcher: BasicLauncher, overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        cost.num_launched += len(overrides)
        # In another process, so that only what the command itself needs is measured.
        maker = multiprocessing.get_context("fork").Process(target=make_jobs, args=(launcher,))
        maker.start()
        maker.join()
        return []

    return launch


def make_jobs(launcher: BasicLauncher) -> None:
    """Make the runs and the notes of all planned jobs."""
    assert launcher.config is not None
    assert launcher.hydra_context is not None
    folder = SweepFolder(Path(launcher.config.hydra.sweep.dir))
    plan = folder.read_plan()
    assert plan is not None
    (planned,) = plan_training(
        launcher.hydra_context.config_loader.load_sweep_config(
            launcher.config, list(plan.jobs[0].overrides)
        )
    )
    node = replace(Process.current(), host="node1")
    for job in plan.jobs:
        (key,) = job.keys
        config = planned.config | {"seed": key.seed, "lr": 1 / (2 + job.num)}
        run = JobRun(
            folder=str(make_run(Path("results"), config, key, job.num)),
            overrides=job.overrides,
            key=key,
            ended=True,
        )
        folder.write_note(
            JobNote(num=job.num, overrides=job.overrides, process=node, runs=[run], ended=True)
        )


def make_run(results: Path, config: dict[str, Any], key: RunKey, num: int) -> Path:
    """Make the folder of a run, which took a few milliseconds if its record were true.

    Args:
        results: The results folder.
        config: The resolved configuration.
        key: The run.
        num: The number of its job; every tenth run misses its target.
    """
    who = new_identity(key.command, key.config_hash, key.seed, key.repeat)
    folder = create_run_folder(results.absolute(), who, config)
    made = Made(seed=num, max_samples=8_000, outcome="model" if num % 10 else "missed")
    rows = curve_of(made)
    writer = CurveWriter(folder)
    for row in rows:
        writer.append(row)
    writer.close()
    (folder / "log.txt").write_text("")
    write_record(folder, replace(record_of(made, rows, who), config=config, host=host_facts()))
    return folder


def measure(shape: str, command: str, num_jobs: int) -> Cost:
    """Run a command in this process and in this folder, and measure its steps."""
    cost = Cost(shape=shape, command=command, num_jobs=num_jobs)
    parts = [
        (SweepFolder, "write_plan", "write the plan"),
        (Gathering, "gather", GATHERING),
        (sweep, "write_sweep", "write sweep.csv"),
        (sweep, "print_runs", "print the table"),
    ]
    # Hydra imports its plugins itself, as classes of their own.
    launcher = Plugins.instance().class_name_to_class[LAUNCHER]
    resume = ["resume=true"] * (command == "resume")
    sys.argv = ["train.py", "-m", SHAPES[shape](num_jobs), *COMMON, *resume]
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(launcher, "launch", made_launch(cost)))
        for owner, name, step in parts:
            stack.enter_context(mock.patch.object(owner, name, timed(cost, owner, name, step)))
        stack.enter_context(redirect_stdout(io.StringIO()))
        with cost.timed(WHOLE):
            code = train.main()
    assert code == 0, code
    whole_s = cost.cpu_s.pop(WHOLE)
    cost.cpu_s |= {PLANNING: whole_s - sum(cost.cpu_s.values()), WHOLE: whole_s}
    cost.peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return cost


def timed(cost: Cost, owner: Any, name: str, step: str) -> Callable[..., Any]:
    """A function of a class or a module that adds its CPU time to a step."""
    function = getattr(owner, name)

    @functools.wraps(function)
    def measured(*arguments: Any, **options: Any) -> Any:
        with cost.timed(step):
            return function(*arguments, **options)

    return measured


def in_child(shape: str, command: str, num_jobs: int, folder: Path) -> Cost:
    """Measure a command in a fresh process."""
    child = [sys.executable, "-m", "benchmarks.sweep_scale", "--measure", shape, command]
    root = str(Path(__file__).parents[1])
    done = subprocess.run(
        [*child, "--jobs", str(num_jobs)],
        check=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": root},
        stdout=subprocess.PIPE,
        text=True,
    )
    return Cost(**json.loads(done.stdout))


def table(costs: Sequence[Cost]) -> Table:
    """CPU time of each step, and the peak of the memory."""
    shown = Table("shape", "command", "launched", "step", "CPU s", title="A sweep")
    for cost in costs:
        first = (cost.shape, cost.command, str(cost.num_launched))
        for step, cpu_s in cost.cpu_s.items():
            shown.add_row(*first, step, f"{cpu_s:.2f}")
            first = ("", "", "")
        shown.add_row(*first, PEAK, f"{cost.peak_mb:.0f} MB", end_section=True)
    return shown


def verdicts(costs: Sequence[Cost]) -> list[str]:
    """Say for each command whether the goals were met."""
    if any(cost.num_jobs < GOAL_JOBS for cost in costs):
        return [f"the goals are for {GOAL_JOBS} jobs"]
    lines = []
    for cost in costs:
        cpu_s = cost.cpu_s[GATHERING]
        met = "met" if cpu_s <= MOST_CPU_S and cost.peak_mb <= MOST_MB else "MISSED"
        lines.append(
            f"{cost.shape}, {cost.command}: {met}: {cpu_s:.1f} of {MOST_CPU_S:g} s for gathering, "
            f"{cost.peak_mb:.0f} of {MOST_MB:g} MB"
        )
    return lines


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=GOAL_JOBS, help="how many jobs")
    parser.add_argument("--out", type=Path, help="a JSON file for what was measured")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        shape, command = options.measure
        print(json.dumps(asdict(measure(shape, command, options.jobs))))
        return
    costs: list[Cost] = []
    for shape in SHAPES:
        with tempfile.TemporaryDirectory() as folder:
            costs += [
                in_child(shape, command, options.jobs, Path(folder))
                for command in ("first", "resume")
            ]
    console = Console()
    console.print(table(costs))
    for line in verdicts(costs):
        console.print(line)
    if options.out:
        measured = {"host": host_facts(), "costs": [asdict(cost) for cost in costs]}
        options.out.write_text(json.dumps(measured, indent=2) + "\n")


if __name__ == "__main__":
    main()
