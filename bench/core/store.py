"""The result store: one folder per run, written so that nothing measured can be lost.

results/<command>/<run_id>/ holds config.yaml (first), curve.jsonl (a line per evaluation, flushed
as it happens), log.txt, telemetry.parquet, checkpoint.pt and run.json (last, atomically).
results/ledger.jsonl gets a line when a run is launched and one when it ends.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import secrets
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from bench.core.outcome import outcome_record
from bench.core.records import SCHEMA_VERSION, CurveRow, RunIdentity, RunRecord
from bench.core.upgrade import not_started, upgraded

_RECORD: TypeAdapter[RunRecord] = TypeAdapter(RunRecord)
_ROW: TypeAdapter[CurveRow] = TypeAdapter(CurveRow)


class StoreError(ValueError):
    """The store cannot be written or a record in it cannot be read; one line with the remedy."""


class NewerSchema(StoreError):  # noqa: N818 -- says what the record is
    """A record that a later version of this project wrote: whole, but not to be understood here."""


def utc_now() -> str:
    """The wall clock as ISO 8601 in UTC, to the second: a stamp, never used for a duration."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def file_stamp(utc: str) -> str:
    """A stamp of utc_now() as it stands in the names of folders, which sort by it."""
    return utc.replace("-", "").replace(":", "")


def new_identity(command: str, config_hash: str, seed: int, repeat: int) -> RunIdentity:
    """A run id that sorts by start, names its configuration and never collides."""
    started_utc = utc_now()
    return RunIdentity(
        run_id=f"{file_stamp(started_utc)}-{config_hash}-{secrets.token_hex(4)}",
        command=command,
        config_hash=config_hash,
        seed=seed,
        repeat=repeat,
        started_utc=started_utc,
    )


def create_run_folder(results: Path, identity: RunIdentity, config: dict[str, Any]) -> Path:
    """Make the run's folder and put its resolved configuration there.

    Raises:
        StoreError: The folder cannot be made or written to.
    """
    folder = results / identity.command / identity.run_id
    try:
        folder.mkdir(parents=True, exist_ok=False)
        with (folder / "config.yaml").open("w") as file:
            yaml.safe_dump(config, file, sort_keys=False)
    except OSError as error:
        raise StoreError(_unwritable(results, error)) from error
    return folder


def _unwritable(path: Path, error: OSError) -> str:
    return f"results={path}: cannot write there ({error.strerror}); free it or give results=DIR"


class CurveWriter:
    """Appends evaluations to curve.jsonl, each in one write so that a kill leaves whole lines."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / "curve.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def append(self, row: CurveRow) -> None:
        """Write one row; it is in the kernel's hands, safe from a kill, when this returns."""
        _write_whole(self._file, _ROW.dump_json(row) + b"\n")

    def close(self) -> None:
        """Release the file; what is appended afterwards is an error, and in no other file."""
        os.close(self._file)
        self._file = -1


def _write_whole(file: int, data: bytes) -> None:
    """One write for all of the data.

    Raises:
        OSError: The disk took less than all of it.
    """
    written = os.write(file, data)
    if written != len(data):
        raise OSError(28, f"only {written} of {len(data)} bytes fitted on the disk")


def read_curve(folder: Path) -> list[CurveRow]:
    """The evaluations of a run, complete lines only: a last line cut by a full disk is left out."""
    path = folder / "curve.jsonl"
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    return [_ROW.validate_json(line) for line in lines if line]


def write_record(folder: Path, record: RunRecord) -> Path:
    """Write run.json atomically: it is there whole or not at all.

    Returns:
        The file written. Where the run's folder cannot be written to any more (a full disk), the
        record goes to the temporary folder, so that what was measured is not lost.

    Raises:
        StoreError: Neither place can be written to.
    """
    data = _RECORD.dump_json(record, indent=2) + b"\n"
    fallback = _fallback(record.run_id)
    try:
        return replace_file(folder / "run.json", data)
    except OSError as error:
        try:
            return replace_file(fallback, data)
        except OSError:
            raise StoreError(_unwritable(folder, error)) from error


def _fallback(run_id: str) -> Path:
    return Path(tempfile.gettempdir()) / f"{run_id}.run.json"


def record_path(folder: Path) -> Path | None:
    """Where the record of a run was written: its folder, or else the temporary one; None if not."""
    places = (folder / "run.json", _fallback(folder.name))
    return next((path for path in places if path.exists()), None)


