"""bench.verify: verifies all runs below some folders, and prints what was found."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.cli.app import run_once
from bench.cli.start import CRASHED
from bench.cli.terminal import say, wide_console
from bench.config.verify import VerifyConfig
from bench.core.files import StoreError, expand_path, write_output
from bench.core.find import runs_below
from bench.verification.model import Findings

_AGREE, _DIFFER = 0, 1
_MOST_SHOWN = 20  # differences of one run


def verify_command() -> int:
    """Run bench.verify with the keys of the command line; return its exit code."""
    return run_once("verify", VerifyConfig, _run)


def _run(plain: Mapping[str, Any]) -> int:
    """Verify all runs.

    Raises:
        ValueError: A folder does not exist, or has no runs.
    """
    config = VerifyConfig.from_dict(plain)
    from bench.verification.verify import verify_run  # slow to import, needless for a wrong value

    console = wide_console()
    found: dict[str, Findings] = {}
    unreadable: dict[str, str] = {}
    for folder in _folders(config):
        try:
            found[str(folder)] = verify_run(folder)
        except StoreError as error:
            unreadable[str(folder)] = str(error)
            say(console, f"{folder}: cannot be verified: {error}", style="bold red")
            continue
        _print_differences(str(folder), found[str(folder)], console)
    _print_summary(found, unreadable, console)
    if config.json is not None:
        runs = {folder: asdict(each) for folder, each in found.items()}
        content = {"runs": runs, "unreadable": unreadable}
        text = json.dumps(content, indent=2, default=str)
        write_output("json", Path(config.json), f"{text}\n")
    if unreadable:
        return CRASHED
    return _DIFFER if any(each.differences for each in found.values()) else _AGREE


def _folders(config: VerifyConfig) -> list[Path]:
    folders = []
    for text in config.results:
        path = expand_path(text)
        if not path.is_dir():
            raise ValueError(f"results={text}: no such folder")
        below = sorted(map(Path, runs_below(str(path))))
        if not below:
            raise ValueError(f"results={text}: no runs there")
        folders += below
    return folders


def _print_differences(name: str, found: Findings, console: Console) -> None:
    for each in found.differences[:_MOST_SHOWN]:
        text = f"{name}: {each.key}: stored {each.stored}, recomputed {each.recomputed}"
        say(console, text, style="red")
    if (more := len(found.differences) - _MOST_SHOWN) > 0:
        say(console, f"{name}: {more} more differ; json=FILE lists them")


def _print_summary(
    found: Mapping[str, Findings], unreadable: Mapping[str, str], console: Console
) -> None:
    num_agree = sum(each.num_agree for each in found.values())
    num_differ = sum(len(each.differences) for each in found.values())
    reasons = Counter(
        f"{key}: {reason}" for each in found.values() for key, reason in each.unknown.items()
    )
    if reasons:
        say(console, "cannot be recomputed, and in how many runs:", style="bold")
    for text, num in sorted(reasons.items()):
        say(console, f"  {text} ({num})")
    runs = f"{len(found)} run{'s' * (len(found) != 1)}"
    say(console, f"{runs}: {num_agree} values agree, {num_differ} differ", style="bold")
    if num := sum(bool(each.missing) for each in found.values()):
        text = "without readings or samples, of an older version or removed since"
        say(console, f"{num} of them {text}")
    if unreadable:
        say(console, f"{len(unreadable)} cannot be read", style="bold red")
