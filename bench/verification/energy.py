"""Recomputes joules from the readings of the meters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, fields

from bench.core.outcome import has_doubtful_joules
from bench.core.records.curve import CurveRow
from bench.core.records.energy import EnergyRow
from bench.core.records.run import RunRecord
from bench.measure.clock import PhaseTimes
from bench.measure.energy import WindowEnergy, energy_between, idle_and_net, per_item
from bench.measure.meter_set import EnergyReading
from bench.measure.meters.base import Component
from bench.measure.phase_energy import INIT, OPEN, START, PhaseBook, unseen
from bench.measure.raw_files import FIRST_QUERY, LAST_ANSWER
from bench.measure.window import IDLE_AFTER, IDLE_BEFORE
from bench.verification.model import Findings
from bench.verification.raw import RawRun, Readings

_ROUNDING_S = 1e-9  # times are stored relative to the start of the clock
_ROUNDING_FRAC = 1e-6  # of the range of a counter, which is stored in microjoules
_NO_FILE = "there is no readings.parquet: an older run, or one that ended before its clock started"


def verify_energy(run: RawRun, found: Findings) -> None:
    """Verify joules by component, their total, by phase, by evaluation and by prediction."""
    record, readings = run.record, run.readings
    _sums(record, found)
    if record.nodes:
        found.cannot("energy", "joules are sums over several nodes")
        return
    if readings is None or readings.at(START) is None or readings.end is None:
        if record.energy:
            found.cannot("energy", _NO_FILE)
        return
    _counters(readings, found)
    whole = _between(readings, readings.at(START), readings.end)
    _rows(record.energy, whole.rows, found)
    doubtful = has_doubtful_joules(record)
    total = WindowEnergy() if doubtful else whole
    found.compare("energy_total_j", record.energy_total_j, total.total_j)
    found.compare("energy_label", record.energy_label, total.label)
    found.compare("energy_error_frac", record.energy_error_frac, total.error_frac)
    _idle(record, readings, total, found)
    book = _booked(run, readings, found)
    # bench.serve has one phase, and no joules by phase.
    if record.phase_energy is not None or not (doubtful or record.command == "serve"):
        _phases(record, readings, book, found)
    _predictions(record, readings, WindowEnergy() if doubtful else whole, found)


def _sums(record: RunRecord, found: Findings) -> None:
    """Sums of what the record itself holds, which need no other file."""
    parts = [row.energy_j for row in record.energy if row.label != "constant"]
    if record.energy_total_j is not None and parts:
        found.compare("energy_total_j (sum of energy[])", record.energy_total_j, math.fsum(parts))
    phases = record.phase_energy
    if record.energy_total_j is not None and phases is not None:
        joules = [getattr(phases, each.name) for each in fields(phases) if each.name[-2:] == "_j"]
        known = [each for each in joules if each is not None]
        total_j = math.fsum(known) - (phases.init_j or 0.0)
        key = "energy_total_j (sum of phase_energy)"
        found.compare(key, record.energy_total_j, total_j, rounding=1e-9 * abs(total_j))


def _between(
    readings: Readings, start: EnergyReading | None, end: EnergyReading | None
) -> WindowEnergy:
    """The energy between two readings, without components that failed later."""
    if start is None or end is None:
        return WindowEnergy()
    kept = {name: one for name, one in end.by_component.items() if name not in readings.failed}
    kept_end = EnergyReading(end.at_s, kept)
    return energy_between(start, kept_end, readings.components, whole=readings.whole)


def _rows(stored: Sequence[EnergyRow], made: Sequence[EnergyRow], found: Findings) -> None:
    names = [row.component for row in stored]
    found.compare("energy[].component", names, [row.component for row in made])
    by_name = {row.component: row for row in made}
    for row in stored:
        if row.component in by_name:
            for each in fields(row):
                key = f"energy[{row.component}].{each.name}"
                value = getattr(by_name[row.component], each.name)
                found.compare(key, getattr(row, each.name), value)


def _counters(readings: Readings, found: Findings) -> None:
    """Verify the joules of each counter by what the counter itself showed, modulo its range."""
    for one in readings.components:
        pairs = [
            (edge.reading.by_component[one.name])
            for edge in readings.edges
            if one.name in edge.reading.by_component
        ]
        if len(pairs) < 2 or pairs[0].shown_j is None or pairs[-1].shown_j is None:
            continue
        key = f"readings[{one.name}].energy_j"
        if pairs[-1].resets > pairs[0].resets:
            found.cannot(key, "the counter was reset, and the joules around it are estimated")
            continue
        energy_j = pairs[-1].energy_j - pairs[0].energy_j
        shown_j = pairs[-1].shown_j - pairs[0].shown_j
        expected = f"{shown_j:g} J by the counter, and whole ranges of it"
        found.require(key, energy_j, _is_explained(one, energy_j - shown_j), expected)


def _is_explained(one: Component, rest_j: float) -> bool:
    """Whether a difference is a whole number of wraps."""
    if one.range_j is None:
        return abs(rest_j) <= 1e-6
    wraps = rest_j / one.range_j
    return wraps > -0.5 and abs(wraps - round(wraps)) <= _ROUNDING_FRAC


def _booked(run: RawRun, readings: Readings, found: Findings) -> PhaseBook:
    """Book the joules between the readings on the phases again; verify evaluations on the way."""
    start = readings.at(START)
    assert start is not None
    book = PhaseBook(readings.phases, start, readings.components, whole=readings.whole)
    edges = [edge for edge in readings.edges if edge.times is not None and edge.mark != START]
    missing = {row.time_s: number for number, row in enumerate(run.curve)}
    for edge in edges:
        assert edge.times is not None
        energy = book.book(edge.reading, edge.times, edge.mark)  # type: ignore[arg-type]  # a phase
        if edge.mark == "eval" and (number := missing.pop(edge.times.total_s, None)) is not None:
            _evaluation(run.curve[number], f"curve[{number}].", edge.times, energy, book, found)
    for time_s, number in missing.items():
        key = f"curve[{number}].time_s"
        if readings.failed:
            found.cannot(key, "a meter failed, and has no reading of that moment")
        else:
            found.require(key, time_s, False, "a time at which the meters were read")
    if run.record.status == "ok" and run.curve:
        # The last reading is that at the end of the clock.
        num = sum(edge.mark == "eval" for edge in edges[:-1])
        found.compare("curve (number of evaluations)", len(run.curve), num)
    return book


def _evaluation(
    row: CurveRow,
    prefix: str,
    times: PhaseTimes,
    energy: WindowEnergy,
    book: PhaseBook,
    found: Findings,
) -> None:
    """Verify times and joules of an evaluation by the reading when it ended."""
    made = {
        "train_time_s": times.of("train"),
        "eval_time_s": times.of("eval"),
        "checkpoint_time_s": times.of("checkpoint"),
        "energy_total_j": energy.total_j,
        "energy_label": energy.label,
        "energy_error_frac": energy.error_frac,
        "eval_energy_j": book.energy_j("eval"),
        "checkpoint_energy_j": book.energy_j("checkpoint"),
    }
    found.compare_all(prefix, row, made)


def _phases(record: RunRecord, readings: Readings, book: PhaseBook, found: Findings) -> None:
    """Verify the joules by phase."""
    stored = record.phase_energy
    if stored is None:
        is_unknown = not book.complete or bool(readings.failed)
        found.require("phase_energy", None, is_unknown, "joules of each phase, by the readings")
        return
    for phase in readings.phases:
        joules, frac = f"{phase}_j", f"{phase}_error_frac"
        found.compare(f"phase_energy.{joules}", getattr(stored, joules), book.energy_j(phase))
        found.compare(f"phase_energy.{frac}", getattr(stored, frac), book.error_frac(phase))
    opened, ended = readings.at(OPEN), readings.at(INIT)
    init = WindowEnergy()
    if opened is not None and ended is not None and not unseen(opened, ended):
        init = energy_between(opened, ended, readings.components, whole=readings.whole)
    found.compare("phase_energy.init_j", stored.init_j, init.total_j)
    found.compare("phase_energy.init_error_frac", stored.init_error_frac, init.error_frac)
    if opened is not None and ended is not None:
        metered_s = None if init.total_j is None else ended.at_s - opened.at_s
        key = "phase_energy.init_metered_s"
        found.compare(key, stored.init_metered_s, metered_s, rounding=_ROUNDING_S)
    too_short = any(row.below_resolution for row in init.rows if row.label != "constant")
    below = ["init"] * too_short + list(book.below_resolution())
    found.compare("phase_energy.below_resolution", stored.below_resolution, below)


def _idle(record: RunRecord, readings: Readings, gross: WindowEnergy, found: Findings) -> None:
    """Verify the power of the idle machine and the net energy."""
    stored = record.idle
    if stored is None:
        return
    edges = [readings.all_at(mark) for mark in (IDLE_BEFORE, IDLE_AFTER)]
    if any(len(pair) != 2 for pair in edges):
        found.cannot("idle", "readings of the idle machine are not kept")
        return
    before, after = (_between(readings, start, end) for start, end in edges)
    length_s = record.phases.wall_time_s or 0.0
    made = idle_and_net(gross, length_s, before, after, stored.each_s)
    found.compare_all("idle.", stored, asdict(made))


def _predictions(
    record: RunRecord, readings: Readings, whole: WindowEnergy, found: Findings
) -> None:
    """Verify the joules of a prediction of bench.serve."""
    serving, answered = record.serving, readings.at(LAST_ANSWER)
    if serving is None:
        return
    if answered is None or not serving.num_predictions:
        if serving.energy_per_prediction_j is not None:
            found.cannot("serving.energy_per_prediction_j", "the probe's readings are not kept")
        return
    energy = _between(readings, readings.at(FIRST_QUERY), answered)
    trusted = {row.component for row in whole.rows}
    rows = [row for row in energy.rows if row.component in trusted and row.label != "constant"]
    if whole.total_j is None or any(row.below_resolution for row in rows):
        energy = WindowEnergy()
    num = serving.num_predictions
    each_j = None if energy.total_j is None else energy.total_j / num
    made = {
        "energy_per_prediction_j": each_j,
        "energy_per_prediction_label": energy.label,
        "energy_per_prediction_error_frac": energy.error_frac,
        "throughput_per_w": num / energy.total_j if energy.total_j else None,
    }
    if serving.output_tokens:
        made["energy_per_output_token_j"] = each_j and each_j / serving.output_tokens
    found.compare_all("serving.", serving, made)
    parts = per_item(rows, num)
    for name in ("component", "energy_j"):
        found.compare(
            f"serving.energy_per_prediction_components[].{name}",
            [getattr(each, name) for each in serving.energy_per_prediction_components],
            [getattr(each, name) for each in parts],
        )
