"""Runs one command several times for bench.ab: `python -m bench.cli.command_server MODULE`.

The arguments that all runs have may follow: they decide what is imported ahead. The command is
imported once, and called for each request as if it had been started anew. What it
measures is as always a fork of a fork server. That one is a program of its own: it is started anew
for as many runs as bench.ab asks for, because its forks share its memory layout.

Requests come as lines of JSON on standard input, replies go to standard output. At the end of the
input, which comes also if bench.ab is killed, a run in progress is interrupted, and the server
ends. bench/launch/command_client.py is the other side.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, TextIO

from bench.cli.ahead import PROCESSOR_MODULE, preloaded_modules
from bench.cli.start import CRASHED, INTERRUPTED
from bench.core.environment import settle_environment
from bench.launch.command_client import PROTOCOL
from bench.launch.isolation import ForkServer
from bench.launch.server import NotStarted
from bench.launch.stopping import interrupt_on_signals

# The commands that can be served, with the module of their jobs, which the fork server imports.
JOBS = {
    "bench.train": "bench.training.job",
    "bench.serve": "bench.serving.job",
    "bench.maintain": "bench.drift.job",
}


def main() -> int:
    """Serve a command until the input ends."""
    module = sys.argv[1]
    requests, replies = _take_streams()
    if not hasattr(os, "pidfd_open"):
        raise SystemExit(
            "this system has no process descriptors, with which fork servers are renewed"
        )
    server = ForkServer(preload=preloaded_modules(JOBS[module]))
    # Looked up here, the processor need not be looked up by each fork server.
    looking_up = importlib.import_module(PROCESSOR_MODULE).LOOKING_UP
    command = importlib.import_module(module)
    command.load()
    looking_up.join()
    with _settled():
        server.renew()
    interrupt_on_signals()
    return _Service(module, command.main, server, requests, replies).run()


class _Service:
    """Answers requests, one after the other."""

    def __init__(
        self,
        module: str,
        command: Callable[[], int],
        server: ForkServer,
        requests: TextIO,
        replies: TextIO,
    ) -> None:
        self._module = module
        self._command = command
        self._server = server
        self._requests = requests
        self._replies = replies
        self._queue: SimpleQueue[str] = SimpleQueue()
        self._is_running = False

    def run(self) -> int:
        """Answer until the input ends, or a run is interrupted; the exit code of the server."""
        threading.Thread(target=self._read, daemon=True).start()
        self._reply({"protocol": PROTOCOL})
        while line := self._queue.get():
            code = self._answer(json.loads(line))
            self._reply({"code": code})
            if code == INTERRUPTED:
                return INTERRUPTED
        return 0

    def _read(self) -> None:
        """Hand requests to the main thread, and interrupt it if the input ends during a run."""
        for line in self._requests:
            self._queue.put(line)
        self._queue.put("")
        if self._is_running:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    def _answer(self, request: Mapping[str, Any]) -> int:
        if request["do"] == "renew":
            with _settled():
                return self._renew()
        self._is_running = True
        try:
            with _fresh_process([self._module, *request["arguments"]], request["log"]):
                return _exit_code(self._command)
        finally:
            self._is_running = False

    def _renew(self) -> int:
        try:
            self._server.renew()
        except NotStarted as error:
            print(f"error: {error}", file=sys.stderr)
            return CRASHED
        return 0

    def _reply(self, reply: Mapping[str, Any]) -> None:
        try:
            self._replies.write(json.dumps(reply) + "\n")
            self._replies.flush()
        except BrokenPipeError:  # bench.ab has been killed, and the input ends too
            return


def _exit_code(command: Callable[[], int]) -> int:
    """Call a command; its exit code, as `python -m` would have it."""
    try:
        return command()
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as ended:  # Hydra's --help and the like
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
            return 1
        return ended.code or 0
    except Exception:
        traceback.print_exc()
        return 1


def _take_streams() -> tuple[TextIO, TextIO]:
    """Take the standard streams for requests and replies; nothing else may read or print there."""
    requests, replies = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    return os.fdopen(requests), os.fdopen(replies, "w")


@contextmanager
def _settled() -> Iterator[None]:
    """The environment as a command prepares it for its jobs; afterwards it is as it was."""
    before = dict(os.environ)
    settle_environment()
    try:
        yield
    finally:
        _restore(before)


@contextmanager
def _fresh_process(argv: list[str], log: str) -> Iterator[None]:
    """Let the block find arguments, variables and streams as in a process of its own."""
    from bench.cli.app import sweep_id  # slow to import, so after the fork server has begun

    sweep_id.cache_clear()
    variables, streams = dict(os.environ), (sys.stdout, sys.stderr)
    kept = os.dup(1), os.dup(2)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    sys.argv = argv
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, saved in zip((1, 2), kept, strict=True):
            os.dup2(saved, number)
            os.close(saved)
        sys.stdout, sys.stderr = streams
        _restore(variables)


def _restore(variables: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(variables)


if __name__ == "__main__":
    sys.exit(main())
