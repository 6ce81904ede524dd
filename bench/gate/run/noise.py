"""bench.noise: rounds of one revision against itself, and a file of how much they differ."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.cli.terminal import safe_line, say, wide_console
from bench.config.gate import RUNS_PER_ROUND, NoiseConfig
from bench.core.checks import keys_of
from bench.core.files import utc_now
from bench.core.metric import Metric
from bench.core.printable import printable
from bench.gate.metrics import GATE_METRICS
from bench.gate.model import Exit, GateRun, Kind
from bench.gate.report.output import complain
from bench.gate.run.trial import BenchmarkInput, Revision, Trial, TrialLine, trial_command
from bench.gate.settings import require_floors
from bench.gate.sides.configurations import configuration_names
from bench.gate.sides.facts import has_same_joules, host_class
from bench.gate.sides.noise import (
    ConfigurationNoise,
    NoiseFile,
    NoiseSession,
    Values,
    read_noise,
    spread_of,
)
from bench.gate.sides.side import (
    Configuration,
    Side,
    by_configuration,
    describe_seed,
    shared_places,
)
from bench.gate.sides.validation import write_text
from bench.launch.interleave import Interleaved

SIDES = ("one", "two")  # names of one length: see bench.launch.repository
_HEADINGS = ("configuration", "metric", "n", "spread", "floor", "kind")
_LEGEND = """\
n: runs of this session. spread: coefficient of variation. floor, of all sessions in the file: 95%
of the differences between medians of five runs each are smaller. exact: the same in every run;
demoted: should be exact, but differs, and is judged as measured."""


class NothingToStore(ValueError):  # noqa: N818 -- tells what there is not
    """Too few runs of one configuration are comparable, or count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseRow:
    """One metric of one configuration after a session.

    Attributes:
        num_runs: Of this session, both sides.
        spread_frac: Coefficient of variation in this session, from the median absolute deviation;
            of the noisiest seed.
        floor_frac: That the gate will use: of all sessions in the file.
        demoted: An exact metric that differs between runs of one seed.
    """

    configuration: str
    metric: str
    kind: Kind
    num_runs: int
    spread_frac: float
    floor_frac: float
    demoted: bool


def noise_command() -> int:
    """Run bench.noise with the keys of the command line; return its exit code."""
    return trial_command("noise", NoiseConfig, keys_of(NoiseConfig), measure_noise)


def measure_noise(plain: Mapping[str, Any], given: BenchmarkInput) -> int:
    """Measure a revision against itself and store what differs.

    Args:
        plain: The resolved configuration of bench.noise.
        given: What each run of the benchmark gets.

    Returns:
        The exit code.

    Raises:
        ValueError: A value is out of range, there is no such revision, or the file is not one of
            noise, or could not be written from the start; the message names the key.
    """
    config = NoiseConfig.from_dict(plain)
    if os.path.exists(config.noise):
        require_floors(config.noise)
    revisions = [Revision(name=name, key="ref", ref=config.ref) for name in SIDES]
    trial = Trial("noise", config, given, revisions)

    def work(interleaved: Interleaved, _: TrialLine) -> None:
        while interleaved.num_runs < config.num_runs(interleaved.runs_per_server):
            interleaved.round()
            # The user's module ignores repeat=, so further runs would not count either.
            if interleaved.num_runs == RUNS_PER_ROUND and trial.repeats_are_ignored():
                return

    if code := trial.measure(work):
        return code
    return _store(config.noise, trial)


def _store(path: str, trial: Trial) -> int:
    """Add the runs of a trial to the file, and report what was added; the exit code."""
    first, second = (trial.side(name) for name in SIDES)
    try:
        rows = add_noise(Path(path), first, second, runs_per_server=trial.runs_per_server)
    except ValueError as error:
        complain(printable(f"not stored: {error}"))
        say(Console(stderr=True), f"measured: {trial.summary()}")
        return Exit.TOO_LITTLE if isinstance(error, NothingToStore) else Exit.FAILED
    remarks = list(trial.remarks)
    runs = [*first.runs, *second.runs]
    if num := len(runs) - len(_comparable_runs(runs)):
        reason = "not comparable, or not served validly"
        remarks.append(f"{num} of {len(runs)} runs left out: {reason}")
    console = wide_console()
    console.print(noise_table(rows))
    measured = f"measured: {trial.summary()}"
    for line in (_LEGEND, measured, *(f"note: {remark}" for remark in remarks)):
        say(console, line)
    say(console, f"stored: {path}; bench.compare and bench.ab take it with noise={path}")
    return Exit.PASS


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
            "demoted" if row.demoted else row.kind,
        )
        table.add_row(*(Text(safe_line(cell)) for cell in cells))
    return table


def _percent(frac: float) -> str:
    """Unsigned, with two significant digits; of a median of 0 there is no share."""
    return f"{100 * frac:.2g}%" if math.isfinite(frac) else "no bound"


