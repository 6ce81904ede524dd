"""What measuring costs: `python benchmarks/overhead.py [--workload digits|fashion] [--rounds N]`.

Runs the same training five ways, in turns, in one process: (a) a bare PyTorch loop, (b) PyTorch
Lightning without this project, (c) this project with everything that it measures by default,
(d) Lightning with CodeCarbon's tracker at 1 s, (e) as (c), with trainer.loop=fabric. All have the
same initial weights, batches, number of steps and evaluations, and must end at the same loss.

The time runs from the request for the first batch to the end of the last evaluation. Ratios are of
medians over rounds, with a bootstrap interval that resamples whole rounds. Run it on an idle
machine.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import math
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from bench.core.host import host_facts
from bench.serving.compressed import ratio_of_rounds
from benchmarks.ours import ours, ours_with_fabric
from benchmarks.ways import (
    SEED,
    WORKLOADS,
    Stopwatch,
    Workload,
    bare,
    lightning,
    with_codecarbon,
)

WAYS: dict[str, tuple[str, Callable[[Workload, Stopwatch], None]]] = {
    "a": ("bare loop", bare),
    "b": ("Lightning", lightning),
    "c": ("this project", ours),
    "d": ("b + CodeCarbon", with_codecarbon),
    "e": ("this project, Fabric", ours_with_fabric),
}
RATIOS = (("b", "a"), ("c", "b"), ("d", "b"), ("e", "a"))
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """Ratio of two ways' medians, with its interval over rounds."""

    way: str
    base: str
    ratio: float
    low: float
    high: float
    num_rounds: int


def timed_ms_per_step(
    way: Callable[[Workload, Stopwatch], None], workload: Workload
) -> tuple[float, float]:
    """Milliseconds per step, evaluations included, and the last validation loss in nats.

    Raises:
        RuntimeError: The number of evaluations is wrong.
    """
    watch = Stopwatch()
    gc.collect()  # so that garbage of an earlier run is not collected on this run's time
    way(workload, watch)
    if watch.num_evaluations != workload.num_evaluations:
        raise RuntimeError(f"{way.__name__}: {watch.num_evaluations} evaluations")
    return watch.elapsed_s / workload.num_steps * 1e3, watch.loss


def measured(workload: Workload, rounds: int, log: Console) -> dict[str, list[float]]:
    """Measure each way once in each round, in milliseconds per step.

    The order is different in each round, so that no way always follows the same other way.

    Raises:
        RuntimeError: The ways did not train the same model.
    """
    losses = {key: timed_ms_per_step(way, workload)[1] for key, (_, way) in WAYS.items()}
    if not all(math.isclose(loss, losses["a"], rel_tol=1e-3) for loss in losses.values()):
        raise RuntimeError(f"{workload.name}: not the same training, losses end at {losses}")
    times_ms: dict[str, list[float]] = {key: [] for key in WAYS}
    rng = np.random.default_rng(SEED)
    for turn in range(rounds):
        for key in rng.permutation(list(WAYS)).tolist():
            times_ms[key].append(timed_ms_per_step(WAYS[key][1], workload)[0])
        log.print(f"{workload.name}: round {turn + 1} of {rounds}")
    return times_ms


def ratio(way: str, base: str, times_ms: dict[str, list[float]]) -> Ratio:
    """Ratio of medians with a percentile bootstrap interval that resamples whole rounds.

    Args:
        way: Key of the numerator.
        base: Key of the denominator.
        times_ms: Milliseconds per step by way, each of shape (rounds,), rounds >= 2.
    """
    estimate = ratio_of_rounds(np.array(times_ms[way]), np.array(times_ms[base]))
    return Ratio(
        way=way,
        base=base,
        ratio=estimate.ratio,
        low=estimate.low,
        high=estimate.high,
        num_rounds=estimate.num_rounds,
    )


def table(workload: Workload, times_ms: dict[str, list[float]], ratios: list[Ratio]) -> Table:
    """Milliseconds per step of each way, and the ratios between them."""
    title = f"{workload.name}: {workload.num_steps} steps, {workload.num_evaluations} evaluations"
    interval = f"ratio ({CONFIDENCE:.0%} interval)"
    result = Table("", "ms/step (quartiles)", "to", interval, "n", title=title)
    by_way = {one.way: one for one in ratios}
    for key, (label, _) in WAYS.items():
        low, middle, high = np.quantile(times_ms[key], (0.25, 0.5, 0.75))
        cells = [f"{key} {label}", f"{middle:.3g} ({low:.3g} to {high:.3g})", "", ""]
        if key in by_way:
            one = by_way[key]
            cells[2:] = [one.base, f"{one.ratio:.3f} ({one.low:.3f} to {one.high:.3f})"]
        result.add_row(*cells, str(len(times_ms[key])))
    return result


def result_json(
    workload: Workload, times_ms: dict[str, list[float]], ratios: list[Ratio]
) -> dict[str, Any]:
    """Raw times in the order of the rounds, and the ratios computed from them."""
    return {
        "workload": workload.name,
        "batch_size": workload.batch_size,
        "num_steps": workload.num_steps,
        "num_evaluations": workload.num_evaluations,
        "num_threads": torch.get_num_threads(),
        "ms_per_step": {WAYS[key][0]: values for key, values in times_ms.items()},
        "confidence": CONFIDENCE,
        "ratios": [
            {**asdict(one), "way": WAYS[one.way][0], "base": WAYS[one.base][0]} for one in ratios
        ],
    }


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workload", choices=WORKLOADS, help="one workload; both by default")
    parser.add_argument("--rounds", type=int, default=40, help="at least 2")
    parser.add_argument(
        "--evaluations", type=int, help="evaluations per training, which sets its length"
    )
    parser.add_argument("--out", type=Path, help="a JSON file for raw times and ratios")
    chosen = parser.parse_args()
    if chosen.rounds < 2:
        parser.error(f"--rounds {chosen.rounds}: an interval needs at least 2")
    if chosen.evaluations is not None and chosen.evaluations < 1:
        parser.error(f"--evaluations {chosen.evaluations}: must be at least 1")
    return chosen


def main() -> None:
    """Measure, print and write."""
    chosen = arguments()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    logging.getLogger(
        "codecarbon"
    ).disabled = True  # it resets its own level, so a level would not hold
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    console = Console()
    results = []
    all_threads = torch.get_num_threads()
    for name in [chosen.workload] if chosen.workload else WORKLOADS:
        workload = WORKLOADS[name]()
        workload.data.setup()
        torch.set_num_threads(workload.num_threads or all_threads)
        if chosen.evaluations:
            workload = replace(workload, num_evaluations=chosen.evaluations)
        times_ms = measured(workload, chosen.rounds, console)
        ratios = [ratio(way, base, times_ms) for way, base in RATIOS]
        console.print(table(workload, times_ms, ratios))
        results.append(result_json(workload, times_ms, ratios))
    if chosen.out:
        text = json.dumps({"host": host_facts(), "results": results}, indent=2)
        chosen.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
