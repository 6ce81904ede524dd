"""Where a comparison goes: the terminal, the files asked for, and the summary of a CI job."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

from rich.console import Console

from bench.cli.start import output_was_lost
from bench.cli.terminal import say, wide_console
from bench.gate.model import Comparison, Exit, gravest
from bench.gate.report.exchange import (
    bencher,
    bigger_is_better,
    openmetrics,
    smaller_is_better,
)
from bench.gate.report.explain import print_explanation
from bench.gate.report.writers import as_json, junit_xml, markdown, print_comparison

SUMMARY = "GITHUB_STEP_SUMMARY"  # names the file whose Markdown is shown with the job
_WRITERS: dict[str, Callable[[Comparison], bytes]] = {
    "markdown": lambda comparison: markdown(comparison).encode(),
    "json": lambda comparison: as_json(comparison).encode(),
    "junit": junit_xml,
    "bencher": lambda comparison: bencher(comparison).encode(),
    "smaller_is_better": lambda comparison: smaller_is_better(comparison).encode(),
    "bigger_is_better": lambda comparison: bigger_is_better(comparison).encode(),
    "openmetrics": lambda comparison: openmetrics(comparison).encode(),
}


def report(comparison: Comparison, files: Mapping[str, Path]) -> int:
    """Print a comparison, and write its files as `write` does.

    Returns:
        As `write`; Exit.FAILED counts for a terminal that cannot be written to, too.
    """
    print_comparison(comparison, wide_console())
    if comparison.explanation is not None:
        print_explanation(comparison.explanation, wide_console())
    # A closed pipe raises nothing, so it has to be asked.
    is_printed = not output_was_lost()
    code = write(comparison, files)
    return code if is_printed else gravest([code, Exit.FAILED])


def write(comparison: Comparison, files: Mapping[str, Path]) -> int:
    """Write the files asked for, and append to the job's summary.

    Args:
        comparison: What is written.
        files: By the key that names each.

    Returns:
        The exit code of the comparison, or Exit.FAILED where a file could not be written and the
        comparison's is not graver. Each such file is reported; the others are written.
    """
    is_written = True
    for key, path in files.items():
        if _save(key, path, _WRITERS[key](comparison)):
            say(wide_console(), f"written: {path}")
        else:
            is_written = False
            # An earlier check's file would look like this one's.
            with suppress(OSError):
                if path.is_file():
                    path.unlink()
    if summary := os.environ.get(SUMMARY):
        markdown_bytes = _WRITERS["markdown"](comparison)
        # Appended: other steps of the job write to the same file.
        is_written &= _save(SUMMARY, Path(summary), markdown_bytes, mode="ab")
    return comparison.exit_code if is_written else gravest([comparison.exit_code, Exit.FAILED])


def _save(key: str, path: Path, content: bytes, *, mode: Literal["wb", "ab"] = "wb") -> bool:
    """Write to a file; return whether that worked, after a message if not."""
    try:
        if mode == "wb":
            path.parent.mkdir(parents=True, exist_ok=True)
        with path.open(mode) as file:
            file.write(content)
    except OSError as error:
        complain(f"{key}={path}: cannot write there ({error.strerror})")
        return False
    return True


def complain(message: str) -> None:
    """Print an error; further lines of the message are kept."""
    say(Console(stderr=True), f"error: {message}")
