"""The result store: one folder per run, written so that nothing measured can be lost.

results/<command>/<run_id>/ appears with config.yaml in it. Then follow log.txt, curve.jsonl (a line
per evaluation, written at once), telemetry.parquet, readings.parquet, checkpoint.pt and, last and
atomically, run.json. bench/core/ledger.py has the index of the runs.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator, TypeAdapter, ValidationError

from bench.core.errors import first_error
from bench.core.files import (
    StoreError,
    file_stamp,
    read_file,
    replace_file,
    unwritable_message,
)
from bench.core.json_lines import LineWriter, read_lines, refuse_impossible
from bench.core.maintenance_files import read_events, read_windows
from bench.core.outcome import outcome_record
from bench.core.printable import printable
from bench.core.records.curve import CurveRow
from bench.core.records.run import SCHEMA_VERSION, RunIdentity, RunRecord
from bench.core.upgrade import not_started, upgrade_record, upgrade_row

_RECORD: TypeAdapter[RunRecord] = TypeAdapter(RunRecord)
_ROW: TypeAdapter[CurveRow] = TypeAdapter(Annotated[CurveRow, BeforeValidator(upgrade_row)])
CONFIG = "config.yaml"
# That of libyaml writes the same text in a quarter of the time; PyYAML may be built without it.
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_FREE_FORM = ("config", "host")
_LARGEST_INTEGER = 2**63 - 1  # that fits into a column of a table
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


class NewerSchema(StoreError):  # noqa: N818 -- says what the record is
    """A record that a later version of this project wrote; this version does not understand it."""


def new_identity(command: str, config_hash: str, seed: int, repeat: int) -> RunIdentity:
    """Make a run id that says when the run starts, names its configuration and is unique."""
    now = datetime.now(UTC)
    started_utc = now.isoformat(timespec="seconds").replace("+00:00", "Z")
    fraction = now.microsecond * 16**5 // 10**6
    return RunIdentity(
        # Second, configuration, fraction of the second (for start_order), random digits.
        run_id=f"{file_stamp(started_utc)}-{config_hash}-{fraction:05x}{secrets.token_hex(2)[:3]}",
        command=command,
        config_hash=config_hash,
        seed=seed,
        repeat=repeat,
        started_utc=started_utc,
    )


def create_run_folder(results: Path, identity: RunIdentity, config: dict[str, Any]) -> Path:
    """Make the folder of a run with its configuration in it.

    The folder appears whole or not at all. A process that is killed here leaves nothing that a
    reader would take for a run. The ledger is the caller's business: a process on another host
    must not write to it.

    Args:
        results: The results folder.
        identity: Identity of the run.
        config: The resolved configuration.

    Raises:
        StoreError: The folder cannot be written.
    """
    folder = results / identity.command / identity.run_id
    hidden = folder.with_name(f".{folder.name}.new")
    try:
        hidden.mkdir(parents=True, exist_ok=False)
        try:
            text = yaml.dump(config, Dumper=_DUMPER, sort_keys=False)
            replace_file(hidden / CONFIG, text.encode())
            hidden.rename(folder)
        except BaseException:
            shutil.rmtree(hidden, ignore_errors=True)
            raise
    except OSError as error:
        raise StoreError(unwritable_message(results, error)) from error
    return folder


class CurveWriter(LineWriter[CurveRow]):
    """Appends evaluations to curve.jsonl, each in one write, so that a kill leaves whole lines."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "curve.jsonl", _ROW)


def read_curve(folder: Path) -> list[CurveRow]:
    """Read the evaluations of a run; a last line that a full disk cut is left out.

    Raises:
        StoreError: A line is no evaluation, or the file cannot be read.
    """
    return read_lines(folder / "curve.jsonl", _ROW)


def write_record(folder: Path, record: RunRecord) -> Path:
    """Write run.json atomically.

    Returns:
        The file. If the folder of the run cannot be written to any more (a full disk), the record
        goes to the temporary folder, so that nothing measured is lost.

    Raises:
        StoreError: Neither place can be written to.
    """
    data = _RECORD.dump_json(record, indent=2) + b"\n"
    try:
        return replace_file(folder / "run.json", data)
    except OSError as error:
        try:
            return replace_file(_fallback(record.run_id), data)
        except OSError:
            raise StoreError(unwritable_message(folder, error)) from error


def _fallback(run_id: str) -> Path:
    return Path(tempfile.gettempdir()) / f"{run_id}.run.json"


