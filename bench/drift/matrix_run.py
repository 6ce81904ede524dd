"""Finds the run of an oracle whose matrix another run uses again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.core.identity import without_key
from bench.core.regret import stream_hash
from bench.core.store import read_record
from bench.runs.find import find_runs

MATRIX = "matrix.json"
_KEY = "policy.matrix"


def matrix_folder(values: Mapping[str, Any]) -> Path:
    """The folder of the run that policy.matrix names, on the same stream and with the same seed.

    The price of an error may differ: the matrix does not depend on it.

    Args:
        values: The resolved configuration.

    Raises:
        ValueError: There is no such run, or it has no matrix.
    """
    name = str(values["policy"]["matrix"])
    folders = find_runs(Path(values["results"]).absolute(), name, key=_KEY, command="maintain")
    wanted = _task(values)
    for folder in reversed(folders):
        if (folder / MATRIX).exists() and _task(read_record(folder).config) == wanted:
            return folder
    raise ValueError(
        f"{_KEY}={name}: none of its {len(folders)} runs has a matrix of this stream with "
        f"seed={values['seed']}; name runs of policy=oracle, or leave it at null"
    )


def _task(values: Mapping[str, Any]) -> tuple[str, int]:
    return stream_hash(without_key(dict(values), "error_price_usd")), values["seed"]
