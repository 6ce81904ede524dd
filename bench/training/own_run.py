"""The identity and the folder of a run that a user's own training makes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from bench.core.checks import require_at_least
from bench.core.identity import config_hash
from bench.core.ledger import append_ledger, ledger_held
from bench.core.records.curve import CurveRow
from bench.core.records.run import RunIdentity, RunRecord
from bench.core.store import CurveWriter, create_run_folder, new_identity, write_record
from bench.training.own_config import plain
from bench.training.repeats import free_repeat, hold, release

COMMAND = "lightning"


class OwnRun:
    """One run in results/lightning/.

    Attributes:
        config: What the record holds as its configuration; with seed and repeat once it is open.
        identity: Once it is open.
        folder: Likewise.
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
