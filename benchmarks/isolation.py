"""What a fresh process per job costs: `python benchmarks/isolation.py [--rounds N]`.

Times how long it takes from the parent's call to the first line of the job's own code, with torch
and Lightning imported: (a) for a child of the fork server, (b) for a spawned process, alternately.
The first child of the fork server also pays for the server's imports, so it has a row of its own.
Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.launch.isolation import ForkServer

PRELOAD = ["bench.training.job"]


def job(argument: None, send: Callable[[float], None], launched_s: float) -> None:
    """Import what a training run needs, compute something, and send the seconds that passed."""
    import torch

    import bench.training.job  # noqa: F401

    torch.ones(2).sum().item()
    send(time.monotonic() - launched_s)


def forked_s(server: ForkServer) -> float:
    """Seconds until a child of the fork server works."""
    heard: list[Any] = []
    log = Path(tempfile.gettempdir()) / "isolation-benchmark.log"
    server.run("benchmarks.isolation:job", None, log=log, on_message=heard.append)
    return float(heard[0])


def spawned_s() -> float:
    """Seconds until a spawned process works."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_spawned, args=(sender, time.monotonic()))
    process.start()
    answer = float(receiver.recv())
    process.join()
    return answer


def _spawned(sender: Any, launched_s: float) -> None:
    job(None, sender.send, launched_s)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    server = ForkServer(preload=PRELOAD)
    first_s = forked_s(server)
    pairs = [(forked_s(server), spawned_s()) for _ in range(rounds)]
    table = Table("process", "median s", "min s", "max s", "n")
    table.add_row("fork server, first", f"{first_s:.3f}", "", "", "1")
    for name, times in zip(
        ("fork server, later", "spawned"), zip(*pairs, strict=True), strict=True
    ):
        low, mid, high = min(times), statistics.median(times), max(times)
        table.add_row(name, f"{mid:.3f}", f"{low:.3f}", f"{high:.3f}", str(rounds))
    Console().print(table)


if __name__ == "__main__":
    main()
