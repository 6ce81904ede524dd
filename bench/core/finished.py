"""Finds the runs of a results folder that have ended, by looking at their folders.

The folders are the truth. The ledger is only an index: a run on another host may have no line in
it, and somebody may have deleted it.
"""

from __future__ import annotations

import re
from pathlib import Path

from bench.core.files import list_folder, read_file
from bench.core.find import is_named_like_a_run
from bench.core.store import CONFIG, record_path

# The lines of two keys at the top level of a config.yaml, as bench.core.store writes them: values
# and deeper keys are indented. Parsing a whole file takes a hundred times as long.
_NUMBER = re.compile(rb"^(seed|repeat): (\d+)$", re.MULTILINE)
_Key = tuple[str, str, int, int]  # command, hash of the configuration, seed, repeat


class FinishedRuns:
    """Finds the runs of a results folder that have a record, by configuration, seed and repeat.

    The seed and the repeat of a run never change, so they are read once.
    """

    def __init__(self, results: Path, *, at_once: bool = False) -> None:
        """Read nothing yet.

        Args:
            results: The results folder; it need not exist.
            at_once: List the folder of a command only once, because all questions are about the
                same moment. Otherwise each question lists it again, as other hosts may have added
                runs.
        """
        self._results = results
        self._at_once = at_once
        self._seen: dict[str, set[str]] = {}  # names of folders by command
        self._unread: dict[tuple[str, str], list[Path]] = {}  # by command and hash
        self._folders: dict[_Key, list[Path]] = {}

    def find(self, command: str, config_hash: str, seed: int, repeat: int) -> list[Path]:
        """Folders of the runs of this configuration, seed and repeat that have a record.

        The record may be damaged, and says how the run ended.

        Returns:
            The latest first.

        Raises:
            StoreError: The folder of the command cannot be read.
        """
        self._read_new(command, config_hash)
        folders = self._folders.get((command, config_hash, seed, repeat), [])
        return sorted(filter(record_path, folders), reverse=True)

    def _read_new(self, command: str, config_hash: str) -> None:
        """Read the seed and the repeat of the runs of a configuration that have been added."""
        if not (self._at_once and command in self._seen):
            self._list(command)
        left = []
        for folder in self._unread.pop((command, config_hash), []):
            numbers = _seed_and_repeat(folder)
            if numbers is None:  # a file server may be away for a moment: try again next time
                left.append(folder)
            else:
                self._folders.setdefault((command, config_hash, *numbers), []).append(folder)
        self._unread[command, config_hash] = left

    def _list(self, command: str) -> None:
        seen = self._seen.setdefault(command, set())
        new = set(list_folder(self._results / command)) - seen
        seen |= new
        for name in filter(is_named_like_a_run, new):
            folder = self._results / command / name
            self._unread.setdefault((command, name.split("-")[1]), []).append(folder)


def _seed_and_repeat(folder: Path) -> tuple[int, int] | None:
    """The seed and the repeat of a run; None if its configuration is not one of a run."""
    try:
        numbers = {name: int(value) for name, value in _NUMBER.findall(read_file(folder / CONFIG))}
    except (OSError, ValueError):  # ValueError: not a regular file
        return None
    return (numbers[b"seed"], numbers[b"repeat"]) if len(numbers) == 2 else None
