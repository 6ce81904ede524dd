"""A training run as lines of MLPerf's log format, for tools that read it.

A run records durations on a monotonic clock, and one wall-clock time: that of its launch, to the
second. In this format time_ms is wall-clock time, so it is the launch plus the durations: the
distances between lines are as measured, and all lines together are off by up to a second. An export
is not a submission: it has no submission_* lines and none that claim a cleared cache.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from analysis.load.find import run_folders
from analysis.load.records import reason_of
from analysis.tables.files import writing
from bench.core.printable import printable
from bench.core.records.curve import CurveRow
from bench.core.records.run import RunRecord
from bench.core.records.target import TargetResult
from bench.core.store import read_curve, read_record

TOKEN = ":::MLLOG "
_ABOUT = (
    "# time_ms is reconstructed: the wall clock at launch, to the second, plus durations on the"
    " run's monotonic clock. Not an MLPerf submission."
)
_UNPLACED = (
    "# launch_s and init_s of this run are unknown: every time_ms is too early by both, but the"
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

_POINT, _START, _END = "POINT_IN_TIME", "INTERVAL_START", "INTERVAL_END"


def mllog_lines(record: RunRecord, rows: Sequence[CurveRow]) -> list[str]:
    """Write the log of a training run.

    init_start is the first line in the job's process. init_stop and run_start are the start of the
    clock, when the training loader is asked for its first batch. run_stop is the evaluation that
    met the target, or the end of a run that missed it. A block lies between two evaluations. status
    is `success` if the target was reached, else `aborted`. The key of an evaluation is `eval_` and
    the target's metric, such as `eval_accuracy`.

    Args:
        record: Of bench.train.
        rows: Its evaluations in order.

    Raises:
        ValueError: The run had no target, so it is not a training; or no time on its clock is
            known.

    Source: MLCommons training_policies, "training_rules", and logging, mllog/constants.py.
    """
    if record.target is None:
        raise ValueError(f"{record.run_id}: has no target; mllog exports trainings only")
    launched = datetime.fromisoformat(record.started_utc.replace("Z", "+00:00"))
    init_s = launched.timestamp() + (record.phases.launch_s or 0.0)
    zero_s = init_s + (record.phases.init_s or 0.0)
    # One of them may be None because its command has no such phase; a killed run records neither.
    unplaced = record.phases.launch_s is None and record.phases.init_s is None
    return [
        _ABOUT,
        *([_UNPLACED] if unplaced else []),
        *_settings(record, rows, init_s, zero_s),
        *_evaluations(record.target, rows, zero_s),
        _stop(record, record.target, rows, zero_s),
    ]


def _line(
    utc_s: float, key: str, metadata: dict[str, Any], value: Any = None, event_type: str = _POINT
) -> str:
    """Format one line as MLCommons' parser reads it.

    Args:
        utc_s: Seconds since the epoch.
        key: One of the format's constants.
        metadata: Where the value comes from, and what belongs to it.
        value: Anything that JSON can hold.
        event_type: A point in time, or the start or end of an interval.
    """
    fields = {
        "namespace": "",
        "time_ms": round(1000 * utc_s),
        "event_type": event_type,
        "key": key,
        "value": value,
        "metadata": metadata,
    }
    return TOKEN + json.dumps(fields)


def _settings(
    record: RunRecord, rows: Sequence[CurveRow], init_s: float, zero_s: float
) -> Iterator[str]:
    source = {"file": "run.json", "run_id": record.run_id}
    yield _line(init_s, "init_start", source, event_type=_START)
    for key, value in _facts(record, rows).items():
        yield _line(init_s, key, source, value)
    yield _line(zero_s, "init_stop", source, event_type=_END)
    yield _line(zero_s, "run_start", source, event_type=_START)


def _facts(record: RunRecord, rows: Sequence[CurveRow]) -> dict[str, Any]:
    """Everything in the record that the format has a key for."""
    config = record.config
    # The size of the training split: samples seen / passes over it.
    # The record has no size of the split itself.
    sizes = [row.samples / row.epochs for row in rows if row.epochs and row.samples is not None]
    return _known(
        seed=record.seed,
        global_batch_size=config.get("batch_size"),
        opt_name=_optimizer(config.get("optimizer")),
        # With scaling, the optimizer's rate differs from the one in the configuration.
        opt_base_learning_rate=config.get("lr") if config.get("lr_scaling") == "none" else None,
        train_samples=round(sizes[-1]) if sizes else None,
        eval_samples=record.quality.num_samples if record.quality else None,
    )


def _optimizer(part: Any) -> str | None:
    """The name of the optimizer: that of its class, or the text in a user's own configuration."""
    name = part.get("_target_") if isinstance(part, Mapping) else part
    return str(name).rpartition(".")[2].lower() if name else None


def _evaluations(target: TargetResult, rows: Sequence[CurveRow], zero_s: float) -> Iterator[str]:
    if rows and not any(target.metric in row.quality for row in rows):
        metric = printable(target.metric)
        raise ValueError(f"target.metric={metric}: the curve has no such metric")
    for lineno, (before, row) in enumerate(pairwise([_NO_ROW, *rows]), 1):
        source = {"file": "curve.jsonl", "lineno": lineno}
        done = source | _known(samples_count=row.samples, epoch_num=row.epochs)
        block: dict[str, Any] = dict(source)
        if row.samples is not None and before.samples is not None:
            block["samples_count"] = row.samples - before.samples
        block["first_epoch_num"] = before.epochs or 0
        began_s, ended_s = zero_s + before.time_s, zero_s + row.time_s
        # A row is recorded at the end of its evaluation; the columns are cumulative.
        eval_s = ended_s - (row.eval_time_s - before.eval_time_s)
        yield _line(began_s, "block_start", block, event_type=_START)
        yield _line(eval_s, "block_stop", block, event_type=_END)
        yield _line(eval_s, "eval_start", done, event_type=_START)
        yield _line(ended_s, "eval_stop", done, event_type=_END)
        value = row.quality.get(target.metric)
        # JSON has no infinite numbers.
        value = value if value is not None and math.isfinite(value) else None
        yield _line(ended_s, f"eval_{target.metric}", done | {"metric": target.metric}, value)


def _known(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _stop(record: RunRecord, target: TargetResult, rows: Sequence[CurveRow], zero_s: float) -> str:
    at_s, samples = target.time_to_target_s, target.samples_to_target
    if at_s is None:
        at_s, samples = record.phases.wall_time_s, None
    if at_s is None and rows:
        at_s = rows[-1].time_s
    if at_s is None:
        raise ValueError(
            f"{record.run_id}: no time on its clock is known; it ended before its first evaluation"
        )
    metadata = {
        "file": "run.json",
        "status": "success" if target.reached else "aborted",
        "run_status": record.status,
        **_known(samples_count=samples),
    }
    return _line(zero_s + at_s, "run_stop", metadata, event_type=_END)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """The files written, and for each run that was skipped, its folder and the reason."""

    paths: list[Path]
    skipped: dict[str, str]


def export_runs(roots: Sequence[Path | str], out: Path) -> Exported:
    """Write each training run to a log of its own, `<out>/<run_id>.log`.

    Args:
        roots: Results folders, folders of a command, run folders, or globs of any of these.
        out: Folder of the logs, created if it does not exist.

    Raises:
        ValueError: A root is missing, or nothing could be exported.
        CannotWrite: The files cannot be written.
    """
    paths, skipped = [], {}
    for folder in run_folders(roots):
        try:
            lines = mllog_lines(read_record(folder), read_curve(folder))
        # One run that cannot be read does not stop the others; it is listed with the reason.
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
