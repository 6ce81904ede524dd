"""Where the outcome of a comparison goes: the terminal, files, and the summary of a CI job."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from bench.cli.streams import output_was_lost
from bench.cli.terminal import say, wide_console
from bench.gate.model import EXIT_FAILED, Comparison, gravest
from bench.gate.words.as_json import as_json
from bench.gate.words.junit import junit_xml
from bench.gate.words.markdown import markdown
from bench.gate.words.table import print_comparison

SUMMARY = "GITHUB_STEP_SUMMARY"  # names the file whose Markdown is shown with the job
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
