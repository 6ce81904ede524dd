"""Where the outcome of a comparison goes: the terminal, files, and the summary of a CI job."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from bench.cli.start import output_was_lost
from bench.cli.terminal import say, wide_console
from bench.gate.model import EXIT_FAILED, Comparison, gravest
from bench.gate.words.junit import junit_xml
from bench.gate.words.markdown import markdown
from bench.gate.words.sentences import verdict_line
from bench.gate.words.table import print_comparison

# Raised when a field is renamed or means something else; not when one is added.
FORMAT_VERSION = 2
SUMMARY = "GITHUB_STEP_SUMMARY"  # names the file whose Markdown is shown with the job


def as_json(comparison: Comparison) -> str:
    """All of a comparison, its exit code and its verdict in words.

    What is infinite or not a number is null: JSON has no words for it.
    """
    content = {
        "format_version": FORMAT_VERSION,
        "exit_code": comparison.exit_code,
        "verdict": verdict_line(comparison),
        **asdict(comparison),
    }
    return json.dumps(_plain(content), indent=2, allow_nan=False, default=str) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_whole(str(key)): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return _whole(value) if isinstance(value, str) else value


def _whole(text: str) -> str:
    """Halves of characters, which no strict reader takes, as their codes."""
    return text.encode(errors="backslashreplace").decode()


_WRITERS: dict[str, Callable[[Comparison], bytes]] = {
    "markdown": lambda comparison: markdown(comparison).encode(),
    "json": lambda comparison: as_json(comparison).encode(),
    "junit": junit_xml,
}


def report(comparison: Comparison, files: Mapping[str, Path]) -> int:
    """Print a comparison, write the files that are asked for, and add to the job's summary.

    Args:
        comparison: What is told.
        files: By the key that names each.

    Returns:
        The exit code: that of the comparison, or EXIT_FAILED where something could not be written
        and the comparison is not graver.
    """
    is_printed = _printed(comparison)
    code = write(comparison, files)
    return code if is_printed else gravest([code, EXIT_FAILED])


def _printed(comparison: Comparison) -> bool:
    print_comparison(comparison, wide_console())
    return not output_was_lost()


def write(comparison: Comparison, files: Mapping[str, Path]) -> int:
    """Write the files that are asked for, and add to the job's summary.

    Args:
        comparison: What is told.
        files: By the key that names each.

    Returns:
        As of report; each file that cannot be written is told, and the others are.
    """
    told = [_written(key, path, comparison) for key, path in files.items()]
    if summary := os.environ.get(SUMMARY):
        told.append(_added(Path(summary), comparison))
    return comparison.exit_code if all(told) else gravest([comparison.exit_code, EXIT_FAILED])


def _written(key: str, path: Path, comparison: Comparison) -> bool:
    """Whether a file could be written; one that could not is gone, or else it would be stale."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_WRITERS[key](comparison))
    except OSError as error:
        with suppress(OSError):
            if path.is_file():
                path.unlink()
        complain(f"{key}={path}: cannot write there ({error.strerror})")
        return False
    say(wide_console(), f"written: {path}")
    return True


def _added(summary: Path, comparison: Comparison) -> bool:
    try:
        with summary.open("ab") as file:
            file.write(_WRITERS["markdown"](comparison))
    except OSError as error:
        complain(f"{SUMMARY}={summary}: cannot write there ({error.strerror})")
        return False
    return True


def complain(message: str) -> None:
    """Say on standard error what went wrong."""
    say(Console(stderr=True), f"error: {message}")
