"""Adds what was compared to the history, and looks at all of it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from bench.config.gate import CompareConfig
from bench.core.files import replace_file
from bench.gate.history.model import History
from bench.gate.history.series import history_of
from bench.gate.history.store import SERIES_FILE, add_check, read_checks
from bench.gate.report.writers import json_value
from bench.gate.sides.side import Side


def keep_history(config: CompareConfig, baseline: Side | None, candidate: Side) -> History | None:
    """Add both sides to the history, and find its change points; None without `history=`.

    A baseline is added only if it is an accepted one, from a file.

    Args:
        config: Names the folder, and whether the candidate becomes the baseline.
        baseline: None if there is none yet.
        candidate: What is checked.

    Raises:
        ValueError: The history cannot be read or written; the message names the key.
    """
    if config.history is None:
        return None
    folder = Path(config.history)
    try:
        if baseline is not None and Path(config.baseline).is_file():
            add_check(folder, baseline, accepted=True)
        add_check(folder, candidate, accepted=config.accept)
        history = history_of(read_checks(folder), candidate, config)
        _write_series(folder, history)
    except ValueError as error:  # the message begins with the path
        raise ValueError(f"history={error}") from error
    except OSError as error:
        raise ValueError(f"history={folder}: cannot write there ({error.strerror})") from error
    return history


def _write_series(folder: Path, history: History) -> None:
    """Write what analysis draws; it can be made again from the other files."""
    folder.mkdir(parents=True, exist_ok=True)
    tree = json_value({"kind": "perf history", "format": 1, **asdict(history)})
    replace_file(folder / SERIES_FILE, (json.dumps(tree, indent=1) + "\n").encode())
