"""Where the outcome of a comparison goes: the terminal, files, and the summary of a CI job."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from bench.cli.gate_table import print_comparison
from bench.cli.terminal import wide_console
from bench.gate.as_json import as_json
from bench.gate.config import OutputConfig
from bench.gate.junit import junit_xml
from bench.gate.markdown import markdown
from bench.gate.model import Comparison

SUMMARY = "GITHUB_STEP_SUMMARY"  # names the file whose Markdown is shown with the job
_WRITERS: dict[str, Callable[[Comparison], bytes]] = {
    "markdown": lambda comparison: markdown(comparison).encode(),
    "json": lambda comparison: as_json(comparison).encode(),
    "junit": junit_xml,
}


def report(comparison: Comparison, config: OutputConfig) -> None:
    """Print a comparison, write the files that are asked for, and add to the job's summary.

    Raises:
        ValueError: A file could not be written; the others are.
    """
    print_comparison(comparison, wide_console())
    write(comparison, config)


def write(comparison: Comparison, config: OutputConfig) -> None:
    """Write the files that are asked for, and add to the job's summary.

    Raises:
        ValueError: A file could not be written; the others are.
    """
    failures = []
    for key, path in config.output_files().items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_WRITERS[key](comparison))
        except OSError as error:
            failures.append(f"{key}={path}: cannot write there ({error.strerror})")
        else:
            print(f"written: {path}")
    if summary := os.environ.get(SUMMARY):
        try:
            with Path(summary).open("ab") as file:
                file.write(_WRITERS["markdown"](comparison))
        except OSError as error:
            failures.append(f"{SUMMARY}={summary}: cannot write there ({error.strerror})")
    if failures:
        raise ValueError("; ".join(failures))
