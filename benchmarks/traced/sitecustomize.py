"""Writes down when the named functions of a program begin and end, in all of its processes.

`benchmarks/around.py` puts this folder on PYTHONPATH of a command, so Python imports this file
first of all. The command, of whatever revision, need not know of it. A function is wrapped where it
is defined, right after its module was imported, so that every later import gets the wrapped one.

Environment: TRACED_FILE, the file to append JSON lines to; TRACED_STAGES, a JSON list of
[stage, module, qualified name].
"""

from __future__ import annotations

import functools
import importlib.abc
import json
import os
import sys
import time
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Stage = tuple[str, str, str]


def wrapped(function: Callable[..., Any], stage: str, file: int) -> Callable[..., Any]:
    """Make a function that does the same, and notes when it began and ended."""

    @functools.wraps(function)
    def noted(*arguments: Any, **named: Any) -> Any:
        began_s = time.monotonic()
        try:
            return function(*arguments, **named)
        finally:
            note(file, stage, began_s)

    return noted


def note(file: int, stage: str, began_s: float) -> None:
    """Append a line in one write, since several processes write to the file."""
    line = {"stage": stage, "pid": os.getpid(), "began_s": began_s, "ended_s": time.monotonic()}
    os.write(file, json.dumps(line).encode() + b"\n")


def wrap_in(module: ModuleType, stages: list[Stage], file: int) -> None:
    """Wrap the functions of a module that are stages; names that it does not have are left out."""
    for stage, _, name in stages:
        *owners, last = name.split(".")
        owner: Any = module
        for each in owners:
            owner = getattr(owner, each, None)
        raw = vars(owner).get(last) if owner is not None else None
        if isinstance(raw, classmethod):
            setattr(owner, last, classmethod(wrapped(raw.__func__, stage, file)))
        elif callable(raw):
            setattr(owner, last, wrapped(raw, stage, file))


class Wrapping(importlib.abc.MetaPathFinder):
    """Wraps the functions of each module with stages, when it is imported."""

    def __init__(self, stages: list[Stage], file: int) -> None:
        self._stages, self._file = stages, file

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """Find a module with stages as Python does, and have it wrapped once it has run."""
        mine = [stage for stage in self._stages if stage[1] == name]
        if not mine:
            return None
        others = (each for each in sys.meta_path if each is not self)
        spec = next((s for each in others if (s := each.find_spec(name, path, target))), None)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def run_and_wrap(module: ModuleType) -> None:
                run(module)
                wrap_in(module, mine, self._file)

            spec.loader.exec_module = run_and_wrap  # type: ignore[method-assign]
        return spec


if "TRACED_FILE" in os.environ:
    _FILE = os.open(os.environ["TRACED_FILE"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.set_inheritable(_FILE, True)
    sys.meta_path.insert(0, Wrapping(json.loads(os.environ["TRACED_STAGES"]), _FILE))
