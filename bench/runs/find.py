"""Finds the training runs that a key names, and refuses those that cannot be built on."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from bench.core.counting import start_order
from bench.core.records.run import RunRecord
from bench.core.store import read_record

TRAIN = "train"


@cache
def find_runs(results: Path, run: str, *, key: str = "run") -> Sequence[Path]:
    """Folders of the training runs that are meant, in the order in which they were started.

    Looked up once in a command. `latest` is what was latest when it began: the jobs of a sweep
    would otherwise each learn from the one before.

    Args:
        results: The results folder.
        run: A run id, a glob of run ids, the folder of a run, a glob of folders, or `latest`.
        key: Of the configuration, for the error.

    Raises:
        ValueError: There is no such run; the message names the key and the remedy.
    """
    known = results / TRAIN
    if run == "latest":
        written = [
            path
            for path in known.glob("*")
            if (path / "run.json").is_file() and (path / "config.yaml").is_file()
        ]
        folders = sorted(written, key=_start)[-1:]
    else:
        named = known.glob(run) if "/" not in run else map(Path, glob.glob(run))
        with_config = (path for path in named if (path / "config.yaml").is_file())
        folders = [path.absolute() for path in sorted(with_config, key=_start)]
    if not folders:
        raise ValueError(
            f"{key}={run}: no training run of that name in {known}; give a run id, a folder, a "
            "glob or latest"
        )
    return tuple(folders)


def _start(folder: Path) -> tuple[str, ...]:
    return start_order(folder.name)


@cache
def trained_record(folder: Path, *, allow_missed: bool, key: str = "run") -> RunRecord:
    """The record of a training run that can be built on; read once in a command.

    Args:
        folder: The run's.
        allow_missed: Whether a model will do that is not what it was trained for.
        key: Of the configuration that named the run; `allow_missed` stands beside it.

    Raises:
        ValueError: It failed, or missed its target without being allowed to; or the record cannot
            be read.
    """
    record = read_record(folder)
    if record.status != "ok":
        raise ValueError(f"{key}={record.run_id}: it ended as {record.status}; choose another one")
    reached = record.target is not None and record.target.reached
    if not reached and not allow_missed:
        allowing = f"{key.rpartition('.')[0]}.allow_missed".lstrip(".")
        raise ValueError(
            f"{key}={record.run_id}: it did not reach its target; {allowing}=true takes it anyway"
        )
    return record
