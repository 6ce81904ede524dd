"""The identity, the folder and the record of a run that a user's own training makes.

Several processes may start runs of one configuration at the same time, and each needs a repeat of
its own. So a run locks its curve for as long as its process lives: if it is killed, its repeat is
free again. On a file system without locks, two such runs may get the same repeat.
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
from bench.core.records.run import RunIdentity, RunRecord
from bench.core.store import CurveWriter, create_run_folder, new_identity, write_record
from bench.training.callback_config import plain

COMMAND = "lightning"


class CallbackRun:
    """One run in results/lightning/.

    Attributes:
        config: The configuration of the record. open() adds seed and repeat.
        identity: Names the run; set by open().
        folder: The run folder; set by open().
        curve: Takes the evaluations; set by open().
    """

    identity: RunIdentity
    folder: Path
    curve: CurveWriter
    _lock: BinaryIO

    def __init__(
        self, results: Path, config: Mapping[str, Any], seed: int | None, repeat: int | None
    ) -> None:
        """Check the configuration; nothing is written before open().

        Args:
            results: The results folder.
            config: The run's configuration, which may hold `seed` and `repeat`.
            seed: The seed of the training. By default that of config, else of seed_everything(),
                else 0.
            repeat: By default that of config, else the first that no run in results has.

        Raises:
            ValueError: config cannot be recorded or has another seed or repeat, or one of them is
                not a whole number from 0 on.
        """
        self.config: dict[str, Any] = plain(config, "config")
        self._results = results
        self._seed = self._agreed_number("seed", seed)
        self._repeat = self._agreed_number("repeat", repeat)

    def open(self) -> None:
        """Make the folder and the line of the ledger.

        Raises:
            StoreError: The results folder cannot be written.
        """
        digest = config_hash(self.config)
        seed, repeat = self._seed, self._repeat
        if seed is None:
            seed = int(os.environ.get("PL_GLOBAL_SEED", "0"))  # set by seed_everything()
        # Two processes would find the same free repeat if both looked before one of them wrote.
        with ledger_held(self._results):
            if repeat is None:
                repeat = free_repeat(self._results, COMMAND, digest, seed)
            self.config |= {"seed": seed, "repeat": repeat}
            self.identity = new_identity(COMMAND, digest, seed, repeat)
            self.folder = create_run_folder(self._results, self.identity, self.config)
            self._lock = lock_run(self.folder)
        self.curve = CurveWriter(self.folder)

    def write(self, record: RunRecord) -> None:
        """Write the record and the second line of the ledger; then the run has ended."""
        reached = record.target is not None and record.target.reached
        facts = {"status": record.status, "reached": reached}
        try:
            write_record(self.folder, record)
            append_ledger(self._results, "ended", self.identity, **facts)
        finally:
            unlock_run(self._lock)

    def _agreed_number(self, key: str, given: int | None) -> int | None:
        """Take a number from the argument or from the configuration; they must not differ."""
        kept = self.config.get(key)
        given = plain(given, key)  # a NumPy integer counts as one
        if given is not None and kept is not None and given != kept:
            raise ValueError(f"{key}={given}: contradicts config[{key!r}]={kept}; give one of them")
        number = kept if given is None else given
        if number is not None and (isinstance(number, bool) or not isinstance(number, int)):
            raise ValueError(f"{key}={number!r}: must be a whole number")
        require_at_least(key, number, 0)
        return number


def lock_run(folder: Path) -> BinaryIO:
    """Mark a run as running until unlock_run(), or until the process ends."""
    curve = (folder / "curve.jsonl").open("ab")
    with suppress(OSError):
        fcntl.flock(curve, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return curve


def unlock_run(curve: BinaryIO) -> None:
    """Mark the run as ended."""
    with suppress(OSError):
        # Closing alone is not enough while a worker of a loader still has the file open.
        fcntl.flock(curve, fcntl.LOCK_UN)
    curve.close()


def free_repeat(results: Path, command: str, config_hash: str, seed: int) -> int:
    """Find the first repeat that no finished or running run of a configuration and seed has.

    Args:
        results: The results folder. Hold its ledger until the new run has its line there.
        command: The command of the run.
        config_hash: The hash of its configuration.
        seed: Its seed.
    """
    wanted = {"event": "launched", "command": command, "config_hash": config_hash, "seed": seed}
    running = {
        line["repeat"]
        for line in Ledger(results).events
        if wanted.items() <= line.items() and _is_running(results / command / line["run_id"])
    }
    return next_repeat(results, command, config_hash, seed, reserved=running)


def _is_running(folder: Path) -> bool:
    try:
        with (folder / "curve.jsonl").open("rb") as curve:
            fcntl.flock(curve, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # there is no such run, or the file system has no locks
        return False
    return False
