"""A command that trains nothing, for tests of the command server: its argument says what to do."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from threading import Thread

from bench.launch.isolation import ForkServer

# Imported first by its fork server, it looks nothing up.
LOOKING_UP = Thread(target=time.monotonic)
LOOKING_UP.start()


def load() -> None:
    """Has no parts to import."""


def main() -> int:
    """Do what the first argument says."""
    what, *others = sys.argv[1:]
    if what == "tell":
        print("argv", others)
        print("pid", os.getpid(), file=sys.stderr)
        print("variable", os.environ.get("SET_BY_A_RUN"))
        print("input", sys.stdin.read())
        os.environ["SET_BY_A_RUN"] = "yes"
    elif what == "exit":
        return int(others[0])
    elif what == "leave":
        sys.exit(others[0])
    elif what == "break":
        raise RuntimeError("a defect")
    elif what == "fork":
        server = ForkServer([])
        server.run("tests.launch.jobs:tell_server", None, log=Path(others[0]), on_message=print)
    elif what == "wait":
        print("ready", flush=True)
        try:
            time.sleep(60)
        finally:
            print("interrupted", flush=True)
    return 0
