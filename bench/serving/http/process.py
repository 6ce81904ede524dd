"""Starts the server as a child process, waits until it is ready, and stops it.

The server is a direct child of the measuring process, so its CPU time and memory count for that
process's tree. Its output goes to a file, whose last lines explain an unexpected end.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Self

from bench.core.files import last_lines
from bench.serving.backend import BackendRefuses
from bench.serving.http.limits import (
    LimitUnavailable,
    MemoryGroup,
    make_memory_group,
    thread_environment,
)
from bench.serving.http.spec import ServerSpec

# Between SIGTERM and SIGKILL. By then nobody waits for an answer any more.
_GRACE_S = 5.0
_TAIL_LINES = 5
_TAIL_BYTES = 4096


class ServerDied(OSError):  # noqa: N818 -- named for what happened
    """A needed process has ended by itself; one line with the end of its log."""


class Child:
    """A program that runs until stop(), or until the thread that started it ends."""

    def __init__(
        self,
        what: str,
        command: Sequence[str],
        *,
        log: Path,
        procs: Path | None = None,
        pass_fds: Sequence[int] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start it.

        Args:
            what: Its name in errors.
            command: Path of the program, and its arguments.
            log: File to which its output is appended.
            procs: The file cgroup.procs of the group that it joins first.
            pass_fds: Descriptors that it inherits.
            environment: Variables in addition to those of this process.

        Raises:
            ValueError: The log cannot be written.
            OSError: The program cannot be started.
        """
        self.what = what
        self._log = log
        spawn = Path(__file__).with_name("spawn.py")
        # Isolated and without site, because this interpreter only joins a group and becomes the
        # program.
        become = [sys.executable, "-I", "-S", str(spawn), str(os.getpid()), str(procs or "")]
        with _open_log(log) as output:
            self._process = subprocess.Popen(
                [*become, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=pass_fds,
                env={**os.environ, **(environment or {})},
            )
        self.pid = self._process.pid

    def gone(self) -> ServerDied | None:
        """The reason why it has ended; None while it runs."""
        # Also reaps the process, so that it does not stay as a zombie.
        code = self._process.poll()
        if code is None:
            return None
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        return ServerDied(f"{self.what} {how}; last lines of {self._log}: {log_tail(self._log)}")

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end; return whether it has ended."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self) -> None:
        """Ask it to end, then kill it if it does not; do nothing if it has already ended."""
        if self._process.poll() is None:
            self._process.terminate()
            if not self.wait(_GRACE_S):
                self._process.kill()
        self._process.wait()


def _open_log(path: Path) -> IO[bytes]:
    try:
        return path.open("ab")
    except OSError as error:
        raise _unwritable(path, error) from error


def log_tail(path: Path) -> str:
    """The last lines of a log, joined into one."""
    try:
        tail = last_lines(path, _TAIL_LINES, most_bytes=_TAIL_BYTES)
    except OSError as error:  # the user may have removed it
        return f"not known ({error.strerror})"
    return " | ".join(line.strip() for line in tail) or "nothing"


class HttpServer:
    """Our server in its own process, for the length of a `with` block.

    Enter it in a thread that outlives the block, as the main thread does, because the kernel ends
    the server with the thread that started it. Within the block it has url, pid, facts (those of
    the backend, and http_server), load_s, warmup_s, compile_s (None if nothing is compiled) and
    memory_limit (what limits its memory, or why nothing does; None without a limit).
    """

    url: str
    pid: int
    facts: dict[str, str]
    load_s: float
    warmup_s: float
    compile_s: float | None
    memory_limit: str | None

    def __init__(
        self,
        spec: ServerSpec,
        *,
        log: Path,
        memory_limit_bytes: int | None = None,
        cgroup_root: Path = Path("/"),
    ) -> None:
        """Start nothing yet.

        Args:
            spec: The model to serve, and the address.
            log: File for its output; the specification goes beside it.
            memory_limit_bytes: Limit of its memory; None for no limit.
            cgroup_root: Root of the file system in which to look for control groups.
        """
        self._spec = spec
        self._log = log
        self._memory_limit_bytes = memory_limit_bytes
        self._cgroup_root = cgroup_root
        self._group: MemoryGroup | None = None
        self._child: Child | None = None
        self._cleanup = ExitStack()

    def __enter__(self) -> Self:
        """Start it and wait until it is ready.

        Raises:
            BackendRefuses: Its backend does not run this model in this way.
            ValueError: It cannot start (a port in use, a runtime that is not installed, an invalid
                feature store), or it was not ready in time.
            ServerDied: It ended, for instance at its memory limit.
        """
        with ExitStack() as stack:
            self._limit_memory(stack)
            ready = self._start(stack)
            self._cleanup = stack.pop_all()
        self.facts = {name: str(fact) for name, fact in ready["facts"].items()}
        self.load_s, self.warmup_s = ready["load_s"], ready["warmup_s"]
        self.compile_s = ready["compile_s"]
        self.url = f"http://{_reachable(self._spec.http.host)}:{ready['port']}"
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop it and wait for its end."""
        self._cleanup.close()

    def gone(self) -> ServerDied | None:
        """The reason why the server has ended; None while it runs."""
        died = self._child.gone() if self._child else None
        group = self._group
        # After the block, the group is gone.
        if died is not None and group and group.folder.exists() and group.num_oom_kills():
            return ServerDied(
                f"the server was killed at its memory limit of {group.limit_bytes} bytes; "
                "raise placement.memory_limit_bytes"
            )
        return died

    def _limit_memory(self, stack: ExitStack) -> None:
        self.memory_limit = None
        if self._memory_limit_bytes is None:
            return
        name = f"bench_server_{uuid.uuid4().hex[:8]}"
        try:
            self._group = make_memory_group(
                self._memory_limit_bytes, name=name, root=self._cgroup_root
            )
        except LimitUnavailable as error:
            self.memory_limit = f"not limited: {error}"
            return
        stack.callback(self._group.remove)
        self.memory_limit = self._group.description

    def _start(self, stack: ExitStack) -> dict[str, Any]:
        """Start the process, and return its message that it is ready."""
        path = self._log.with_suffix(".spec.json")
        try:
            self._spec.write(path)
        except OSError as error:
            raise _unwritable(path, error) from error
        reader, writer = os.pipe()
        stack.callback(os.close, reader)
        module = "bench.serving.http.server"
        try:
            self._child = Child(
                "the server",
                # -P: a folder bench/ in the working directory must not hide this package.
                [sys.executable, "-P", "-m", module, str(path), str(writer)],
                log=self._log,
                procs=self._group.procs if self._group else None,
                pass_fds=[writer],
                environment={
                    **thread_environment(self._spec.num_threads),
                    # The server must be able to import the user's own classes, too.
                    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                },
            )
        finally:
            os.close(writer)  # so that reading ends when the server ends
        stack.callback(self._child.stop)
        self.pid = self._child.pid
        return self._await_ready(self._child, reader)

    def _await_ready(self, child: Child, reader: int) -> dict[str, Any]:
        timeout_s = self._spec.http.start_timeout_s
        line = _read_line(reader, timeout_s)
        if line is None:
            raise ValueError(
                f"the server was not ready within backend.http.start_timeout_s={timeout_s:g} "
                f"seconds; last lines of {self._log}: "
                f"{log_tail(self._log)}"
            )
        if not line:  # the server has closed the pipe, so it is about to end
            child.wait(_GRACE_S)
            raise self.gone() or ServerDied("the server closed its report and did not end")
        message: dict[str, Any] = json.loads(line)
        if "error" in message:
            raise (BackendRefuses if message["refused"] else ValueError)(message["error"])
        return message


def _unwritable(path: Path, error: OSError) -> ValueError:
    return ValueError(
        f"{path}: cannot be written ({error.strerror}); make room or give another results=DIR"
    )


def _read_line(reader: int, timeout_s: float) -> str | None:
    """Read one line: empty if the other end closed without one, None if none came in time."""
    deadline_s = time.monotonic() + timeout_s
    received = b""
    while not received.endswith(b"\n"):
        remaining_s = deadline_s - time.monotonic()
        if remaining_s <= 0 or not select.select([reader], [], [], remaining_s)[0]:
            return None
        chunk = os.read(reader, 65536)
        if not chunk:
            return ""
        received += chunk
    return received.decode()


def _reachable(host: str) -> str:
    """The host part of a URL that reaches a server which is bound to this host."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{host}]" if ":" in host else host
