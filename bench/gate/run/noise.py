"""What bench.noise does: rounds of one revision against itself, and what differs, stored."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.cli.terminal import say, shown, wide_console
from bench.config.gate import RUNS_PER_ROUND, NoiseConfig
from bench.core.checks import keys_of
from bench.core.printable import printable
from bench.gate.metrics import metric_named
from bench.gate.model import EXIT_FAILED, EXIT_PASS, EXIT_TOO_LITTLE, GateRun
from bench.gate.run.session import Asked, Revision, Session, Teller, session_command
from bench.gate.settings import require_floors
from bench.gate.sides.noise import NoiseRow, NothingToStore, add_noise, comparable_runs
from bench.gate.words.output import complain
from bench.launch.interleave import Interleaved

SIDES = ("one", "two")  # names of one length: see bench.launch.repository
_HEADINGS = ("configuration", "metric", "n", "spread", "floor", "kind")
_LEGEND = """\
n: runs of this session. spread: coefficient of variation. floor, of all sessions in the file: 95%
of the differences between medians of five runs each are smaller. exact: the same in every run;
demoted: should be, and is not, so that the gate judges it as measured."""


def noise_command() -> int:
    """Run bench.noise with the keys of the command line; its exit code."""
    return session_command("noise", NoiseConfig, keys_of(NoiseConfig), measure_noise)


def measure_noise(plain: Mapping[str, Any], asked: Asked) -> int:
    """Measure a revision against itself and store what differs.

    Args:
        plain: The resolved configuration of bench.noise.
        asked: What the benchmark is given.

    Returns:
        The exit code.

    Raises:
        ValueError: A value is out of range, there is no such revision, or the file is not one of
            noise, or could not be written from the start; the message names the key.
    """
    config = NoiseConfig.from_dict(plain)
    if os.path.exists(config.noise):
        require_floors(config.noise)
    path = Path(config.noise)
    revisions = [Revision(name=name, key="ref", ref=config.ref) for name in SIDES]
    session = Session("noise", config, asked, revisions)
    num_runs = 0

    def work(interleaved: Interleaved, teller: Teller) -> None:
        nonlocal num_runs
        while interleaved.num_runs < config.num_runs:
            interleaved.round()
            num_runs = interleaved.num_runs
            if num_runs == RUNS_PER_ROUND and session.repeats_are_ignored():
                return

    if code := session.measure(work):
        return code
    first, second = (session.side(name) for name in SIDES)
    try:
        rows = add_noise(path, first, second)
    except ValueError as error:
        complain(printable(f"not stored: {error}"))
        say(Console(stderr=True), f"measured: {session.told(num_runs)}")
        return EXIT_TOO_LITTLE if isinstance(error, NothingToStore) else EXIT_FAILED
    remarks = [*session.remarks, *_left_out([*first.runs, *second.runs])]
    _report(rows, session.told(num_runs), remarks, path)
    return EXIT_PASS


def _report(rows: Sequence[NoiseRow], told: str, remarks: Sequence[str], path: Path) -> None:
    console = wide_console()
    console.print(noise_table(rows))
    for line in (_LEGEND, f"measured: {told}", *(f"note: {remark}" for remark in remarks)):
        say(console, line)
    say(console, f"stored: {path}; bench.compare and bench.ab take it with noise={path}")


def _left_out(runs: Sequence[GateRun]) -> list[str]:
    """That some runs did not count, where some did not."""
    num = len(runs) - len(comparable_runs(runs))
    told = f"{num} of {len(runs)} runs left out: not comparable, or not served validly"
    return [told] if num else []


def noise_table(rows: Sequence[NoiseRow]) -> Table:
    """A row for each configuration and metric."""
    table = Table(*_HEADINGS, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for row in rows:
        cells = (
            row.configuration,
            row.metric,
            str(row.num_runs),
            _percent(row.spread_frac),
            _percent(row.floor_frac),
            "demoted" if row.demoted else metric_named(row.metric).kind,
        )
        table.add_row(*(Text(shown(cell)) for cell in cells))
    return table


def _percent(frac: float) -> str:
    """Unsigned, with two significant digits; of a median of 0 there is no share."""
    return f"{100 * frac:.2g}%" if math.isfinite(frac) else "no bound"
