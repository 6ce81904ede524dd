"""Finds the training runs that a key names, and refuses those that nothing can be built on."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from bench.config.train import MODULE
from bench.core.counting import start_order
from bench.core.records.run import RunRecord
from bench.core.store import read_record

TRAIN = "train"


@cache
def find_runs(results: Path, run: str, *, key: str = "run", command: str = TRAIN) -> Sequence[Path]:
    """Find the folders of runs, in the order in which they were started.

    The answer is kept for the whole command, so that `latest` is the latest run of before it began.
    Otherwise each job of a sweep would build on the job before it.

    Args:
        results: The results folder.
        run: A run id, a glob of run ids, the folder of a run, a glob of folders, or `latest`.
        key: The key of the configuration, for the error.
        command: The command that made them.

    Raises:
        ValueError: There is no such run.
    """
    runs = results / command
    if run == "latest":  # a run without a record is still running, or was killed
        matches = [path for path in runs.glob("*") if (path / "run.json").is_file()]
    else:
        root = "" if "/" in run else runs
        matches = [Path(root, name) for name in glob.glob(run, root_dir=root or None)]
    with_config = (path.absolute() for path in matches if (path / "config.yaml").is_file())
    folders = sorted(with_config, key=lambda folder: start_order(folder.name))
    if not folders:
        word = "training run" if command == TRAIN else f"run of bench.{command}"
        raise ValueError(
            f"{key}={run}: no {word} of that name in {runs}; give a run id, a folder, a glob or "
            "latest"
        )
    return tuple(folders[-1:] if run == "latest" else folders)


@cache
def trained_record(
    folder: Path, *, allow_missed: bool, key: str = "run", allow_module: bool = False
) -> RunRecord:
    """Read the record of a training run to build on, once per command.

    Args:
        folder: The run folder.
        allow_missed: Accept a model that missed its target.
        key: The key that named the run, for the error; `allow_missed` is a key of the same group.
        allow_module: Accept a module of the user's own.

    Raises:
        ValueError: The run failed, or missed its target; its model is a module of the user's own;
            or the record cannot be read.
    """
    record = read_record(folder)
    if record.config.get("task") == MODULE and not allow_module:
        raise ValueError(
            f"{key}={record.run_id}: nothing is built on a run of task=module, whose module is "
            "the user's own; choose another run, or train its network as model=custom"
        )
    if record.status != "ok":
        raise ValueError(f"{key}={record.run_id}: it ended as {record.status}; choose another one")
    reached = record.target is not None and record.target.reached
    if not reached and not allow_missed:
        option = f"{key.rpartition('.')[0]}.allow_missed".lstrip(".")
        raise ValueError(
            f"{key}={record.run_id}: it did not reach its target; {option}=true takes it anyway"
        )
    return record


def with_root(node: Mapping[str, Any], root: str | None) -> dict[str, Any]:
    """Give the data of a stored configuration the folder of its files on this machine.

    Args:
        node: The group `data`.
        root: The folder, if the run had another one.
    """
    if root is not None and "root" in node:
        return {**node, "root": root}
    if node.get("root") is not None and "download" in node:
        return {**node, "download": False}  # never write to a folder that a stored file names
    return dict(node)
