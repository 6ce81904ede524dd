"""Connections of the server, with limits to what one client can make it hold or wait for.

uvicorn's protocol keeps whatever is sent: heads, trailers and pipelined requests without end, and
connections on which nothing comes. Here a head has a size, a connection has one request at a time,
and what does not arrive in time is dropped. What cannot be answered by the application is answered
here, as JSON like everything else.

Sources: RFC 9112, 9.3.2 (a server may close a connection after any answer, and the client sends
what was pipelined again); RFC 6585, 5 (431).
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal, NoReturn

import httptools
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Each is kept as a few Python objects: small ones take many times their bytes.
_MAX_HEADERS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """What the server takes from its clients.

    Attributes:
        max_connections: More are answered with 503 once they ask; more than twice as many are
            closed at once.
        max_request_bytes: Of a body; the application refuses a larger one. As many bytes again may
            be spent on the lengths of its chunks.
        max_head_bytes: Of a request line with its headers; trailers count, too.
        head_timeout_s: From the start of a connection, or the first byte of a later request, until
            its head is there.
        body_timeout_s: From then until its body is there, and for the client to read its answer.
        check_s: How often a connection is looked at.
    """

    max_connections: int
    max_request_bytes: int
    max_head_bytes: int = 65536
    head_timeout_s: float = 10.0
    body_timeout_s: float = 30.0
    check_s: float = 2.0


class _Stop(Exception):  # noqa: N818 -- never leaves this module
    """Ends the parser in the middle of what it was given."""


class LimitedProtocol(HttpToolsProtocol):
    """One connection; see limited_protocol for a class with limits."""

    limits: ConnectionLimits

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._stage: Literal["between", "head", "body"] = "between"
        self._num_kept_bytes = 0  # received of the present request, its body aside
        self._refusal: tuple[int, str] | None = None
        self._deadline_s = self.loop.time() + self.limits.head_timeout_s
        self._check = self.loop.call_later(self.limits.check_s, self._drop_if_late)
        num_surplus = len(self.connections) - self.limits.max_connections
        if num_surplus > self.limits.max_connections:
            transport.abort()
        elif num_surplus > 0:
            self.app = _answer_too_many  # for this connection alone

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
        if self._answers():
            self._stop(400, "one request at a time: wait for the answer before you send the next")
        self._unset_keepalive_if_required()
        self._stage = "head"
        super().on_message_begin()

    @override
    def on_headers_complete(self) -> None:
        if self._num_kept_bytes > self.limits.max_head_bytes:  # of which some may be the body
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
        self._deadline_s = math.inf  # from here on it is the model that takes its time
        super().on_message_complete()

    @override
    def on_response_complete(self) -> None:
        if self._stage == "body" or self._refusal is not None:
            self.transport.close()  # nobody is going to read what else was sent
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

    def _answers(self) -> bool:
        """Whether a whole request waits for its answer."""
        waits = self.cycle is not None and not self.cycle.response_complete
        return waits and self._stage == "between"

    def _require_room(self) -> None:
        """Refuse what the parser keeps until it has all of it, trailers, and chunks of nothing."""
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
        """Answer what is not handed to the application, and take nothing more."""
        self._refusal = (status, reason)
        if self._answers():
            # The answer to the request before is the last one.
            self.cycle.keep_alive = False
            self.flow.pause_reading()
            return
        if self._stage != "body" or not self.cycle.response_started:
            self.transport.write(_answer(status, reason))
        self.transport.close()

    def _drop_if_late(self) -> None:
        """Drop the connection if the client has kept the server waiting for too long."""
        now_s = self.loop.time()
        closing = self.transport.is_closing()
        if closing and self._deadline_s == math.inf:
            self._deadline_s = now_s + self.limits.body_timeout_s  # for the last answer to be read
        if now_s > self._deadline_s:
            if closing or self._stage == "between":
                self.transport.abort()
            else:
                self._refuse(408, "the request did not arrive in time")
        self._check = self.loop.call_later(self.limits.check_s, self._drop_if_late)


def limited_protocol(limits: ConnectionLimits) -> type[LimitedProtocol]:
    """The protocol as uvicorn takes it, a class, with these limits."""
    return type("LimitedProtocol", (LimitedProtocol,), {"limits": limits})


def error_body(reason: str) -> bytes:
    """What every refused request is answered with."""
    return json.dumps({"error": reason}, separators=(",", ":")).encode()


def _answer(status: int, reason: str) -> bytes:
    """A whole answer, the last one of its connection."""
    body = error_body(reason)
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body


async def _answer_too_many(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
    """The application of a connection that is one too many."""
    body = error_body("too many connections; close some of them")
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
