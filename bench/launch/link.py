"""Connects the nodes of one training: each of the others with node 0, for as long as a run lasts.

The messages are JSON objects, one a line. If a node is lost, its end of the connection closes, and
the other end can tell. A waiting connection costs neither time nor energy.
"""

from __future__ import annotations

import json
import socket
import time
from contextlib import suppress
from multiprocessing.connection import wait
from typing import Any

from bench.launch.place import Place
from bench.launch.stopping import wait_for

# A command may begin this much later than that of another node: it imports from a slow disk, say.
MEET_S = 120.0
# A host that lost its power or its network closes no connection. It is missed after a minute.
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
_RETRY_S = 0.2
_MOST_BYTES = 65536


class NodeFailed(Exception):  # noqa: N818 -- says what happened to the node
    """A node of the training failed or was lost; one line that names it, with the reason."""


class Link:
    """Messages to and from another node."""

    def __init__(self, connection: socket.socket) -> None:
        """Take over a connection."""
        self._connection = connection
        self._received = b""
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if hasattr(socket, name):  # not on every system
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def fileno(self) -> int:
        """The descriptor of the connection, so that one can wait for it."""
        return self._connection.fileno()

    def send(self, **message: Any) -> None:
        """Send a message; it is lost if the other node is gone, which receive() tells."""
        with suppress(OSError):
            self._connection.sendall(json.dumps(message).encode() + b"\n")

    def receive(self, within_s: float | None = None) -> dict[str, Any] | None:
        """Wait for the next message; None if the other node is gone.

        Args:
            within_s: How long to wait; None for as long as the other node is there.

        Raises:
            TimeoutError: None came in time.
            ValueError: The other end sends something else.
        """
        deadline_s = None if within_s is None else time.monotonic() + within_s
        while b"\n" not in self._received:
            left_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
            if left_s is None:
                wait_for([self._connection])
            elif not wait([self._connection], left_s):
                raise TimeoutError
            try:
                data = self._connection.recv(_MOST_BYTES)
            except OSError:  # reset, or no answer to keepalive
                data = b""
            if not data:
                return None
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        message = json.loads(line)
        if not isinstance(message, dict):
            raise ValueError("not a message of a node")
        return message

    def close(self) -> None:
        """Close the connection, also for processes that have a copy of it."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()


def listen(place: Place) -> socket.socket:
    """Open the port of node 0 at which the other nodes call.

    Raises:
        ValueError: The port is in use.
    """
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    try:
        return socket.create_server(("", place.port), family=family, dualstack_ipv6=dual)
    except OSError as error:
        raise ValueError(
            f"port {place.port} of node 0: cannot be used for the nodes to meet "
            f"({error.strerror}); set another MASTER_PORT"
        ) from error


def call_first_node(place: Place, within_s: float = MEET_S) -> Link:
    """Connect with node 0, whose command may not have begun yet.

    Raises:
        NodeFailed: It does not answer.
    """
    deadline_s = time.monotonic() + within_s
    while True:
        try:
            left_s = max(_RETRY_S, deadline_s - time.monotonic())
            connection = socket.create_connection((place.address, place.port), timeout=left_s)
        except OSError as error:
            if time.monotonic() + _RETRY_S >= deadline_s:
                raise NodeFailed(
                    f"node 0 does not answer at {place.address}:{place.port} ({error}); set "
                    "MASTER_ADDR to an address of node 0 that the other nodes reach"
                ) from error
            time.sleep(_RETRY_S)
        else:
            connection.settimeout(None)
            return Link(connection)
