"""What loading many runs costs: `python -m benchmarks.analysis_scale [--runs 100 1000 10000]`.

Makes that many synthetic run folders, with curves and telemetry. A fresh process then loads them,
cold (the records out of the page cache) and warm. After that come the tables, the whole report, and
the command as a user runs it, imports included; `--against FOLDER` runs that of another checkout in
turn with it, and prints the ratio of the medians.

Other times exclude imports. Memory is the peak of the process, less what it held after its imports.
The goal is 10 s cold for 10,000 runs: above it, loading would need a cache. Run it on an idle
machine; making 10,000 folders takes a minute and 2 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.table import Table

from analysis.load.runs import load_runs
from analysis.page.produce import report
from analysis.stats.search_cost import search_cost
from analysis.stats.summary import summarise
from analysis.tables.tables import summary_tables, write_tables
from bench.config.report import ReportConfig
from bench.core.host import host_facts
from tests.analysis.made import Made, make_sweep

TARGET_COLD_S, TARGET_RUNS = 10.0, 10_000
SIZES = (100, 1000, 10_000)
HERE = Path(__file__).resolve().parents[1]
# 2 models x 5 batch sizes x 2 learning rates; seeds fill up to the number of runs.
MODELS, BATCH_SIZES, LRS = ("Mlp", "Cnn"), (16, 32, 64, 128, 256), (0.01, 0.1)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Cost of one step in a process of its own."""

    num_runs: int
    step: str
    elapsed_s: float
    memory_mb: float


@dataclass(frozen=True, kw_only=True)
class Command:
    """Times of the whole command of one checkout, one for each round."""

    num_runs: int
    tree: str
    elapsed_s: list[float]


def load(results: Path) -> None:
    """Load all runs into a frame."""
    load_runs([results])


def tables(results: Path) -> None:
    """Load the runs, compute all statistics and write all tables."""
    with tempfile.TemporaryDirectory() as folder:
        runs = load_runs([results]).runs
        summary, costs = summarise(runs), search_cost(runs)
        write_tables(summary_tables(summary, costs, runs), summary, costs, Path(folder))


def whole_report(results: Path) -> None:
    """Load the runs; write all tables, figures (every format and width) and the page."""
    with tempfile.TemporaryDirectory() as folder:
        config = ReportConfig(results=str(results), out=folder)
        with redirect_stdout(
            StringIO()
        ):  # its text is for people; this process prints numbers only
            report(load_runs([results]), config)


STEPS: dict[str, Callable[[Path], None]] = {
    "load": load,
    "tables": tables,
    "report": whole_report,
}


def measure(step: str, results: Path) -> None:
    """Run the step in the child process and print its cost."""
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    STEPS[step](results)
    elapsed_s = time.perf_counter() - started
    after_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"elapsed_s": elapsed_s, "memory_mb": (after_kb - before_kb) / 1024}))