def record_path(folder: Path) -> Path | None:
    """The file of a run's record, in its folder or in the temporary one; None without a record.

    Everybody may write to the temporary folder, so a file there counts only if it is this user's.
    """
    usual, fallback = folder / "run.json", _fallback(folder.name)
    if usual.exists():
        return usual
    try:
        facts = fallback.lstat()
    except OSError:
        return None
    return fallback if stat.S_ISREG(facts.st_mode) and facts.st_uid == os.getuid() else None


def read_record(folder: Path) -> RunRecord:
    """Read the record of a run; a run that ended without one is returned as interrupted.

    Raises:
        StoreError: The record is damaged, of a newer schema (NewerSchema), or there is no run here.
    """
    try:
        path = record_path(folder)
        return _interrupted(folder) if path is None else _written(path, folder)
    except StoreError:
        raise
    # Whatever is wrong with these files, a reader of many runs can go on with the others.
    except Exception as error:
        text = printable(str(error).strip() or type(error).__name__)
        raise StoreError(f"{folder}: not a readable run ({text}); measure the run again") from error


def _written(path: Path, folder: Path) -> RunRecord:
    try:
        raw = json.loads(read_file(path), parse_constant=_constant)
        version = raw["schema_version"]
    except StoreError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        text = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise StoreError(f"{path}: not a run record ({text}); measure the run again") from error
    if type(version) is not int:
        raise StoreError(f"{path}: schema_version: must be a whole number; measure the run again")
    if version > SCHEMA_VERSION:
        raise NewerSchema(
            f"{path}: schema {version} is newer than this version reads ({SCHEMA_VERSION}); update"
        )
    try:
        record = _RECORD.validate_python(upgrade_record(raw, has_begun=began(folder)))
    except ValidationError as error:
        raise StoreError(f"{path}: {first_error(error)}; measure the run again") from error
    if path == _fallback(folder.name) and record.run_id != folder.name:
        raise StoreError(f"{path}: of another run, {printable(record.run_id)}; remove the file")
    refuse_impossible(_RECORD.dump_python(record, exclude=set(_FREE_FORM)), str(path))
    for name in ("seed", "repeat"):
        if not 0 <= getattr(record, name) <= _LARGEST_INTEGER:
            raise StoreError(f"{path}: {name}={getattr(record, name)}: cannot be")
    if not _STAMP.fullmatch(record.started_utc):
        raise StoreError(f"{path}: started_utc={printable(record.started_utc)}: no time in UTC")
    return record


def _constant(name: str) -> float | None:
    """Parse what other writers' JSON contains besides numbers; NaN becomes None."""
    return None if name == "NaN" else float(name)


def began(folder: Path) -> bool:
    """Whether the process of a run has begun; it opens its log first of all."""
    return any((folder / name).exists() for name in ("log.txt", "curve.jsonl"))


def _interrupted(folder: Path) -> RunRecord:
    """Make the record of a run that ended without writing one."""
    path = folder / CONFIG
    if not path.exists():
        raise StoreError(f"{folder}: no run here (neither run.json nor config.yaml)")
    config = yaml.safe_load(read_file(path))
    identity = identity_of(folder, config)
    error = None if began(folder) else not_started()
    record = outcome_record(identity, config, read_curve(folder), status="interrupted", error=error)
    rows = read_windows(folder)
    if not rows:
        return record
    from bench.core.maintenance_summary import summarise  # imports numpy, which few records need

    return replace(record, maintenance=summarise(config, rows, read_events(folder)))


def identity_of(folder: Path, config: object) -> RunIdentity:
    """Find the identity of a run from the name of its folder and its configuration.

    Raises:
        StoreError: The folder is not named like a run, or the configuration is not one of a run.
    """
    if not isinstance(config, Mapping):
        raise StoreError(f"{folder}: no run here (its config.yaml is none of a run)")
    seed, repeat = config.get("seed"), config.get("repeat")
    if type(seed) is not int or type(repeat) is not int:
        raise StoreError(f"{folder}: no run here (its config.yaml has no seed or repeat)")
    try:
        stamp, config_hash, _ = folder.name.split("-")
        started = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise StoreError(f"{folder}: no run here (not named like a run)") from error
    return RunIdentity(
        run_id=folder.name,
        command=folder.parent.name,
        config_hash=config_hash,
        seed=seed,
        repeat=repeat,
        started_utc=started.isoformat().replace("+00:00", "Z"),
    )
