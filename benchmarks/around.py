"""What a run costs beside its measured window: `python -m benchmarks.around [--against PATH]`.

Runs two commands: `bench.train -m batch_size=32,256`, and a sweep of the smoke experiment over
seeds. With another checkout, such as that of an earlier revision, both run in turns. It prints how
long each command takes, when its first line appears, and how long a run after the first takes
beside its window, as a whole and by stage. Each figure is a median, with the least and the most.
Run it on an idle machine: it takes 10 to 25 s a command, and 100 runs of the sweep two minutes or
more.

The stages are timed from outside (benchmarks/traced), so they can be those of any revision.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
# The goals: seconds of a run after the first without its window, of the command with two runs, and
# until the first line.
GOALS_S = {"run": 1.5, "command": 9.0, "line": 2.0}
_TWO_RUNS = ["-m", "batch_size=32,256"]

_TRAINING = "Lightning around the window"
_OTHER = "other work of the command"
_LOADER = ("hydra._internal.config_loader_impl", "ConfigLoaderImpl.load_configuration")
# What is timed: a stage, and the function in which it is spent. The time of a stage does not
# include that of the stages inside it.
STAGES = (
    ("compose the configuration", *_LOADER),
    ("plan, folder, ledger", "bench.cli.worker", "Worker._make_job"),
    ("launch and end of the process", "bench.cli.fresh_process", "FreshProcesses.measure"),
    ("read the record, ledger", "bench.cli.worker", "Worker._book"),
    ("configuration, prices, threads", "bench.launch.child", "begin_job"),
    ("meters and sampler", "bench.measure.window", "Window.open"),
    ("CodeCarbon's look at the hardware", "bench.measure.carbon", "CodeCarbonTracker.prepare"),
    ("model and trainer", "bench.training.run_parts", "build_parts"),
    ("data to memory", "bench.tasks.images", "ImageDataModule.setup"),
    ("FLOPs, checks, warm-up", "bench.training.parts", "Parts.prepare"),
    (_TRAINING, "bench.training.parts", "Parts.train"),
    ("garbage collection, start", "bench.measure.phase_window", "PhaseWindow.start"),
    ("end of the window", "bench.measure.phase_window", "PhaseWindow.stop"),
    ("telemetry", "bench.measure.sampler", "write_telemetry"),
    ("evaluations", "bench.training.evaluate", "evaluate"),
    ("probe: latencies", "bench.training.serving_probe", "_Prober.latencies_ms"),
    ("probe: throughput and joules", "bench.training.serving_probe", "probe_serving"),
    ("record", "bench.core.store", "write_record"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call of a function that is a stage, on the host's monotonic clock."""

    stage: str
    pid: int
    began_s: float
    ended_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run after the first: how long it took without its window, and its stages in seconds."""

    around_s: float
    stages_s: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command that was run once."""

    total_s: float
    line_s: float
    runs: list[Run]


