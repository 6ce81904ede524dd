"""Gives each run of a user's own training a repeat that no other run has, on several hosts too.

A run claims its repeat by creating a file that must not exist yet. Network file systems do that
atomically, while their locks and listings may be out of date. The claim names the run and its
process. A run that was interrupted gives its repeat back. So does one that was killed, but only
this host can know that: on another host, a run without a record may still be running.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from bench.core.files import StoreError, read_file, unwritable_message, write_whole
from bench.core.finished import FinishedRuns
from bench.core.process import Process
from bench.core.records.run import RunIdentity
from bench.core.store import read_record, record_path

_CLAIMS = ".repeats"  # in the results folder; hidden, so that nobody takes it for a command's


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    command: str
    run_id: str
    process: Process


_FORM: TypeAdapter[_Claim] = TypeAdapter(_Claim)


def claim_free_repeat(results: Path, identity: RunIdentity) -> RunIdentity:
    """Claim the first repeat that no run has which has ended or may be running.

    Args:
        results: The results folder.
        identity: The run, whose folder is not there yet; its repeat does not count.

    Returns:
        The identity with its repeat.

    Raises:
        StoreError: The results folder cannot be read or written.
    """
    finished = FinishedRuns(results, at_once=True)  # a run that ends meanwhile has its claim
    claimed = replace(identity, repeat=0)
    while _has_ended(finished, claimed) or not _claim(results, claimed, _is_given_back):
        claimed = replace(claimed, repeat=claimed.repeat + 1)
    return claimed


def claim_given_repeat(results: Path, identity: RunIdentity) -> None:
    """Claim the repeat of a run that somebody chose, whether or not another run has it.

    Raises:
        StoreError: The results folder cannot be written.
    """
    _claim(results, identity, lambda _: True)


def _has_ended(finished: FinishedRuns, wanted: RunIdentity) -> bool:
    """Whether a run has ended with this repeat; it need not have a claim."""
    key = (wanted.command, wanted.config_hash, wanted.seed, wanted.repeat)
    return any(not _was_interrupted(folder) for folder in finished.find(*key))


def _was_interrupted(folder: Path) -> bool:
    try:
        return read_record(folder).status == "interrupted"
    except StoreError:  # a damaged record says nothing, so its repeat stays taken
        return False


def _claim(results: Path, identity: RunIdentity, may_pass: Callable[[Path], bool]) -> bool:
    """Claim the repeat of a run.

    A claim is never removed or replaced, because two runs could then remove each other's. A run
    that takes a repeat which was given back creates the next file of its name.

    Returns:
        Whether it was claimed: `may_pass` was true of all earlier claims.
    """
    claim = _Claim(command=identity.command, run_id=identity.run_id, process=Process.current())
    content = _FORM.dump_json(claim)
    name = f"{identity.command}-{identity.config_hash}-{identity.seed}-{identity.repeat}"
    folder = results / _CLAIMS
    turn = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        while not _create(path := folder / f"{name}.{turn}.json", content):
            if not may_pass(path):
                return False
            turn += 1
    except OSError as error:
        raise StoreError(unwritable_message(results, error)) from error
    return True


def _create(path: Path, content: bytes) -> bool:
    """Create a file; False if it exists already."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        return False
    try:
        write_whole(file, content)
    finally:
        os.close(file)
    return True


def _is_given_back(path: Path) -> bool:
    """Whether the run of a claim was interrupted or killed."""
    try:
        claim = _FORM.validate_json(read_file(path))
    except (OSError, StoreError, ValidationError):  # another host has not written it yet
        return False
    folder = path.parent.parent / claim.command / claim.run_id
    if record_path(folder) is not None:
        return _was_interrupted(folder)
    return claim.process.is_alive() is False
