"""A training run as lines of MLPerf's log format, for tools that read that.

The store keeps a monotonic clock and one stamp of the wall clock, to the second, from the launch.
time_ms, which is wall-clock time in this format, is that stamp plus the run's own durations: the
distances between lines are those that were measured, their place on the calendar is off by up to a
second. Nothing here makes a run a submission: there are no submission_* lines, and none that claim
a cleared cache.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from analysis.load.find import run_folders
from analysis.load.index import reason_of
from analysis.writing import writing
from bench.core.printable import printable
from bench.core.records.curve import CurveRow
from bench.core.records.run import RunRecord
from bench.core.records.target import TargetResult
from bench.core.store import read_curve, read_record
from bench.core.target import METRICS

TOKEN = ":::MLLOG "
_ABOUT = (
    "# time_ms is reconstructed: the wall clock at launch, to the second, plus durations on the"
    " run's monotonic clock. Not an MLPerf submission."
)
_UNPLACED = (
    "# launch_s and init_s of this run are not known: every time_ms is too early by both, the"
    " distances between lines are right."
)
_NO_ROW = CurveRow(
    time_s=0.0,
    train_time_s=0.0,
    eval_time_s=0.0,
    checkpoint_time_s=0.0,
    samples=0,
    steps=0,
    epochs=0.0,
    energy_total_j=None,
    energy_label=None,
    train_loss=None,
)

EventType = Literal["INTERVAL_START", "INTERVAL_END", "POINT_IN_TIME"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the log."""

    time_ms: int
    key: str
    value: Any
    metadata: dict[str, Any]
    event_type: EventType = "POINT_IN_TIME"

    def line(self) -> str:
        """As MLCommons' parser reads it."""
        fields = {
            "namespace": "",
            "time_ms": self.time_ms,
            "event_type": self.event_type,
            "key": self.key,
            "value": self.value,
            "metadata": self.metadata,
        }
        return TOKEN + json.dumps(fields)


class _Clock:
    """Wall-clock milliseconds of moments on the run's clock."""

    def __init__(self, record: RunRecord) -> None:
        launched = datetime.fromisoformat(record.started_utc.replace("Z", "+00:00"))
        self._init_s = launched.timestamp() + (record.phases.launch_s or 0.0)
        self._zero_s = self._init_s + (record.phases.init_s or 0.0)

    @property
    def init_ms(self) -> int:
        return round(1000 * self._init_s)

    def ms(self, time_s: float) -> int:
        return round(1000 * (self._zero_s + time_s))


def mllog_lines(record: RunRecord, rows: Sequence[CurveRow]) -> list[str]:
    """The log of a training run.

    init_start is the first line in the job's process, init_stop and run_start the start of the
    clock (the training loader is asked for), run_stop the evaluation that met the target, or the
    end of a run that did not. A block lies between two evaluations. status is `success` where the
    target was reached, `aborted` else. Evaluations have the key `eval_accuracy` where the target is
    about accuracy, else `eval_` and the name of its metric.

    Args:
        record: Of bench.train.
        rows: Its evaluations in order.

    Raises:
        ValueError: The run had no target: it is no training. Or no time on its clock is known.

    Source: MLCommons training_policies, "training_rules", and logging, mllog/constants.py.
    """
    if record.target is None:
        raise ValueError(f"{record.run_id}: no target, hence no training; mllog is of trainings")
    events = [
        *_settings(record, rows, _Clock(record)),
        *_evaluations(record.target, rows, _Clock(record)),
        _stop(record, record.target, rows, _Clock(record)),
    ]
    # Each is None alone where a command does not have it; a run that was killed tells neither.
    unplaced = record.phases.launch_s is None and record.phases.init_s is None
    return [_ABOUT, *([_UNPLACED] if unplaced else []), *(event.line() for event in events)]


def _settings(record: RunRecord, rows: Sequence[CurveRow], clock: _Clock) -> Iterator[Event]:
    source = {"file": "run.json", "run_id": record.run_id}
    at_init: dict[str, Any] = {"time_ms": clock.init_ms, "metadata": source}
    yield Event(**at_init, event_type="INTERVAL_START", key="init_start", value=None)
    for key, value in _facts(record, rows).items():
        yield Event(**at_init, key=key, value=value)
    at_start: dict[str, Any] = {"time_ms": clock.ms(0.0), "metadata": source}
    yield Event(**at_start, event_type="INTERVAL_END", key="init_stop", value=None)
    yield Event(**at_start, event_type="INTERVAL_START", key="run_start", value=None)


def _facts(record: RunRecord, rows: Sequence[CurveRow]) -> dict[str, Any]:
    """What the format has a key for and the record knows."""
    config = record.config
    facts = {
        "seed": record.seed,
        "global_batch_size": config.get("batch_size"),
        "opt_name": _optimizer(config.get("optimizer")),
        # A scaled one is another one than the configuration's.
        "opt_base_learning_rate": config.get("lr") if config.get("lr_scaling") == "none" else None,
        "train_samples": _train_samples(rows),
        "eval_samples": record.quality.num_samples if record.quality else None,
    }
    return {key: value for key, value in facts.items() if value is not None}


