"""Gives the files of tests to the workers of pytest-xdist as a whole, and slow ones first.

What a file's fixtures make, and what Hydra composed for its tests, is then made by one worker. Half
as many messages pass between the workers and the process that started them. Slow files come first
so that the workers end together.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

# Their tests start processes, compile, train or draw; all others take a fraction of a second.
SLOW_FIRST = (
    "tests/cli/test_train_command.py",
    "tests/cli/test_serve_command.py",
    "tests/compression/",
    "tests/serving/backends/",
    "tests/cli/",
    "tests/analysis/",
    "tests/gate/run/",
    "tests/runs/",
)


def sort_slow_first(items: list[pytest.Item]) -> None:
    """Bring the items of slow files to the front; files keep the order of their tests."""

    def rank(item: pytest.Item) -> int:
        places = (n for n, path in enumerate(SLOW_FIRST) if item.nodeid.startswith(path))
        return next(places, len(SLOW_FIRST))

    items.sort(key=rank)


def schedule_by_file(config: pytest.Config, log: object) -> Any:
    """Like `--dist loadgroup`, but tests without a group form one group per file."""
    # Imported by name because xdist has no types.
    scheduler: Any = import_module("xdist.scheduler").LoadGroupScheduling(config, log)
    group_of = scheduler._split_scope
    scheduler._split_scope = lambda nodeid: group_of(nodeid).partition("::")[0]
    config.option.loadscopereorder = False  # it would sort groups by their number of tests
    return scheduler
