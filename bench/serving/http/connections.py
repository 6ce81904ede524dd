"""Connections of the server, with limits on the memory and time that a client can cost it.

uvicorn's own protocol keeps whatever a client sends: endless heads, trailers and pipelined
requests, and idle connections. Here, the size of a head is limited, a connection has one request at
a time, and a request that does not arrive in time is dropped. Requests that never reach the
application get their answer here, as JSON like all answers.

Sources: RFC 9112, 9.3.2 (a server may close a connection after any answer, and the client sends
pipelined requests again); RFC 6585, 5 (431).
"""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal, NoReturn

import httptools
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Each header becomes a few Python objects, so small ones take many times their bytes.
_MAX_HEADERS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """Limits on what the server accepts from its clients.

    Attributes:
        max_connections: Further connections get 503 as the answer to their request; beyond twice
            as many they are closed at once.
        max_request_bytes: Size of a body; the application refuses a larger one. The lengths of its
            chunks may take as many bytes again.
        max_head_bytes: Size of a request line with its headers, and with trailers.
        head_timeout_s: From the start of a connection, or from the first byte of a later request,
            until the head is complete.
        body_timeout_s: From then until the body is complete; also for the client to read the
            answer.
        check_s: Time between two checks of a connection.
    """

    max_connections: int
    max_request_bytes: int
    max_head_bytes: int = 65536
    head_timeout_s: float = 10.0
    body_timeout_s: float = 30.0
    check_s: float = 2.0


class _Stop(Exception):  # noqa: N818 -- never leaves this module
    """Stops the parser before it has read all of its data."""


class LimitedProtocol(HttpToolsProtocol):
    """One connection; see limited_protocol for a class with limits."""

    limits: ConnectionLimits

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._stage: Literal["between", "head", "body"] = "between"
        self._num_kept_bytes = 0  # received for the current request, except its body
        self._refusal: tuple[int, str] | None = None
        self._deadline_s = self.loop.time() + self.limits.head_timeout_s
        self._check = self.loop.call_later(self.limits.check_s, self._drop_if_late)
        num_surplus = len(self.connections) - self.limits.max_connections
        if num_surplus > self.limits.max_connections:
            transport.abort()
        self._is_surplus = num_surplus > 0

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._check.cancel()
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        if self._refusal is not None or self.transport.is_closing():
            return
        before = self._stage
        if before == "between":
            self._num_kept_bytes = 0
        self._num_kept_bytes += len(data)
        try:
            self.parser.feed_data(data)
            if self._stage != "between":
                self._require_room()
        except httptools.HttpParserUpgrade:
            self._refuse(400, "this server speaks HTTP/1.1 only: no CONNECT, no Upgrade")
        except (httptools.HttpParserError, _Stop):
            self._refuse(*(self._refusal or (400, "not a request in the form of HTTP/1.1")))
        if self._stage not in ("between", before):
            in_body = self._stage == "body"
            timeout_s = self.limits.body_timeout_s if in_body else self.limits.head_timeout_s
            self._deadline_s = self.loop.time() + timeout_s

    @override
    def on_message_begin(self) -> None:
        if self._is_answering():
            self._stop(400, "one request at a time: wait for the answer before you send the next")
        self._unset_keepalive_if_required()
        self._stage = "head"
        super().on_message_begin()

    @override
    def on_headers_complete(self) -> None:
        if self._is_surplus:
            self._stop(503, "too many connections; close some of them")
        if self._num_kept_bytes > self.limits.max_head_bytes:  # which may include body bytes
            fields = sum(len(name) + len(value) for name, value in self.headers)
            if len(self.url) + fields > self.limits.max_head_bytes:
                self._stop_large_head()
        if len(self.headers) > _MAX_HEADERS:
            self._stop_large_head()
        super().on_headers_complete()
        self._stage = "body"

    @override
    def on_body(self, body: bytes) -> None:
        self._num_kept_bytes -= len(body)
        super().on_body(body)

    @override
    def on_message_complete(self) -> None:
        self._stage = "between"
        self._deadline_s = math.inf  # the model may take as long as it needs
        super().on_message_complete()

    @override
    def on_response_complete(self) -> None:
        if self._stage == "body" or self._refusal is not None:
            self.transport.close()  # the rest of the request will not be read
        super().on_response_complete()

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        self._deadline_s = self.loop.time() + self.limits.body_timeout_s

    @override
    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stage == "between":
            self._deadline_s = math.inf

    def _is_answering(self) -> bool:
        """Whether a complete request waits for its answer."""
        is_open = self.cycle is not None and not self.cycle.response_complete
        return is_open and self._stage == "between"

    def _require_room(self) -> None:
        """Refuse an unfinished head, trailers or empty chunks that grow too large."""
        limits = self.limits
        room = limits.max_head_bytes + (limits.max_request_bytes if self._stage == "body" else 0)
        if self._num_kept_bytes > room or len(self.headers) > _MAX_HEADERS:
            self._stop_large_head()

    def _stop_large_head(self) -> NoReturn:
        limit = self.limits.max_head_bytes
        self._stop(431, f"the request has a head of over {limit} bytes or {_MAX_HEADERS} headers")

    def _stop(self, status: int, reason: str) -> NoReturn:
        self._refusal = (status, reason)
        raise _Stop

    def _refuse(self, status: int, reason: str) -> None:
        """Answer in place of the application, and accept nothing more."""
        self._refusal = (status, reason)
        if self._is_answering():
            # The client first gets the answer to its complete request, which is the last one.
            self.cycle.keep_alive = False
            self.flow.pause_reading()
            return
        if self._stage != "body" or not self.cycle.response_started:
            self.transport.write(_answer(status, reason))
        self.transport.close()

    def _drop_if_late(self) -> None:
        """Drop the connection if the client keeps the server waiting for too long."""
        now_s = self.loop.time()
        closing = self.transport.is_closing()
        if closing and self._deadline_s == math.inf:
            # Give the client time to read the last answer.
            self._deadline_s = now_s + self.limits.body_timeout_s
        if now_s > self._deadline_s:
            if closing or self._stage == "between":
                self.transport.abort()
            else:
                self._refuse(408, "the request did not arrive in time")
        self._check = self.loop.call_later(self.limits.check_s, self._drop_if_late)


def limited_protocol(limits: ConnectionLimits) -> type[LimitedProtocol]:
    """A class of the protocol with these limits, because uvicorn takes only a class."""
    return type("LimitedProtocol", (LimitedProtocol,), {"limits": limits})


def error_body(reason: str) -> bytes:
    """The body of the answer to a refused request."""
    return json.dumps({"error": reason}, separators=(",", ":")).encode()


def _answer(status: int, reason: str) -> bytes:
    """A complete answer, the last one of its connection."""
    body = error_body(reason)
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
