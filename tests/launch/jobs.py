"""Jobs for the isolation tests, called by name in a fresh process."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.launch import child
from bench.launch.child import Interrupted

Send = Callable[[Any], None]
IMPORTED_S = time.monotonic()


def talk(argument: Any, send: Send, launched_s: float) -> None:
    send(("argument", argument))
    send(("pid", os.getpid()))
    send(("launch_s", time.monotonic() - launched_s))
    print("said on stdout")
    print("said on stderr", file=sys.stderr)


def compare_with_the_import(argument: Any, send: Send, launched_s: float) -> None:
    send((launched_s, IMPORTED_S))


def tell_settings(argument: Any, send: Send, launched_s: float) -> None:
    send((gc.isenabled(), gc.get_freeze_count(), list(os.environ)))


def tell_main_module(argument: Any, send: Send, launched_s: float) -> None:
    """Whether the job has a main module from a file, that of the program that started it."""
    send(hasattr(sys.modules["__main__"], "__file__"))


def kill_itself(argument: Any, send: Send, launched_s: float) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def start_another_and_be_killed(argument: Any, send: Send, launched_s: float) -> None:
    send(subprocess.Popen(["sleep", "600"]).pid)
    os.kill(os.getpid(), signal.SIGKILL)


def take_a_moment(argument: Any, send: Send, launched_s: float) -> None:
    while time.process_time() < argument:
        pass


def leave(argument: Any, send: Send, launched_s: float) -> None:
    os._exit(argument)


def crash(argument: Any, send: Send, launched_s: float) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def hang_with_another(argument: Any, send: Send, launched_s: float) -> None:
    """As one that waits for another rank in native code, which no signal reaches."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    child.GRACE_S = 0.2
    send((os.getpid(), subprocess.Popen(["sleep", "600"]).pid))
    time.sleep(600)


def end_with_another(argument: Any, send: Send, launched_s: float) -> None:
    send(subprocess.Popen(["sleep", "600"]).pid)
    sys.exit(argument)


def be_terminated_twice(argument: Any, send: Send, launched_s: float) -> None:
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(600)
    except Interrupted:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        send("ended in order")


def tell_start_method(argument: Any, send: Send, launched_s: float) -> None:
    send(multiprocessing.get_start_method())


def start_one_to_terminate(argument: Any, send: Send, launched_s: float) -> None:
    """Send the exit code of a forked process that ignores exceptions and is sent SIGTERM."""
    process = multiprocessing.get_context("fork").Process(target=_ignore_exceptions)
    process.start()
    process.terminate()
    process.join()
    send(process.exitcode)


def _ignore_exceptions() -> None:
    while True:
        with suppress(BaseException):
            time.sleep(600)


def wait_to_be_stopped(argument: Any, send: Send, launched_s: float) -> None:
    try:
        send("ready")
        while True:  # signal.pause() would miss one that comes just before it
            time.sleep(0.01)
    except Interrupted as reason:
        Path(argument).write_text(f"told to stop: {reason}")


def kill_the_server_and_go_on(argument: Any, send: Send, launched_s: float) -> None:
    """Its own parent; the work goes on for a moment and is done."""
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(0.3)
    Path(argument).write_text("done")
    send("last words")


def hold_on(argument: Any, send: Send, launched_s: float) -> None:
    """Leave a process behind that has all of this one's files open."""
    if os.fork() == 0:
        time.sleep(600)
        os._exit(0)
    send("left one behind")


def tell_open_files(argument: Any, send: Send, launched_s: float) -> None:
    found = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    send(found)


def tell_server(argument: Any, send: Send, launched_s: float) -> None:
    """The process that this one was forked from."""
    send(os.getppid())
