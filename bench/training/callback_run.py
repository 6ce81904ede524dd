"""The identity, the folder and the record of a run that a user's own training makes.

Several processes may begin runs of one configuration at once. So a run holds a lock on its curve
for as long as its process lives: one that is killed gives its repeat back. On a file system without
locks, runs that begin at once may get the same number.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from bench.core.checks import require_at_least
from bench.core.identity import config_hash
from bench.core.ledger import Ledger, append_ledger, ledger_held, next_repeat
from bench.core.records.curve import CurveRow
from bench.core.records.run import RunIdentity, RunRecord
from bench.core.store import CurveWriter, create_run_folder, new_identity, write_record
from bench.training.callback_config import plain

COMMAND = "lightning"


class CallbackRun:
    """One run in results/lightning/.

    Attributes:
        config: The configuration of the record; with seed and repeat once the run is open.
        identity: Names the run, once it is open.
        folder: Where it is written, once it is open.
    """

    identity: RunIdentity
    folder: Path

    def __init__(
        self, results: Path, config: Mapping[str, Any], seed: int | None, repeat: int | None
    ) -> None:
        """Nothing is written yet.

        Args:
            results: The results folder.
            config: The run's configuration, which may hold `seed` and `repeat`.
            seed: Of the training; None for that of config, else of seed_everything(), else 0.
            repeat: None for that of config, else the first that no run in results has ended with
                or is running as.

        Raises:
            ValueError: config cannot be recorded or has another seed or repeat, or one is no whole
                number from 0 on.
        """
        self.config: dict[str, Any] = plain(config, "config")
        self._results = results
        self._seed = self._settled("seed", seed)
        self._repeat = self._settled("repeat", repeat)
        self._curve: CurveWriter | None = None
        self._running: BinaryIO | None = None

    def open(self) -> None:
        """Make the folder and the ledger's line.

        Raises:
            StoreError: The results folder cannot be written.
        """
        digest = config_hash(self.config)
        seed, repeat = self._seed, self._repeat
        if seed is None:
            seed = int(os.environ.get("PL_GLOBAL_SEED", "0"))  # where seed_everything() leaves it
        with ledger_held(self._results):
            if repeat is None:
                repeat = free_repeat(self._results, COMMAND, digest, seed)
            self.config |= {"seed": seed, "repeat": repeat}
            self.identity = new_identity(COMMAND, digest, seed, repeat)
            self.folder = create_run_folder(self._results, self.identity, self.config)
            self._running = hold(self.folder)
        self._curve = CurveWriter(self.folder)

    def append(self, row: CurveRow) -> None:
        """Write one evaluation."""
        assert self._curve is not None, "open() was not called"
        self._curve.append(row)

    def close(self) -> None:
        """No more evaluations come."""
        assert self._curve is not None, "open() was not called"
        self._curve.close()

    def write(self, record: RunRecord) -> None:
        """Write the record and the ledger's second line; the run counts as running until then."""
        assert self._running is not None, "open() was not called"
        reached = record.target is not None and record.target.reached
        facts = {"status": record.status, "reached": reached}
        try:
            write_record(self.folder, record)
            append_ledger(self._results, "ended", self.identity, **facts)
        finally:
            release(self._running)

    def _settled(self, key: str, given: int | None) -> int | None:
        """A number from the argument or from the configuration, which must not differ."""
        kept = self.config.get(key)
        given = plain(given, key)
        if given is not None and kept is not None and given != kept:
            raise ValueError(f"{key}={given}: contradicts config[{key!r}]={kept}; give one of them")
        number = kept if given is None else given
        if number is not None and (isinstance(number, bool) or not isinstance(number, int)):
            raise ValueError(f"{key}={number!r}: must be a whole number")
        require_at_least(key, number, 0)
        return number


def hold(folder: Path) -> BinaryIO:
    """Mark a run as running until release(), or until the process dies."""
    curve = (folder / "curve.jsonl").open("ab")
    with suppress(OSError):
        fcntl.flock(curve, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return curve


def release(curve: BinaryIO) -> None:
    """Mark the run as ended."""
    with suppress(OSError):
        fcntl.flock(curve, fcntl.LOCK_UN)  # closing does not, while a loader's worker is alive
    curve.close()


def free_repeat(results: Path, command: str, config_hash: str, seed: int) -> int:
    """The first repeat that no run of a configuration and seed has ended with or is running as.

    Args:
        results: The results folder, whose ledger is held until the run is announced there.
        command: The command of the run.
        config_hash: The identity of its configuration.
        seed: Its seed.
    """
    wanted = {"event": "launched", "command": command, "config_hash": config_hash, "seed": seed}
    running = {
        line["repeat"]
        for line in Ledger(results).events
        if wanted.items() <= line.items() and _is_running(results / command / line["run_id"])
    }
    return next_repeat(results, command, config_hash, seed, besides=running)


def _is_running(folder: Path) -> bool:
    try:
        with (folder / "curve.jsonl").open("rb") as curve:
            fcntl.flock(curve, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no such run, or no locks here
        return False
    return False
