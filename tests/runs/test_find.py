"""Which training runs a name means."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.runs.find import find_runs


def made(results: Path, name: str, *files: str) -> Path:
    folder = results / "train" / name
    folder.mkdir(parents=True)
    for file in files:
        (folder / file).write_text("{}")
    return folder


def test_a_folder_without_a_configuration_hides_no_other_run(tmp_path: Path) -> None:
    whole = made(tmp_path, "a", "config.yaml", "run.json")
    made(tmp_path, "b", "run.json")
    (made(tmp_path, "c", "run.json") / "config.yaml").mkdir()
    for run in ("latest", "*"):
        find_runs.cache_clear()
        assert find_runs(tmp_path, run) == (whole,)


def test_without_a_match_the_key_and_the_folder_are_named(tmp_path: Path) -> None:
    made(tmp_path, "b", "run.json")
    find_runs.cache_clear()
    for run in ("latest", "", ".", "no*"):
        message = rf"run={re.escape(run)}: no training run .* in {tmp_path}/train"
        with pytest.raises(ValueError, match=message):
            find_runs(tmp_path, run)
