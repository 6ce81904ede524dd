"""Runs bench.maintain without a network, in a process that is a fork of the tests' fork server."""

from __future__ import annotations

import ctypes
from pathlib import Path

import bench.maintain
from tests.cli.command import run_here
from tests.fork_server import ForkedServer, forked_by

_CLONE_NEWNET = 0x40000000  # <linux/sched.h>


def maintain(folder: Path, *arguments: str) -> None:
    """Run the command and its jobs without even a loopback, where that is permitted."""
    ctypes.CDLL(None).unshare(_CLONE_NEWNET)
    with forked_by(ForkedServer()):
        run_here(folder, bench.maintain.main, *arguments)
