"""What ledgers add to the runs: the order of their launches, runs that are gone, torn lines."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from analysis.load.index import Unreadable, reason_of
from bench.core.files import StoreError
from bench.core.ledger import LEDGER, Ledger


class Ledgers:
    """What the ledgers of some results folders say.

    Attributes:
        launched: The folders of all runs of these commands, numbered in the order of their launch.
        damaged: Ledgers that cannot be read as a whole, and why.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        """Read them.

        Args:
            folders: Of runs; the ledgers are those of their results folders.
        """
        self.launched: dict[str, int] = {}
        self.damaged: Unreadable = {}
        commands: dict[Path, set[str]] = {}
        for folder in folders:
            commands.setdefault(folder.parent.parent, set()).add(folder.parent.name)
        for results, names in commands.items():
            self._read(results, names)

    def _read(self, results: Path, commands: set[str]) -> None:
        place = str(results / LEDGER)
        try:
            ledger = Ledger(results)
        except StoreError as error:
            self.damaged[place] = reason_of(error)
            return
        if ledger.skipped is not None:
            self.damaged[place] = ledger.skipped.removeprefix(f"{place}: ")
        for line in ledger.events:
            if line["event"] == "launched" and line["command"] in commands:
                folder = f"{results}/{line['command']}/{line['run_id']}"
                self.launched.setdefault(folder, len(self.launched))

    def vanished(self, folders: Sequence[Path]) -> Unreadable:
        """Runs that are listed as launched and whose folder is no longer there."""
        known = set(map(str, folders))
        return {
            place: "launched, as the ledger says, and its folder is gone"
            for place in self.launched
            if place not in known and not os.path.exists(place)
        }
