"""Measures one run of a program, and writes its record."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.config.measure import COMMAND, MeasureConfig
from bench.core.host import host_facts
from bench.core.identity import config_hash
from bench.core.records.phases import PROGRAM_PHASES, Phases
from bench.core.records.program import Program
from bench.core.records.run import RunError, RunRecord, Status
from bench.core.store import create_run_folder, new_identity, write_record
from bench.launch.stopping import signal_name, stop_reason
from bench.measure.health import without_gap
from bench.measure.raw_files import write_raw
from bench.measure.run_gpus import num_visible_gpus
from bench.measure.window import Window
from bench.programs.descendants import Descendants
from bench.programs.process import Ended, relaying_signals, run_program
from bench.runs.charges import require_rates
from bench.runs.instruments import build_window, refuse_wrong_meters
from bench.runs.measured import measured_record
from bench.runs.repeats import claim_free_repeat, claim_given_repeat

_SEED = 0  # whatever is random in the program, we do not set it
_PROGRAM = "program"  # the key of the configuration that holds the command line


def require_measurable(config: MeasureConfig) -> None:
    """Refuse prices, a country or meters that a run could not be measured with.

    Raises:
        ValueError: One is wrong, or a required meter is not available; the message names the key.
    """
    require_rates(config)
    # Which GPUs the program will use is not known, so its joules are those of all that it sees.
    num_gpus = num_visible_gpus() if config.meter.required else 0
    refuse_wrong_meters(config.meter, num_gpus=num_gpus)


def measure_program(
    config: MeasureConfig, plain: Mapping[str, Any], arguments: Sequence[str], repeat: int | None
) -> RunRecord:
    """Run a program once and record it in results/measure/.

    Args:
        config: The configuration.
        plain: The same as a dict, for the record.
        arguments: The program and its arguments.
        repeat: Of this run; None for the first that no run has.

    Raises:
        StoreError: The results folder cannot be written.
        MeterUnavailable: A required meter cannot be read.
        OSError: The program cannot be started.
    """
    recorded = {**plain, _PROGRAM: shlex.join(map(_text, arguments))}
    del recorded["runs"]  # how often it is run changes nothing in a run
    results = Path(config.results).absolute()
    identity = new_identity(COMMAND, config_hash(recorded), _SEED, repeat or 0)
    if repeat is None:
        identity = claim_free_repeat(results, identity)
    else:
        claim_given_repeat(results, identity)
    recorded |= {"seed": identity.seed, "repeat": identity.repeat}
    folder = create_run_folder(results, identity, recorded)
    window = build_window(config, lambda: None, phases=PROGRAM_PHASES, of_children=True)
    with relaying_signals() as relay, Descendants() as descendants:
        window.open()
        try:
            window.start()
            try:
                ended = run_program(arguments, _environment(folder), relay)
            finally:
                window.stop()
        finally:
            window.close()
        descendants.count()
    times, energy = window.clock.reading(), window.phases.result
    write_raw(folder, window)
    status, error = _outcome(ended, arguments)
    record = measured_record(
        identity,
        recorded,
        [],
        window,
        host=host_facts(),
        fields=_fields(window, ended, descendants, arguments),
        status=status,
        error=error,
        phases=Phases(run_s=times.of("run"), wall_time_s=times.total_s),
        phase_energy=energy,
    )
    write_record(folder, record)
    return record


def _text(argument: str) -> str:
    r"""An argument as a record can hold it: bytes that are no UTF-8 as `\xff`, for example."""
    return os.fsencode(argument).decode(errors="backslashreplace")


def _environment(folder: Path) -> dict[str, str]:
    """That of this process, with another lock.

    The program may be one of ours. It would wait for the lock that we hold until it ends.
    """
    return {**os.environ, "BENCH_LOCK": str(folder / "lock")}


def _outcome(ended: Ended, arguments: Sequence[str]) -> tuple[Status, RunError | None]:
    name = shlex.join(map(_text, arguments[:1]))
    if ended.exit_code == 0:
        return "ok", None
    if ended.stopped_by is not None:
        return "interrupted", RunError(kind="Stopped", message=stop_reason(ended.stopped_by))
    if ended.ended_by is not None:
        message = f"{name} was ended by {signal_name(ended.ended_by)}"
        return "killed", RunError(kind="killed", message=message)
    message = f"{name} ended with exit code {ended.exit_code}"
    return "failed", RunError(kind="exit_code", message=message)


def _fields(
    window: Window, ended: Ended, descendants: Descendants, arguments: Sequence[str]
) -> dict[str, Any]:
    assert window.health is not None
    program = Program(
        arguments=[_text(each) for each in arguments],
        exit_code=ended.exit_code,
        cpu_time_s=descendants.cpu_time_s,
        num_left=descendants.num_left,
    )
    return {
        "program": program,
        # It may keep all CPUs busy, and then the sampler waits for it.
        "health": without_gap(window.health),
    }