def in_child(step: str, results: Path, num_runs: int, name: str) -> Cost:
    """Run a step in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.analysis_scale", "--measure", step, str(results)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Cost(num_runs=num_runs, step=name, **json.loads(done.stdout))


def commands(
    results: Path, num_runs: int, trees: Sequence[Path], *, rounds: int, figures: str
) -> list[Command]:
    """Run the command of each checkout in turn, in several rounds."""
    times: dict[Path, list[float]] = {tree: [] for tree in trees}
    for _ in range(rounds):
        for tree in trees:
            times[tree].append(command_s(results, tree, figures))
    return [Command(num_runs=num_runs, tree=str(tree), elapsed_s=times[tree]) for tree in trees]


def command_s(results: Path, tree: Path, figures: str) -> float:
    """Time `python -m analysis.report` of a checkout in a fresh process."""
    with tempfile.TemporaryDirectory() as out:
        words = [sys.executable, "-m", "analysis.report", f"results={results}", f"out={out}"]
        words.append(f"figures={figures}")
        environment = {**os.environ, "PYTHONPATH": str(tree)}
        started = time.perf_counter()
        subprocess.run(words, check=True, capture_output=True, cwd=tree, env=environment)
        return time.perf_counter() - started


def commands_words(measured: Sequence[Command]) -> list[str]:
    """Say what the commands took: ours is the first of each number of runs, then the ratio."""
    lines, ours_s = [], float("nan")
    for one in measured:
        median_s = statistics.median(one.elapsed_s)
        words = f"{one.num_runs} runs: the whole command in {one.tree}: {median_s:.3g} s"
        if one.tree == str(HERE):
            ours_s = median_s
        else:
            words += f"; this checkout takes {ours_s / median_s:.2f} times that"
        lines.append(words)
    return lines


def make(results: Path, num_runs: int) -> list[Path]:
    """Make runs, in whole configurations; every tenth misses, fails or is not comparable."""
    num_configurations = len(MODELS) * len(BATCH_SIZES) * len(LRS)
    seeds = range(-(-num_runs // num_configurations))
    return make_sweep(
        results,
        batch_sizes=BATCH_SIZES,
        lrs=LRS,
        models=MODELS,
        seeds=seeds,
        base=Made(max_samples=20_000),
        missed=range(0, num_runs, 10),
        failed=range(5, num_runs, 50),
        unhealthy=range(7, num_runs, 10),
    )


def forget(folders: Sequence[Path]) -> None:
    """Drop the records from the page cache; names and inodes stay in memory."""
    for folder in folders:
        file = os.open(folder / "run.json", os.O_RDONLY)
        try:
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(file)


def costs_of(folders: Sequence[Path], results: Path) -> list[Cost]:
    """Measure every step."""
    forget(folders)
    num = len(folders)
    loading = [in_child("load", results, num, "load, cold"), in_child("load", results, num, "warm")]
    rest = [step for step in STEPS if step != "load"]
    return loading + [in_child(step, results, num, f"load and {step}, warm") for step in rest]


def table(costs: Sequence[Cost]) -> Table:
    """Cost of each step, in all and per run."""
    shown = Table("runs", "step", "s", "us per run", "memory MB", title="Loading")
    for cost in costs:
        each_us = 1e6 * cost.elapsed_s / cost.num_runs
        shown.add_row(
            str(cost.num_runs),
            cost.step,
            f"{cost.elapsed_s:.3g}",
            f"{each_us:.0f}",
            f"{cost.memory_mb:.0f}",
        )
    return shown


def verdict(costs: Sequence[Cost]) -> str:
    """Say whether the goal was met."""
    largest = {cost.step: cost for cost in costs if cost.num_runs >= TARGET_RUNS}
    if not largest:
        return f"the target is for {TARGET_RUNS} runs"
    elapsed_s = largest["load, cold"].elapsed_s
    within = "within" if elapsed_s <= TARGET_COLD_S else "over"
    return f"load, cold: {elapsed_s:.1f} s, {within} {TARGET_COLD_S:g} s"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, nargs="+", default=SIZES, help="how many runs")
    parser.add_argument("--against", type=Path, help="a checkout whose command runs in turn")
    parser.add_argument("--rounds", type=int, default=3, help="of the whole command")
    parser.add_argument("--command-only", action="store_true", help="leave out the single steps")
    # All was the default when the first versions were timed.
    parser.add_argument("--figures", default="all", help="figures of the whole command")
    parser.add_argument("--out", type=Path, help="a JSON file for what was measured")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure, print and write."""
    chosen = arguments()
    if chosen.measure:
        measure(chosen.measure[0], Path(chosen.measure[1]))
        return
    console = Console()
    costs: list[Cost] = []
    measured: list[Command] = []
    trees = [HERE, *([chosen.against.resolve()] if chosen.against else [])]
    for num_runs in chosen.runs:
        with tempfile.TemporaryDirectory() as folder:
            results = Path(folder) / "results"
            folders = make(results, num_runs)
            console.print(f"made {len(folders)} runs")
            costs += [] if chosen.command_only else costs_of(folders, results)
            measured += commands(
                results, len(folders), trees, rounds=chosen.rounds, figures=chosen.figures
            )
    if costs:
        console.print(table(costs))
        console.print(verdict(costs))
    console.print("\n".join(commands_words(measured)), soft_wrap=True)
    if chosen.out:
        both = {"costs": [asdict(each) for each in costs], "commands": [*map(asdict, measured)]}
        chosen.out.write_text(json.dumps({"host": host_facts(), **both}, indent=2) + "\n")


if __name__ == "__main__":
    main()