def run_command(checkout: Path, arguments: Sequence[str]) -> Command:
    """Run bench.train of a checkout once.

    Raises:
        RuntimeError: It failed; the message has what it printed.
    """
    with tempfile.TemporaryDirectory() as name:
        trace, results = Path(name) / "trace.jsonl", Path(name) / "results"
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(ROOT / "benchmarks/traced"), str(checkout)]),
            "TRACED_FILE": str(trace),
            "TRACED_STAGES": json.dumps(STAGES),
        }
        command = [sys.executable, "-m", "bench.train", *arguments, f"results={results}"]
        began_s = time.monotonic()
        with subprocess.Popen(
            command,
            cwd=checkout,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            line_s = time.monotonic() - began_s
            rest = process.stdout.read()
        total_s = time.monotonic() - began_s
        if process.returncode:
            raise RuntimeError(
                f"{' '.join(command)}: exit code {process.returncode}\n{first}{rest}"
            )
        calls = [Call(**json.loads(line)) for line in trace.read_text().splitlines()]
        return Command(total_s=total_s, line_s=line_s, runs=runs_of(calls, windows_s(results)))


def windows_s(results: Path) -> list[float]:
    """Lengths of the measured windows, in the order of the runs."""
    records = [json.loads(path.read_text()) for path in results.glob("train/*/run.json")]
    records.sort(key=lambda record: record["run_id"])
    return [record["phases"]["wall_time_s"] for record in records]


def runs_of(calls: Iterable[Call], windows: Sequence[float]) -> list[Run]:
    """Divide the calls among the runs after the first.

    Args:
        calls: All calls of a command.
        windows: Seconds of the window of each run.
    """
    calls = sorted(calls, key=lambda call: call.began_s)
    ends_s = [call.ended_s for call in calls if call.stage == "plan, folder, ledger"]
    runs = []
    spans = itertools.pairwise(ends_s)
    for (began_s, ended_s), window_s in zip(spans, windows[1:], strict=True):
        mine = [call for call in calls if began_s <= call.began_s and call.ended_s <= ended_s]
        stages_s = own_times_s(mine)
        stages_s[_TRAINING] = stages_s.get(_TRAINING, 0.0) - window_s
        around_s = ended_s - began_s - window_s
        stages_s[_OTHER] = around_s - sum(stages_s.values())
        runs.append(Run(around_s=around_s, stages_s=stages_s))
    return runs


def own_times_s(calls: Sequence[Call]) -> dict[str, float]:
    """The time of each stage, without that of the calls within its own.

    A job's process is within the call that launched it.
    """
    times_s: dict[str, float] = defaultdict(float)
    open_calls: list[Call] = []
    for call in sorted(calls, key=lambda each: (each.began_s, -each.ended_s)):
        while open_calls and open_calls[-1].ended_s <= call.began_s:
            open_calls.pop()
        if open_calls:
            times_s[open_calls[-1].stage] -= call.ended_s - call.began_s
        times_s[call.stage] += call.ended_s - call.began_s
        open_calls.append(call)
    return dict(times_s)


def spread(values: Sequence[float]) -> str:
    """The median, with the least and the most."""
    if not values:
        return "-"
    low, high = min(values), max(values)
    return f"{statistics.median(values):.3f} ({low:.3f} to {high:.3f})"


def table(title: str, measured: dict[str, list[Command]]) -> Table:
    """Make the table of a command: a column for each checkout."""
    shown = Table("seconds", *measured, title=title)

    def row(name: str, values: Any) -> None:
        shown.add_row(name, *(spread(values(commands)) for commands in measured.values()))

    row("whole command", lambda commands: [one.total_s for one in commands])
    row("first line", lambda commands: [one.line_s for one in commands])
    row(
        "a run after the first, without its window",
        lambda commands: [run.around_s for one in commands for run in one.runs],
    )
    for stage in [*dict.fromkeys(stage for stage, *_ in STAGES), _OTHER]:
        row(
            f"  {stage}",
            lambda commands, stage=stage: [
                run.stages_s.get(stage, 0.0) for one in commands for run in one.runs
            ],
        )
    return shown


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, help="another checkout, to run in turns with this")
    parser.add_argument("--rounds", type=int, default=3, help="of each command")
    parser.add_argument("--runs", type=int, default=6, help="of the sweep of the smoke experiment")
    options = parser.parse_args()
    checkouts = {"this checkout": ROOT}
    if options.against is not None:
        checkouts = {str(options.against): options.against.resolve()} | checkouts
    seeds = ",".join(map(str, range(options.runs)))
    for arguments in (_TWO_RUNS, ["-m", "experiment=smoke", f"seed={seeds}"]):
        measured: dict[str, list[Command]] = {name: [] for name in checkouts}
        for turn in range(options.rounds):
            order = list(checkouts.items())
            for name, checkout in order if turn % 2 == 0 else reversed(order):
                measured[name].append(run_command(checkout, arguments))
        Console(width=120).print(table(f"bench.train {' '.join(arguments)}", measured))
        ours = measured["this checkout"]
        around_s = statistics.median(run.around_s for one in ours for run in one.runs)
        line_s = statistics.median(one.line_s for one in ours)
        total_s = statistics.median(one.total_s for one in ours)
        goals = [("a run", around_s, GOALS_S["run"]), ("the first line", line_s, GOALS_S["line"])]
        if arguments == _TWO_RUNS:
            goals.append(("the command", total_s, GOALS_S["command"]))
        for name, found_s, goal_s in goals:
            verdict = "met" if found_s <= goal_s else "MISSED"
            print(f"{name}: {found_s:.2f} s, goal at most {goal_s:g} s: {verdict}", flush=True)


if __name__ == "__main__":
    main()