def add_noise(path: Path, first: Side, second: Side, *, runs_per_server: int = 1) -> list[NoiseRow]:
    """Add the runs of a revision against itself to a file, which is created if there is none.

    Runs that are not comparable or served invalidly, misses and modelled joules are left out.

    Args:
        path: Written atomically.
        first: Runs of the revision.
        second: Other runs of the same one.
        runs_per_server: Runs of a side that shared a server, by consecutive repeats. Of measured
            metrics their median is stored, since the gate takes them as one measurement.

    Returns:
        A row for each configuration and metric that both sides have.

    Raises:
        NothingToStore: The sides have no comparable runs of one configuration, or their runs share
            seed and repeat.
        ValueError: A run failed, or the sides are of different kinds of host; or the file is not
            one of noise floors.
    """
    # A failed run leaves its partner alone, and the rest may be of a machine in trouble.
    for side in (first, second):
        if side.problems:
            raise ValueError(f"{side.name}: {side.problems[0].message}")
    noise = read_noise(path) if path.exists() else NoiseFile()
    names = configuration_names([*first.runs, *second.runs])
    rows = []
    for key, runs in _common(first, second).items():
        _require_one_host([*runs[0], *runs[1]])
        measured = ConfigurationNoise(
            command=key[0],
            config_hash=key[1],
            configuration=names[key],
            sessions=_sessions(*runs, utc_now(), runs_per_server),
        )
        # Floors of all sessions, because these are what the gate will use.
        rows += _rows(measured, noise.add(runs[0][0], measured))
    write_text(path, asdict(noise))
    return rows


def _common(first: Side, second: Side) -> dict[Configuration, tuple[list[GateRun], list[GateRun]]]:
    """The comparable runs of each configuration that both sides have.

    Raises:
        NothingToStore: There is none, or the runs of one share seed and repeat.
    """
    groups = [by_configuration(_comparable_runs(side.runs)) for side in (first, second)]
    # In the order of the first side, so that the table has the order of the command line.
    common = [key for key in groups[0] if key in groups[1]]
    if not common:
        raise NothingToStore(
            f"{first.name} and {second.name}: no comparable runs of one configuration on both "
            "sides; measure again, on an idle machine"
        )
    for side in (first, second):
        for key, runs in by_configuration(side.runs).items():
            if key in common and (reason := shared_places(runs)):
                raise NothingToStore(f"{side.name}: {reason}")
    return {key: (groups[0][key], groups[1][key]) for key in common}


def _comparable_runs(runs: Sequence[GateRun]) -> list[GateRun]:
    return [run for run in runs if run.comparable is not False and not run.invalid]


def _require_one_host(runs: Sequence[GateRun]) -> None:
    host = host_class(runs[0].facts)
    for run in runs:
        # A mix of two machines would store their difference as noise.
        if (other := host_class(run.facts)) != host:
            raise ValueError(
                f"{runs[0].run_id} and {run.run_id} are of different kinds of host ({host} / "
                f"{other}); measure noise on one"
            )


def _sessions(
    first: Sequence[GateRun], second: Sequence[GateRun], utc: str, runs_per_server: int
) -> list[NoiseSession]:
    """One for each seed: what differs between seeds is no noise."""
    sessions = []
    for seed in dict.fromkeys(describe_seed(run) for run in (*first, *second)):
        sides = [[run for run in side if describe_seed(run) == seed] for side in (first, second)]
        runs = [run for side in sides for run in side]
        metrics: dict[str, Values] = {}
        for metric in GATE_METRICS:
            values = [_values(metric, side, runs_per_server) for side in sides]
            have = [run for run in runs if metric.name in run.values]
            # Joules of other components differ for a reason, which is no noise.
            if all(values) and has_same_joules(metric, have):
                metrics[metric.name] = Values(first=values[0], second=values[1])
        sessions.append(
            NoiseSession(utc=utc, commit=runs[0].git_commit, seed=seed, metrics=metrics)
        )
    return sessions


def _values(metric: Metric, runs: Sequence[GateRun], runs_per_server: int) -> list[float]:
    """One value per server; of an exact metric one per run, because all of them must agree."""
    per_unit = 1 if metric.kind == "exact" else runs_per_server
    units: dict[int, list[float]] = {}
    for run in runs:
        if metric.name in run.values and metric.name not in run.modelled:
            units.setdefault(run.repeat // per_unit, []).append(run.values[metric.name])
    return [median(values) for values in units.values()]


def _rows(measured: ConfigurationNoise, stored: ConfigurationNoise) -> list[NoiseRow]:
    """A row for each metric of this session, with the floor of all that are stored."""
    return [
        NoiseRow(
            configuration=measured.configuration,
            metric=metric.name,
            kind=metric.kind or "measured",
            num_runs=sum(map(len, values)),
            # Of the noisiest seed, as the floor.
            spread_frac=max(map(spread_of, values)),
            floor_frac=stored.floor_frac(metric.name),
            demoted=stored.is_demoted(metric.name),
        )
        for metric in GATE_METRICS
        if (values := measured.values(metric.name))
    ]