def _optimizer(part: Any) -> str | None:
    """Its name: of the class, or as a user's own configuration has it."""
    name = part.get("_target_") if isinstance(part, Mapping) else part
    return str(name).rpartition(".")[2].lower() if name else None


def _train_samples(rows: Sequence[CurveRow]) -> int | None:
    """Size of the training split: samples seen / passes over it."""
    known = [row.samples / row.epochs for row in rows if row.epochs and row.samples is not None]
    return round(known[-1]) if known else None


def _evaluations(target: TargetResult, rows: Sequence[CurveRow], clock: _Clock) -> Iterator[Event]:
    for line, (before, row) in enumerate(pairwise([_NO_ROW, *rows]), 1):
        source = {"file": "curve.jsonl", "lineno": line}
        done = {**source, **_known(samples_count=row.samples, epoch_num=row.epochs)}
        trained = {**source, **_known(samples_count=_difference(row.samples, before.samples))}
        started_s = row.time_s - (row.eval_time_s - before.eval_time_s)
        began_ms, eval_ms, done_ms = map(clock.ms, (before.time_s, started_s, row.time_s))
        first = {**trained, "first_epoch_num": before.epochs or 0}
        yield _start("block_start", began_ms, first)
        yield _end("block_stop", eval_ms, first)
        yield _start("eval_start", eval_ms, done)
        yield _end("eval_stop", done_ms, done)
        yield Event(
            time_ms=done_ms,
            key=f"eval_{target.metric}",
            value=_finite(_value_of(row, target.metric)),
            metadata={**done, "metric": target.metric},
        )


def _value_of(row: CurveRow, metric: str) -> float | None:
    """The metric of an evaluation.

    Raises:
        ValueError: The curve has no such metric.
    """
    if metric not in METRICS:
        raise ValueError(f"target.metric={printable(metric)}: the curve has no such metric")
    value: float | None = getattr(row, metric)
    return value


def _known(**values: float | None) -> dict[str, float]:
    return {key: value for key, value in values.items() if value is not None}


def _difference(after: int | None, before: int | None) -> int | None:
    return None if after is None or before is None else after - before


def _finite(value: float | None) -> float | None:
    """The value; None for what JSON has no number for."""
    return value if value is not None and math.isfinite(value) else None


def _start(key: str, time_ms: int, metadata: dict[str, Any]) -> Event:
    return Event(
        time_ms=time_ms, event_type="INTERVAL_START", key=key, value=None, metadata=metadata
    )


def _end(key: str, time_ms: int, metadata: dict[str, Any]) -> Event:
    return Event(time_ms=time_ms, event_type="INTERVAL_END", key=key, value=None, metadata=metadata)


def _stop(
    record: RunRecord, target: TargetResult, rows: Sequence[CurveRow], clock: _Clock
) -> Event:
    at_s, samples = target.time_to_target_s, target.samples_to_target
    if at_s is None:
        at_s, samples = record.phases.wall_time_s, None
    if at_s is None and rows:
        at_s = rows[-1].time_s
    if at_s is None:
        raise ValueError(
            f"{record.run_id}: no time on its clock is known: it ended before its first evaluation"
        )
    metadata = {
        "file": "run.json",
        "status": "success" if target.reached else "aborted",
        "run_status": record.status,
        **_known(samples_count=samples),
    }
    return _end("run_stop", clock.ms(at_s), metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """The files written, and the reason by folder of the runs that have none."""

    paths: list[Path]
    skipped: dict[str, str]


FORMATS = ("mllog",)


def export_runs(roots: Sequence[Path | str], out: Path, format: str = "mllog") -> Exported:
    """Write each training run as a log of its own, `<out>/<run_id>.log`.

    Args:
        roots: Results folders, folders of a command, run folders, or globs of any of these.
        out: Made where it is not there.
        format: Of FORMATS.

    Raises:
        ValueError: There is no such format, a root is not there, or nothing could be exported.
        CannotWrite: The files have no place.
    """
    if format not in FORMATS:
        raise ValueError(f"format={format}: must be one of {', '.join(FORMATS)}")
    paths, skipped = [], {}
    for folder in run_folders(roots):
        try:
            lines = mllog_lines(read_record(folder), read_curve(folder))
        # A run that cannot be read does not keep the others from being written; it is listed.
        except (ValueError, ArithmeticError, LookupError, TypeError, OSError) as error:
            skipped[str(folder)] = reason_of(error)
            continue
        path = out / f"{folder.name}.log"
        with writing(out):
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        paths.append(path)
    if not paths:
        reason = next(iter(skipped.values()))
        raise ValueError(f"no training run to export: {reason}")
    return Exported(paths=paths, skipped=skipped)
