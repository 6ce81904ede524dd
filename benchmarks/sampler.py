"""What the sampler costs: `python -m benchmarks.sampler [--rounds N] [--seconds S] [--cards N]`.

Runs the sampler's thread at several rates, beside a main thread that sleeps and beside one that
trains a small network on one CPU. It measures the CPU time of a tick, the share of one core, and
the slowdown of the training. The training always has the same number of steps. The rates, and no
sampler at all, take turns in a different order each round. Ratios are of medians over rounds, with
a bootstrap interval that resamples whole rounds. Run it on an idle machine.

A tick costs more beside a training than beside a sleeping thread, because it finds cold caches.

With `--cards 8` it does something else: it asks as many simulated cards, through the real pynvml,
at 2 Hz for `--seconds`, with energy counters and lists of processes as a run does, and shows what
one call of each kind costs. The simulation is Python code in place of the driver. So this shows
what our code and pynvml cost, and not the time that a driver takes for an answer.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import pynvml
import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn.functional import cross_entropy

from bench.core.host import host_facts
from bench.measure.cpu_samples import CgroupSamples, CpuSamples
from bench.measure.gpu_activity import METRICS
from bench.measure.gpu_reader import GpuReader
from bench.measure.meter_set import MeterSet
from bench.measure.meters.base import MeterUnavailable
from bench.measure.meters.nvml import NvmlMeter
from bench.measure.observer import PROCESSES_EVERY_S
from bench.measure.os.cgroup import CgroupReader
from bench.measure.os.system import CpuMeter, ProcessTree
from bench.measure.sampler import Sampler, SamplerReport, Source
from bench.serving.compressed import ratio_of_rounds
from tests.fake_nvml import FakeGpu, FakeNvml

RATES_HZ = (2.0, 10.0, 50.0)
TARGET_RATE_HZ, TARGET_FRAC = 10.0, 0.005  # at most half a percent of one core
CARDS_RATE_HZ = 2.0  # the default of sampler.period_s
SEED = 0
CONFIDENCE = 0.95
BATCH_SIZE, NUM_FEATURES, NUM_HIDDEN, NUM_CLASSES = 32, 64, 256, 10

Work = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One piece of work, with or without the sampler."""

    beside: str
    rate_hz: float | None
    elapsed_s: float
    tick_cost_s: float | None = None
    core_frac: float | None = None
    num_ticks: int = 0


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Medians over rounds at one rate, with the slowdown of the training."""

    beside: str
    rate_hz: float
    tick_cost_s: float
    core_frac: float
    slowdown: tuple[float, float, float] | None = None  # the ratio and its interval
    num_rounds: int


def training(num_steps: int) -> Work:
    """Train a small network for some steps, always on the same data from the same weights."""
    generator = torch.Generator().manual_seed(SEED)
    inputs = torch.randn(BATCH_SIZE, NUM_FEATURES, generator=generator)
    targets = torch.randint(NUM_CLASSES, (BATCH_SIZE,), generator=generator)

    def train() -> None:
        torch.manual_seed(SEED)
        network = nn.Sequential(
            nn.Linear(NUM_FEATURES, NUM_HIDDEN), nn.ReLU(), nn.Linear(NUM_HIDDEN, NUM_CLASSES)
        )
        optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
        for _ in range(num_steps):
            optimizer.zero_grad()
            cross_entropy(network(inputs), targets).backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    return train


def steps_for(seconds: float) -> int:
    """Number of steps that take about that long here, timed after a warm-up."""
    probe_steps = 1000
    work = training(probe_steps)
    work()
    began_s = time.perf_counter()
    work()
    return max(1, round(probe_steps * seconds / (time.perf_counter() - began_s)))


def one_run(beside: str, work: Work, sources: Sequence[Source], rate_hz: float | None) -> Run:
    """Do the work once.

    Raises:
        RuntimeError: The sampler failed.
    """
    sampler = None if rate_hz is None else Sampler(sources, period_s=1 / rate_hz)
    if sampler:
        sampler.start()
    began_s = time.perf_counter()
    work()
    elapsed_s = time.perf_counter() - began_s
    if sampler is None:
        return Run(beside=beside, rate_hz=None, elapsed_s=elapsed_s)
    report = sampler.stop()
    if report.failure is not None:
        raise RuntimeError(f"the sampler failed: {report.failure}")
    return Run(
        beside=beside,
        rate_hz=rate_hz,
        elapsed_s=elapsed_s,
        tick_cost_s=report.tick_cost_s,
        core_frac=report.overhead_frac,
        num_ticks=report.num_ticks,
    )


def measured(
    works: Mapping[str, Work], sources: Sequence[Source], rounds: int, log: Console
) -> list[Run]:
    """Run every work at every rate, in rounds, and the training without a sampler."""
    turns: list[tuple[str, float | None]] = [(name, rate) for name in works for rate in RATES_HZ]
    turns.append(("training", None))
    rng = np.random.default_rng(SEED)
    runs = []
    for turn in range(rounds):
        for index in rng.permutation(len(turns)):
            beside, rate_hz = turns[index]
            runs.append(one_run(beside, works[beside], sources, rate_hz))
        log.print(f"round {turn + 1} of {rounds}")
    return runs


def summary(runs: Sequence[Run], beside: str, rate_hz: float) -> Summary:
    """Medians at one rate, and the slowdown of the training against none without a sampler."""
    chosen = [run for run in runs if run.beside == beside and run.rate_hz == rate_hz]
    slowdown: tuple[float, float, float] | None = None
    if beside == "training":
        alone_s = [run.elapsed_s for run in runs if run.rate_hz is None]
        estimate = ratio_of_rounds(np.array([run.elapsed_s for run in chosen]), np.array(alone_s))
        slowdown = estimate.ratio, estimate.low, estimate.high
    return Summary(
        beside=beside,
        rate_hz=rate_hz,
        tick_cost_s=float(np.median([run.tick_cost_s for run in chosen])),
        core_frac=float(np.median([run.core_frac for run in chosen])),
        slowdown=slowdown,
        num_rounds=len(chosen),
    )


def table(summaries: Sequence[Summary]) -> Table:
    """One row for each rate and work."""
    interval = f"training's time to that without ({CONFIDENCE:.0%} interval)"
    result = Table("beside", "Hz", "us of CPU per tick", "% of one core", interval, "n")
    for one in summaries:
        slowdown = ""
        if one.slowdown is not None:
            slowdown = "{:.4f} ({:.4f} to {:.4f})".format(*one.slowdown)
        result.add_row(
            one.beside,
            f"{one.rate_hz:g}",
            f"{one.tick_cost_s * 1e6:.0f}",
            f"{one.core_frac:.3%}".removesuffix("%"),
            slowdown,
            str(one.num_rounds),
        )
    return result


def verdict(summaries: Sequence[Summary]) -> str:
    """Say whether the goal is met beside every work."""
    worst = max(one.core_frac for one in summaries if one.rate_hz == TARGET_RATE_HZ)
    met = "met" if worst <= TARGET_FRAC else "MISSED"
    return f"target at {TARGET_RATE_HZ:g} Hz, {TARGET_FRAC:.1%} of a core: {met} ({worst:.3%})"


def sources_of(tree: ProcessTree, log: Console) -> list[Source]:
    """Sources of a run without a GPU; prints which are missing."""
    sources: list[Source] = [CpuSamples(CpuMeter(tree), tree)]
    reader = CgroupReader()
    if reader.unavailable is None:
        sources.append(CgroupSamples(reader))
    else:
        log.print(f"without a control group: {reader.unavailable}")
    return sources


def sources_here(log: Console) -> list[Source]:
    """Sources that a run has on this machine at each tick; prints which are missing."""
    sources = sources_of(ProcessTree(), log)
    gpus = GpuReader()
    try:
        gpus.open()
    except MeterUnavailable as error:
        log.print(f"without GPUs: {error}")
    else:
        sources += gpus.sources
    return sources


@contextlib.contextmanager
def simulated_cards(num_cards: int) -> Iterator[None]:
    """Put cards that answer everything in place of the driver; each has a process of ours."""
    started_s = time.perf_counter()

    def energy_j() -> float:
        return 300.0 * (time.perf_counter() - started_s)

    def active_s() -> dict[int, float]:
        now_s = time.perf_counter() - started_s
        return {0: now_s, **{metric: 0.5 * now_s for metric in METRICS.values()}}

    cards = [
        FakeGpu(
            f"GPU-{index}",
            energy_j=energy_j,
            power_w=lambda: 300.0,
            limit_w=700.0,
            temperature_c=60,
            sm_clock_mhz=1800,
            reasons=0,
            pids=[os.getpid()],
            gpm=active_s,
        )
        for index in range(num_cards)
    ]
    with (
        mock.patch.dict("os.environ"),
        mock.patch.object(pynvml, "_nvmlGetFunctionPointer_cache", {}),
        mock.patch.object(pynvml, "nvmlLib", FakeNvml(cards)),
    ):
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        yield


def sample_cards(num_cards: int, seconds: float, log: Console) -> SamplerReport:
    """Run the sampler as a run does, beside a main thread that sleeps.

    Raises:
        RuntimeError: The sampler failed.
    """
    with simulated_cards(num_cards):
        tree = ProcessTree()
        gpus = GpuReader(own_pids=tree.pids)
        gpus.open()
        meters = MeterSet({"nvml": NvmlMeter()}, required=True)
        meters.open(gpus.scope)
        sampler = Sampler(
            [*sources_of(tree, log), *gpus.sources],
            seldom=[(PROCESSES_EVERY_S, gpus.processes)],
            period_s=1 / CARDS_RATE_HZ,
            chores=[(meters.tick_s, meters.tick)] if meters.tick_s else (),
        )
        sampler.start()
        time.sleep(seconds)
        report = sampler.stop()
        meters.close()
        gpus.close()
    if report.failure is not None:
        raise RuntimeError(f"the sampler failed: {report.failure}")
    return report


def cards_table(report: SamplerReport) -> Table:
    """One row for each kind of call, for all cards together."""
    result = Table("call, to all cards", "calls", "us of CPU", "us elapsed")
    for kind, cost in report.call_costs.items():
        each = [f"{1e6 * total_s / cost.num_calls:.0f}" for total_s in (cost.cpu_s, cost.elapsed_s)]
        result.add_row(kind, str(cost.num_calls), *each)
    return result


def cards_verdict(report: SamplerReport, num_cards: int) -> str:
    """Say whether the goal is met."""
    frac = report.overhead_frac or 0.0
    met = "met" if frac <= TARGET_FRAC else "MISSED"
    return (
        f"{num_cards} simulated cards at {CARDS_RATE_HZ:g} Hz, energy counters included: "
        f"{frac:.3%} of a core, without the driver's own time; "
        f"target {TARGET_FRAC:.1%}: {met}"
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=8, help="at least 2")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each run, about")
    parser.add_argument("--cards", type=int, help="ask so many simulated GPUs instead")
    parser.add_argument("--out", type=Path, help="a JSON file for raw runs and medians")
    chosen = parser.parse_args()
    if chosen.rounds < 2:
        parser.error(f"--rounds {chosen.rounds}: an interval needs at least 2")
    if not chosen.seconds >= 1:
        parser.error(f"--seconds {chosen.seconds:g}: fewer than 1 has no second tick at 2 Hz")
    if chosen.cards is not None and chosen.cards < 1:
        parser.error(f"--cards {chosen.cards}: must be at least 1")
    return chosen


def main() -> None:
    """Measure, print and write."""
    chosen = arguments()
    torch.set_num_threads(1)
    console = Console()
    if chosen.cards is not None:
        report = sample_cards(chosen.cards, chosen.seconds, console)
        console.print(cards_table(report))
        console.print(cards_verdict(report, chosen.cards))
        if chosen.out:
            chosen.out.write_text(json.dumps(asdict(report), indent=2) + "\n")
        return
    sources = sources_here(console)
    num_steps = steps_for(chosen.seconds)
    works: dict[str, Work] = {
        "nothing": lambda: time.sleep(chosen.seconds),
        "training": training(num_steps),
    }
    runs = measured(works, sources, chosen.rounds, console)
    summaries = [summary(runs, beside, rate) for beside in works for rate in RATES_HZ]
    console.print(table(summaries))
    console.print(verdict(summaries))
    if chosen.out:
        result = {
            "host": host_facts(),
            "num_steps": num_steps,
            "confidence": CONFIDENCE,
            "summaries": [asdict(one) for one in summaries],
            "runs": [asdict(run) for run in runs],
        }
        chosen.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
