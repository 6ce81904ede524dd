"""Jobs for the isolation tests, called by name in a fresh process."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.launch.isolation import Interrupted

Send = Callable[[Any], None]


def talk(argument: Any, send: Send, launched_s: float) -> None:
    send(("argument", argument))
    send(("pid", os.getpid()))
    send(("launch_s", time.monotonic() - launched_s))
    print("said on stdout")
    print("said on stderr", file=sys.stderr)


def kill_itself(argument: Any, send: Send, launched_s: float) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave(argument: Any, send: Send, launched_s: float) -> None:
    os._exit(argument)


def crash(argument: Any, send: Send, launched_s: float) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def wait_to_be_stopped(argument: Any, send: Send, launched_s: float) -> None:
    try:
        send("ready")
        signal.pause()
    except Interrupted:
        Path(argument).write_text("told to stop")
