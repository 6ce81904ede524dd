"""What an edge of a window costs, and whether CodeCarbon delays it: `python -m benchmarks.edges`.

An edge is the start or the end of a window: one reading of the energy meters and one of the clock.
It is read many times, alternately alone and while CodeCarbon's tracker runs. The start and the stop
of the tracker lie outside the window and are timed separately. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.core.host import host_facts
from bench.measure.carbon import CodeCarbonTracker
from bench.measure.energy import EnergyWindow
from bench.measure.meter_set import MeterSet
from bench.measure.meters.auto import auto_meters

EVERY_S = 0.01


def edges_us(window: EnergyWindow, num_edges: int) -> list[float]:
    """Time each edge in microseconds, after a pause in which caches and threads move on."""
    times_us = []
    for _ in range(num_edges):
        time.sleep(EVERY_S)
        start_s = time.perf_counter()
        window.read()
        times_us.append((time.perf_counter() - start_s) * 1e6)
    return times_us


def main() -> None:
    """Measure, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--edges", type=int, default=300, help="edges per round and kind")
    parser.add_argument("--out", type=Path, help="a JSON file for the raw times")
    chosen = parser.parse_args()
    logging.getLogger("codecarbon").disabled = True
    meters = MeterSet(auto_meters())
    meters.open()
    window = EnergyWindow(meters)
    window.start()
    times: dict[str, list[float]] = {"alone": [], "CodeCarbon": [], "its start": [], "its stop": []}
    for _ in range(chosen.rounds):
        times["alone"] += edges_us(window, chosen.edges)
        tracker = CodeCarbonTracker(country_iso_code="USA", measure_period_s=1.0)
        tracker.prepare()
        before_s = time.perf_counter()
        tracker.start()
        times["its start"].append((time.perf_counter() - before_s) * 1e6)
        times["CodeCarbon"] += edges_us(window, chosen.edges)
        before_s = time.perf_counter()
        tracker.stop()
        times["its stop"].append((time.perf_counter() - before_s) * 1e6)
    meters.close()
    table = Table("edges", "n", "median us", "p99 us", "largest us")
    for name, values in times.items():
        middle, high, largest = np.quantile(values, (0.5, 0.99, 1.0))
        table.add_row(name, str(len(values)), f"{middle:.0f}", f"{high:.0f}", f"{largest:.0f}")
    Console().print(table)
    if chosen.out:
        result = {"host": host_facts(), "edges_us": times}
        chosen.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
