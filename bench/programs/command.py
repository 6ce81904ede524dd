"""bench.measure: composes the configuration, runs the program, and says what it took."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.cli.app import run_once
from bench.cli.terminal import safe_line, say
from bench.config.measure import COMMAND, MeasureConfig
from bench.core.lock import holding_lock, lock_path
from bench.core.printable import printable
from bench.core.records.run import RunRecord
from bench.core.scales import BYTES, ENERGY, TIME, Scale, quantity
from bench.core.stats.intervals import Estimate, median
from bench.runs.table.columns import shortened

_END = "--"
# As in shells: POSIX, "Exit Status for Commands".
_NOT_EXECUTABLE, _NOT_FOUND = 126, 127
_MOST_CHARACTERS = 50
_EXAMPLE = "python -m bench.measure -- python my_script.py"


def measure_command() -> int:
    """Run bench.measure with its command line; return the exit code of the program."""
    arguments = sys.argv[1:]
    end = arguments.index(_END) if _END in arguments else len(arguments)
    program = arguments[end + 1 :]
    sys.argv[1:] = arguments[:end]
    return run_once("measure", MeasureConfig, partial(_run, program))


def _run(program: Sequence[str], plain: Mapping[str, Any]) -> int:
    """Measure the program as often as is asked for.

    Raises:
        ValueError: There is no program, or a value is wrong.
    """
    config = MeasureConfig.from_dict(plain)
    if not program:
        raise ValueError(f"no program; give it after --, as in {_EXAMPLE}")
    if os.path.isfile(config.results):
        raise ValueError(f"results={config.results}: is a file; name a folder")
    from bench.programs.job import measure_program, require_measurable  # slow to import

    require_measurable(config)
    # The program has standard output for itself.
    console = Console(stderr=True)
    if (code := _why_not(program[0], console)) is not None:
        return code
    records = []
    measure = partial(measure_program, config, plain, program)
    for record in _measured(config, measure, console):
        records.append(record)
        if record.status == "interrupted":
            break
    for line in _summary(records, program):
        say(console, line)
    say(console, f"results: {Path(config.results) / COMMAND}")
    return next((code for record in records if (code := _exit_code(record))), 0)


def _why_not(name: str, console: Console) -> int | None:
    """The exit code of a program that cannot be run, after a message; None if it can."""
    if shutil.which(name) is not None:
        return None
    exists = os.sep in name and os.path.exists(name)
    reason = "cannot be run (it is no program, or you may not run it)" if exists else "not found"
    say(console, f"error: {safe_line(name)}: {reason}")
    return _NOT_EXECUTABLE if exists else _NOT_FOUND


def _measured(
    config: MeasureConfig, measure: Callable[[int | None], RunRecord], console: Console
) -> Iterator[RunRecord]:
    """Make the runs, each alone on this host unless shared=true.

    Args:
        config: How many, and from which repeat on.
        measure: Makes the run of a repeat, or of the first that is free.
        console: Where to say that another run is waited for.
    """
    for num in range(config.runs):
        repeat = None if config.repeat is None else config.repeat + num
        with ExitStack() as stack:
            if not config.shared:
                say_waiting = partial(_say_waiting, console)
                stack.enter_context(holding_lock(lock_path(), "bench.measure", say_waiting))
            yield measure(repeat)


def _say_waiting(console: Console, holder: str) -> None:
    say(
        console,
        f"waiting: another run is being measured on this host ({holder}); shared=true measures at "
        "the same time and flags the run",
    )


def _exit_code(record: RunRecord) -> int:
    assert record.program is not None
    return record.program.exit_code


def _summary(records: Sequence[RunRecord], program: Sequence[str]) -> Iterator[str]:
    """What the runs took: medians of those that ended with exit code 0, else of all."""
    ended_well = [record for record in records if record.status == "ok"]
    counted = ended_well or records
    times = "once" if len(records) == 1 else f"{len(records)} times"
    name = shortened(printable(shlex.join(program)), _MOST_CHARACTERS)
    yield f"measure: {name}, run {times}"
    yield f"time {_text([each.phases.run_s for each in counted], TIME)}"
    cpu_s = [each.program.cpu_time_s for each in counted if each.program]
    yield f"CPU time {_text(cpu_s, TIME)}"
    yield f"energy {_energy(counted)}"
    peaks = [each.utilization.memory_peak_bytes for each in counted if each.utilization]
    yield f"memory, largest seen {_text(peaks, BYTES)}"
    for record in records:
        if record.program is not None and record.program.num_left:
            num = record.program.num_left
            yield f"{record.run_id}: {num} processes that it started still run; they do not count"
        if record.error is not None:
            yield f"{record.run_id}: {record.status}: {record.error.message}"
        elif record.health is not None and not record.health.comparable:
            yield f"{record.run_id}: not comparable: {', '.join(record.health.flags)}"


def _energy(records: Sequence[RunRecord]) -> str:
    if any(row.below_resolution for record in records for row in record.energy):
        return "unknown: the run is too short for the meter"
    text = _text([record.energy_total_j for record in records], ENERGY)
    labels = sorted({record.energy_label for record in records if record.energy_label})
    errors = [record.energy_error_frac for record in records if record.energy_error_frac]
    if not labels or not errors:
        return text
    return f"{text} ({', '.join(labels)}, ±{max(errors):.0%})"


def _text(values: Sequence[float | None], scale: Scale) -> str:
    """The median with its bounds; `unknown` if no run knows it."""
    known = [value for value in values if value is not None]
    if not known:
        return "unknown"
    estimate = median(known)
    text = quantity(estimate.value, scale)
    return f"{text}, {_bounds(estimate, scale)}" if len(known) > 1 else text


def _bounds(estimate: Estimate, scale: Scale) -> str:
    low, high = quantity(estimate.low, scale), quantity(estimate.high, scale)
    return f"95% interval {low} to {high}" if estimate.kind == "interval" else f"{low} to {high}"
