"""What measuring costs: `python -m benchmarks.overhead [--workload digits|fashion] [--ways ae]`.

Runs the same training five ways: (a) a bare PyTorch loop, (b) PyTorch Lightning without this
project, (c) this project with everything that it measures by default, (d) Lightning with
CodeCarbon's tracker at 1 s, (e) as (c), with trainer.loop=fabric. All have the same initial
weights, batches, number of steps and evaluations, and must end at the same loss.

The ways take turns of a fraction of a second (benchmarks/turns.py). A block is the steps up to an
evaluation, the evaluation, and whatever follows until the next batch is asked for. Each ratio is
shown three times, with a bootstrap interval that resamples whole rounds:

- typical: the median of the ratios of two blocks that followed one another. It leaves out what
  happens in few blocks: disturbances by others, but also ticks of the sampler and of CodeCarbon.
- all: the ratio of the sums. Nothing is left out, so it needs an idle machine and many rounds.
- CPU: the ratio of the sums of the CPU time of all threads. It has the ticks, but not the time in
  which another program was running; several threads also count while they wait actively.

In each round the ways begin anew, in new interpreters, because where things lie in memory changes
with each process, and is worth several percent of a step.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.core.host import host_facts
from benchmarks.markdown import print_table
from benchmarks.ours import ours, ours_with_fabric
from benchmarks.turns import Ended, Pacer, train_in_turns
from benchmarks.ways import SEED, WORKLOADS, Workload, bare, lightning, with_codecarbon

WAYS: dict[str, tuple[str, Callable[[Workload, Pacer], None]]] = {
    "a": ("bare loop", bare),
    "b": ("Lightning", lightning),
    "c": ("this project", ours),
    "d": ("b + CodeCarbon", with_codecarbon),
    "e": ("this project, Fabric", ours_with_fabric),
}
RATIOS = (("b", "a"), ("c", "b"), ("d", "b"), ("e", "a"))
NUM_RESAMPLES = 2000


def ratio_of_neighbours(times: NDArray[Any], base: NDArray[Any]) -> float:
    """Take the median of the ratios of blocks that followed one another, (rounds, blocks)."""
    return float(np.median(times / base))


def ratio_of_sums(times: NDArray[Any], base: NDArray[Any]) -> float:
    """Divide the sum over all blocks by that of the base, (rounds, blocks)."""
    return float(times.sum() / base.sum())


# Whether it is of seconds (0) or of CPU seconds (1), and how it is computed.
STATISTICS: dict[str, tuple[int, Callable[[NDArray[Any], NDArray[Any]], float]]] = {
    "typical": (0, ratio_of_neighbours),
    "all": (0, ratio_of_sums),
    "CPU": (1, ratio_of_sums),
}


class Ratio(NamedTuple):
    """A ratio of two ways, with its 95% interval."""

    ratio: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.ratio:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the ways took.

    Attributes:
        workload: The training.
        times_ms: Milliseconds and CPU milliseconds per step, evaluations included, by way; shape
            (rounds, blocks, 2).
    """

    workload: Workload
    times_ms: dict[str, NDArray[Any]]

    def ratios(self) -> Iterator[tuple[str, str, dict[str, Ratio]]]:
        """Each way with its base, and their ratios by statistic."""
        for way, base in RATIOS:
            if {way, base} <= self.times_ms.keys():
                yield way, base, {name: self._ratio(way, base, name) for name in STATISTICS}

    def _ratio(self, way: str, base: str, statistic: str) -> Ratio:
        column, compute = STATISTICS[statistic]
        times_ms, base_ms = (self.times_ms[key][:, :, column] for key in (way, base))
        rounds = np.random.default_rng(SEED).integers(
            len(times_ms), size=(NUM_RESAMPLES, len(times_ms))
        )
        resampled = [compute(times_ms[each], base_ms[each]) for each in rounds]
        low, high = np.quantile(resampled, (0.025, 0.975))
        return Ratio(compute(times_ms, base_ms), float(low), float(high))


def train(key: str, workload: Workload, pacer: Pacer) -> None:
    """Train in one way, in a process of its own."""
    silence()
    workload.data.setup()
    WAYS[key][1](workload, pacer)


