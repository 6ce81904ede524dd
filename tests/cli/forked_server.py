"""The server process of forked.py, which imports no more than the commands of its forks.

Whatever else it had would cost each of them time: Hydra goes through all modules several times.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any

# What a reader that has left leaves behind, as of `| head -1`.
CLOSED_PIPE = Path("closed pipe")


def _serve() -> None:
    """Fork for each line of the input, and print how the fork ended."""
    for module in sys.argv[1:]:
        importlib.import_module(module)
    gc.freeze()  # the forks share what is imported; looking through it again would copy it
    while line := os.read(0, 1_000_000).decode():
        child = os.fork()
        if child == 0:
            _become(json.loads(line))
            return
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(order: dict[str, Any]) -> None:
    """Be the command that was ordered."""
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["variables"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(_opened(order["out"]), 1)
    os.dup2(_opened(order["err"]), 2)
    sys.argv = [order["program"], *order["arguments"]]
    sys.path[0] = order["folder"]
    if "\n" in order["program"]:
        exec(order["program"], {"__name__": "__main__"})
    else:
        runpy.run_module(order["program"], run_name="__main__", alter_sys=True)


def _opened(path: str) -> int:
    if path != str(CLOSED_PIPE):
        return os.open(path, os.O_WRONLY | os.O_CREAT)
    reading, writing = os.pipe()
    os.close(reading)
    return writing


if __name__ == "__main__":
    _serve()