def replace_file(path: Path, data: bytes) -> Path:
    """Write a file atomically: beside it, flushed to the disk, then renamed over it.

    Raises:
        OSError: It cannot be written there.
    """
    beside = path.with_suffix(".tmp")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return beside.replace(path)


def read_record(folder: Path) -> RunRecord:
    """The record of a run; one that ended without writing it reads as interrupted.

    Raises:
        StoreError: The record is damaged, of a newer schema (NewerSchema), or there is no run here.
    """
    path = record_path(folder)
    if path is None:
        return _interrupted(folder)
    try:
        raw = json.loads(path.read_bytes())
        version = raw["schema_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path}: not a run record ({error}); measure the run again") from error
    if version > SCHEMA_VERSION:
        raise NewerSchema(
            f"{path}: schema {version} is newer than this version reads ({SCHEMA_VERSION}); update"
        )
    try:
        return _RECORD.validate_python(upgraded(raw, has_begun=began(folder)))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise StoreError(f"{path}: {where}: {first['msg']}; measure the run again") from error


def began(folder: Path) -> bool:
    """Whether the process of a run has begun: the first thing that it does is to open its log."""
    return any((folder / name).exists() for name in ("log.txt", "curve.jsonl"))


def _interrupted(folder: Path) -> RunRecord:
    """What a run that was cut off without a word left behind."""
    path = folder / "config.yaml"
    if not path.exists():
        raise StoreError(f"{folder}: no run here (neither run.json nor config.yaml)")
    config = yaml.safe_load(path.read_text())
    identity = identity_of(folder, config)
    error = None if began(folder) else not_started()
    return outcome_record(identity, config, read_curve(folder), status="interrupted", error=error)


def identity_of(folder: Path, config: dict[str, Any]) -> RunIdentity:
    """The identity of a run from its folder's name and its configuration."""
    stamp, config_hash, _ = folder.name.split("-")
    started = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return RunIdentity(
        run_id=folder.name,
        command=folder.parent.name,
        config_hash=config_hash,
        seed=config["seed"],
        repeat=config["repeat"],
        started_utc=started.isoformat().replace("+00:00", "Z"),
    )


def append_ledger(results: Path, event: str, identity: RunIdentity, **facts: Any) -> None:
    """Add a line to the ledger; appends of several processes do not mix.

    Raises:
        StoreError: The ledger cannot be written.
    """
    line = json.dumps({"event": event, "utc": utc_now(), **asdict(identity), **facts}) + "\n"
    try:
        file = os.open(results / "ledger.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            _write_whole(file, line.encode())
        finally:
            os.close(file)
    except OSError as error:
        raise StoreError(_unwritable(results, error)) from error


@contextmanager
def ledger_held(results: Path) -> Iterator[None]:
    """Hold the ledger: whoever else asks for it waits. A file system may have no locks.

    Raises:
        StoreError: The ledger cannot be written.
    """
    try:
        results.mkdir(parents=True, exist_ok=True)
        file = os.open(results / "ledger.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError as error:
        raise StoreError(_unwritable(results, error)) from error
    try:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def read_ledger(results: Path) -> Iterator[dict[str, Any]]:
    """The ledger's lines in order; a line cut by a full disk is passed over."""
    path = results / "ledger.jsonl"
    if not path.exists():
        return
    for line in path.read_text().splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue


def next_repeat(
    results: Path, command: str, config_hash: str, seed: int, *, besides: Collection[int] = ()
) -> int:
    """The first repeat of a configuration and seed that no run has ended with, nor is in besides.

    A run that was interrupted has not: its number is taken again.
    """
    wanted = {"event": "ended", "command": command, "config_hash": config_hash, "seed": seed}
    taken = {
        line.get("repeat")
        for line in read_ledger(results)
        if wanted.items() <= line.items() and line.get("status") != "interrupted"
    }
    return next(each for each in itertools.count() if each not in taken and each not in besides)


def finished(results: Path, command: str, config_hash: str, seed: int, repeat: int) -> str | None:
    """Run id of a run of this configuration, seed and repeat that ended as ok, or None.

    One whose folder was deleted meanwhile does not count.
    """
    wanted = ("ended", "ok", command, config_hash, seed, repeat)
    keys = ("event", "status", "command", "config_hash", "seed", "repeat")
    for line in read_ledger(results):
        if tuple(line.get(key) for key in keys) == wanted:
            run_id = str(line["run_id"])
            if record_path(results / command / run_id) is not None:
                return run_id
    return None