def silence() -> None:
    """Keep what the libraries say off the terminal."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    # It resets its own level, so a level would not hold.
    logging.getLogger("codecarbon").disabled = True
    warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric")
    # They take turns.
    warnings.filterwarnings("ignore", message="another run is being measured")


def measure(workload: Workload, ways: Sequence[str], rounds: int) -> Measured:
    """Train in each way once in each round.

    Raises:
        RuntimeError: A training failed, or the ways did not train the same model.
    """
    rng = np.random.default_rng(SEED)
    turns_per_block = workload.every // workload.turn_steps
    by_round: dict[str, list[NDArray[Any]]] = {key: [] for key in ways}
    for turn in range(rounds):
        times_ms, endings = train_in_turns(
            {key: partial(train, key, workload) for key in ways},
            turn_steps=workload.turn_steps,
            num_turns=turns_per_block * workload.num_evaluations,
            num_threads=workload.num_threads,
            rng=rng,
        )
        _require_same(workload, endings)
        for key, each in times_ms.items():
            # Without the first block, which warms up, and the last, whose end nobody asks for.
            blocks = each[turns_per_block : turns_per_block * (workload.num_evaluations - 1)]
            by_round[key].append(blocks.reshape(-1, turns_per_block, 2).mean(axis=1))
        logging.info("%s: round %d of %d", workload.name, turn + 1, rounds)
    return Measured(
        workload=workload, times_ms={key: np.array(each) for key, each in by_round.items()}
    )


def _require_same(workload: Workload, endings: dict[str, Ended]) -> None:
    first = next(iter(endings.values()))
    for one in endings.values():
        is_same = math.isclose(one.loss, first.loss, rel_tol=1e-3)
        if not is_same or one.num_evaluations != workload.num_evaluations:
            raise RuntimeError(f"{workload.name}: not the same training, they end at {endings}")


def table(measured: Measured) -> Iterator[list[str]]:
    """Milliseconds per step of each way, and the ratios between them."""
    yield [measured.workload.name, "ms/step", "CPU ms/step", *STATISTICS]
    for key, (label, _) in WAYS.items():
        if key in measured.times_ms:
            medians = [f"{each:.4g}" for each in np.median(measured.times_ms[key], axis=(0, 1))]
            yield [f"({key}) {label}", *medians, *[""] * len(STATISTICS)]
    for way, base, ratios in measured.ratios():
        yield [f"({way})/({base})", "", "", *map(str, ratios.values())]


def result_json(measured: Measured) -> dict[str, Any]:
    """Raw times in the order of the rounds, and the ratios computed from them."""
    workload = measured.workload
    return {
        "workload": workload.name,
        "batch_size": workload.batch_size,
        "every_steps": workload.every,
        "turn_steps": workload.turn_steps,
        "num_threads": workload.num_threads,
        "ms_per_step": {key: each[:, :, 0].tolist() for key, each in measured.times_ms.items()},
        "cpu_ms_per_step": {key: each[:, :, 1].tolist() for key, each in measured.times_ms.items()},
        "ratios": [
            {"way": way, "base": base} | {name: one._asdict() for name, one in ratios.items()}
            for way, base, ratios in measured.ratios()
        ],
    }


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workload", choices=WORKLOADS, help="one workload; both by default")
    parser.add_argument("--ways", default="".join(WAYS), help="such as `ae`; all by default")
    parser.add_argument("--rounds", type=int, default=10, help="at least 2")
    parser.add_argument(
        "--evaluations", type=int, help="evaluations per training and round, which set its length"
    )
    parser.add_argument("--out", type=Path, help="a JSON file for raw times and ratios")
    chosen = parser.parse_args()
    if chosen.rounds < 2:
        parser.error(f"--rounds {chosen.rounds}: an interval needs at least 2")
    if chosen.evaluations is not None and chosen.evaluations < 3:
        parser.error(f"--evaluations {chosen.evaluations}: the first and the last are not timed")
    if not chosen.ways or set(chosen.ways) - WAYS.keys():
        parser.error(f"--ways {chosen.ways}: must be letters of {''.join(WAYS)}")
    return chosen


def main() -> None:
    """Measure, print and write."""
    chosen = arguments()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    results = []
    for name in [chosen.workload] if chosen.workload else WORKLOADS:
        workload = WORKLOADS[name]()
        if chosen.evaluations:
            workload = replace(workload, num_evaluations=chosen.evaluations)
        measured = measure(workload, sorted(set(chosen.ways)), chosen.rounds)
        print_table(table(measured))
        results.append(result_json(measured))
    if chosen.out:
        text = json.dumps({"host": host_facts(), "results": results}, indent=2)
        chosen.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
