"""Starts a command server (bench.cli.command_server), and has it run a command several times.

Requests and replies are lines of JSON in pipes. The server ends when the pipe of its requests is
closed, so it does not outlive this process, however this one ends.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.core.files import last_lines
from bench.launch.logged import stop_process, wait_or_kill
from bench.launch.stopping import wait_for

PROTOCOL = 1  # raise it whenever requests or replies change
_MOST_BYTES = 20_000


class NotServed(Exception):  # noqa: N818 -- says what happened to the server
    """There is no server for this command and revision; one line with the reason."""


class CommandServer:
    """A server of one command at one revision, from the side of bench.ab."""

    def __init__(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path
    ) -> None:
        """Start the server, and do not wait for it.

        Args:
            command: Program and arguments of the server.
            folder: Its working directory.
            environment: Its environment variables.
            log: The file for everything that it prints outside of a run.
        """
        self._log = log
        self._is_busy = True  # until it is ready
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                start_new_session=True,  # so Ctrl-C in a terminal does not reach it
            )

    def wait_until_ready(self) -> None:
        """Wait until the server has imported its modules.

        Raises:
            NotServed: It ended instead, or speaks another version of the protocol.
        """
        hello = self._reply()
        if hello is None:
            code = wait_or_kill(self._process)
            last = last_lines(self._log, 1, most_bytes=_MOST_BYTES)
            raise NotServed(last[0].strip() if last else f"its server ended with {code}")
        if hello.get("protocol") != PROTOCOL:
            raise NotServed("its server is of another version")

    def start_renewing(self) -> None:
        """Let the server start another fork server in place of the one that it has."""
        self._request({"do": "renew"})

    def finish_renewing(self) -> int:
        """Wait until the new fork server is ready; returns 0, or the exit code of a failure."""
        return self._exit_code()

    def run(self, arguments: Sequence[str], log: Path) -> int:
        """Run the command and return its exit code, which is negative for a signal.

        Args:
            arguments: Those of the command.
            log: The file for everything that it prints.

        Raises:
            KeyboardInterrupt: This process was interrupted; stop() interrupts the run.
        """
        self._request({"do": "run", "arguments": list(arguments), "log": str(log)})
        return self._exit_code()

    def close(self) -> None:
        """Let the server end, if it is idle; wait for it with stop()."""
        if not self._is_busy and self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()

    def stop(self) -> None:
        """End the server, and wait until it has ended; a run in progress is interrupted first."""
        if self._is_busy:
            stop_process(self._process)
        self._is_busy = False
        self.close()
        wait_or_kill(self._process)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _request(self, request: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        self._is_busy = True
        with suppress(OSError):  # a server that has ended gives no reply, which is handled there
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()

    def _exit_code(self) -> int:
        reply = self._reply()
        if reply is None:
            return wait_or_kill(self._process) or 1  # ending without a reply is a failure
        return int(reply["code"])

    def _reply(self) -> dict[str, Any] | None:
        """The next reply; None if the server has ended, or prints something else."""
        assert self._process.stdout is not None
        wait_for([self._process.stdout.fileno()])  # it writes a line at a time
        line = self._process.stdout.readline()
        self._is_busy = False
        try:
            reply = json.loads(line)
        except ValueError:
            return None
        return reply if isinstance(reply, dict) else None
