"""Which run folders a user means, at any level or by globs, and what the ledgers say of them."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from analysis.load.records import Unreadable, reason_of
from bench.core.files import StoreError, expand_path
from bench.core.find import runs_below
from bench.core.ledger import LEDGER, Ledger


def run_folders(roots: Sequence[Path | str]) -> list[Path]:
    """Find the run folders in or at the roots, each once, sorted by path.

    Args:
        roots: Results folders, folders of a command, run folders, or globs of any of these.

    Returns:
        Absolute paths. A folder named like a run is one even if it holds no record.

    Raises:
        ValueError: A root does not exist, cannot be read, or holds no run.
    """
    folders: set[str] = set()
    for root in roots:
        errors: list[OSError] = []
        below = {
            folder
            for place in _places(root)
            for folder in runs_below(place, on_error=errors.append)
        }
        if errors and not below:
            where, reason = errors[0].filename, errors[0].strerror
            raise ValueError(f"results={root}: {where}: cannot be read ({reason})")
        # A folder that cannot be read may be a run: reading it as one gives the reason.
        below |= {str(error.filename) for error in errors}
        if not below:
            raise ValueError(
                f"results={root}: no runs there; give a results folder, a run folder or a glob"
            )
        folders |= below
    return [Path(folder) for folder in sorted(folders)]


def _places(root: Path | str) -> list[str]:
    # Links are resolved below, so that a run which is reached by two paths is found once.
    name = os.path.abspath(expand_path(root))
    if os.path.exists(name):  # checked before globs, since a folder's name may hold brackets
        if not os.path.isdir(name):
            raise ValueError(f"results={root}: not a folder; give a results folder or a run folder")
        return [os.path.realpath(name)]
    matches = [os.path.realpath(match) for match in glob.glob(name) if os.path.isdir(match)]
    if not matches:
        raise ValueError(f"results={root}: no such folder, and no folder matches it as a glob")
    return matches


class Ledgers:
    """The contents of the ledgers of some results folders.

    Attributes:
        listed: Folders of the runs of these commands, in the order of their lines.
        damaged: Ledgers with parts that cannot be read, and why.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        """Read the ledgers of the results folders that these runs lie in.

        Args:
            folders: Of runs.
        """
        self.listed: dict[str, None] = {}  # each once
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
        if ledger.skipped_note is not None:
            self.damaged[place] = ledger.skipped_note.removeprefix(f"{place}: ")
        for line in ledger.events:
            if line["command"] in commands:  # its first line may be missing
                self.listed[f"{results}/{line['command']}/{line['run_id']}"] = None

    def vanished(self, folders: Sequence[Path]) -> Unreadable:
        """Runs that are listed and whose folder no longer exists."""
        known = set(map(str, folders))
        return {
            place: "the ledger lists it, but its folder is gone"
            # The ledger outlives the folders, so it shows what somebody has deleted.
            for place in self.listed
            if place not in known and not os.path.exists(place)
        }
