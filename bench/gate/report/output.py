"""Where a comparison goes: the terminal, the files asked for, and the summary of a CI job."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from bench.cli.start import output_was_lost
from bench.cli.terminal import say, wide_console
from bench.gate.model import EXIT_FAILED, Comparison, gravest
from bench.gate.report.writers import as_json, junit_xml, markdown, print_comparison

SUMMARY = "GITHUB_STEP_SUMMARY"  # names the file whose Markdown is shown with the job
_WRITERS: dict[str, Callable[[Comparison], bytes]] = {
    "markdown": lambda comparison: markdown(comparison).encode(),
    "json": lambda comparison: as_json(comparison).encode(),
    "junit": junit_xml,
}


def report(comparison: Comparison, files: Mapping[str, Path]) -> int:
    """Print a comparison, and write its files as `write` does.

    Returns:
        As `write`; EXIT_FAILED counts for a terminal that cannot be written to, too.
    """
    print_comparison(comparison, wide_console())
    is_printed = not output_was_lost()
    code = write(comparison, files)
    return code if is_printed else gravest([code, EXIT_FAILED])


def write(comparison: Comparison, files: Mapping[str, Path]) -> int:
    """Write the files asked for, and append to the job's summary.

    Args:
        comparison: What is written.
        files: By the key that names each.

    Returns:
        The exit code of the comparison, or EXIT_FAILED where a file could not be written and the
        comparison's is not graver. Each such file is reported; the others are written.
    """
    written = [_write_file(key, path, comparison) for key, path in files.items()]
    if summary := os.environ.get(SUMMARY):
        written.append(_append_summary(Path(summary), comparison))
    return comparison.exit_code if all(written) else gravest([comparison.exit_code, EXIT_FAILED])


def _write_file(key: str, path: Path, comparison: Comparison) -> bool:
    """Write one file; where that fails, remove it: an earlier check's would look like this one's.

    Returns:
        Whether it was written.
    """
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


def _append_summary(path: Path, comparison: Comparison) -> bool:
    try:
        with path.open("ab") as file:
            file.write(_WRITERS["markdown"](comparison))
    except OSError as error:
        complain(f"{SUMMARY}={path}: cannot write there ({error.strerror})")
        return False
    return True


def complain(message: str) -> None:
    """Print an error; further lines of the message are kept."""
    say(Console(stderr=True), f"error: {message}")
