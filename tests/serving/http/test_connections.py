"""Limits on what one client can make the server hold or wait for, over real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from bench.serving.http.connections import ConnectionLimits, LimitedProtocol, limited_protocol

WAIT_S = 20.0
LIMITS = ConnectionLimits(
    max_connections=2,
    max_request_bytes=1000,
    max_head_bytes=2000,
    head_timeout_s=0.15,
    body_timeout_s=0.3,
    check_s=0.02,
)
GET = b"GET /quick HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST /quick HTTP/1.1\r\nhost: x\r\n"


class Running:
    """The protocol in front of an application that answers with the length of the body."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.may_answer = asyncio.Event()
        config = uvicorn.Config(self.app, interface="asgi3", ws="none", log_level="warning")
        state = ServerState()
        self.connections = state.connections
        protocol: type[LimitedProtocol] = limited_protocol(LIMITS)

        def connected() -> LimitedProtocol:
            return protocol(config, state, {}, self.loop)

        serving = self.loop.create_server(connected, "127.0.0.1", 0)
        self.server = self.loop.run_until_complete(serving)
        self.port = self.server.sockets[0].getsockname()[1]

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        num_bytes, more = 0, True
        while more and scope["path"] != "/unread":
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            num_bytes += len(message["body"])
            more = message["more_body"]
        if scope["path"] == "/slow":
            await self.may_answer.wait()
        body = b"x" * 10**7 if scope["path"] == "/large" else b"%d" % num_bytes
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
def running() -> Iterator[Running]:
    one = Running()
    thread = threading.Thread(target=one.loop.run_forever)
    thread.start()
    yield one
    one.loop.call_soon_threadsafe(one.may_answer.set)
    one.loop.call_soon_threadsafe(one.server.close)
    for connection in list(one.connections):
        one.loop.call_soon_threadsafe(connection.transport.abort)
    one.loop.call_soon_threadsafe(one.loop.stop)
    thread.join(WAIT_S)
    one.loop.close()


def connect(running: Running, *sent: bytes) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", running.port), timeout=WAIT_S)
    for part in sent:
        client.sendall(part)
    return client


def answer_of(client: socket.socket) -> bytes:
    """One answer with a body of one byte, and not what comes after it."""
    received = client.recv(1000)
    while b"\r\n\r\n" not in received[:-1]:
        received += client.recv(1000)
    return received


def to_the_end(client: socket.socket) -> bytes:
    """All that comes until the server closes the connection."""
    received = b""
    try:
        while chunk := client.recv(65536):
            received += chunk
    except ConnectionResetError:
        pass  # it closed while more was under way
    client.close()
    return received


def refusal(answer: bytes) -> tuple[int, str]:
    """Status and reason of the one answer, which is JSON and the last of its connection."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head
    assert b"connection: close" in head
    return int(head.split()[1]), json.loads(body)["error"]


def test_a_connection_is_kept_for_one_request_after_another(running: Running) -> None:
    client = connect(running)
    for sent, answer in ((GET, b"0"), (POST + b"content-length: 3\r\n\r\nabc", b"3"), (GET, b"0")):
        client.sendall(sent)
        assert answer_of(client).endswith(b"\r\n\r\n" + answer)
    # Longer than a head may take: idle is not slow.
    client.settimeout(3 * LIMITS.head_timeout_s)
    with pytest.raises(TimeoutError):
        client.recv(1)
    client.sendall(GET)
    assert answer_of(client).endswith(b"\r\n\r\n0")
    client.close()


@pytest.mark.parametrize(
    ("sent", "status", "reason"),
    [
        (b"GET /" + b"a" * 5000, 431, "over 2000 bytes"),
        (b"GET /" + b"a" * 2500 + b" HTTP/1.1\r\n\r\n", 431, "over 2000 bytes"),
        (b"GET / HTTP/1.1\r\na: " + b"b" * 5000, 431, "over 2000 bytes"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 102, 431, "100 headers"),
        (b"hello\r\n\r\n", 400, "not a request in the form of HTTP/1.1"),
        (b"GET / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", 400, "not a request"),
        (b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n", 400, "not a request"),
        (b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n", 400, "not a request"),
        (POST + b"transfer-encoding: chunked\r\n\r\nzz\r\n", 400, "not a request"),
        (POST + b"transfer-encoding: chunked\r\n\r\n1;" + b"a" * 5000, 431, "2000 bytes"),
        (POST + b"transfer-encoding: chunked\r\n\r\n0\r\na: " + b"b" * 5000, 431, "2000 bytes"),
        (POST + b"transfer-encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 102, 431, "headers"),
        (b"GET / HTTP/1.1\r\nhost: x\r\n", 408, "did not arrive in time"),
        (POST + b"content-length: 9\r\n\r\nabc", 408, "did not arrive in time"),
    ],
    ids=lambda value: value[:40] if isinstance(value, bytes) else None,
)
def test_what_the_application_never_sees_is_refused_as_json(
    running: Running, sent: bytes, status: int, reason: str
) -> None:
    # In two parts: what is unfinished is only judged as it grows.
    half = len(sent) * 2 // 3
    found = refusal(to_the_end(connect(running, sent[:half], sent[half:])))
    assert found[0] == status
    assert reason in found[1]


def test_a_connection_on_which_nothing_comes_is_dropped(running: Running) -> None:
    assert to_the_end(connect(running)) == b""
    assert to_the_end(connect(running, b"\r\n")) == b""


def test_bad_requests_after_a_good_one_are_refused_as_well(running: Running) -> None:
    for bad, status in ((b"hello\r\n\r\n", 400), (b"GET / HTTP/1.1\r\n", 408)):
        client = connect(running, GET)
        assert answer_of(client).endswith(b"\r\n\r\n0")
        client.sendall(bad)
        assert refusal(to_the_end(client))[0] == status


def test_of_many_requests_at_once_the_first_is_answered(running: Running) -> None:
    answer = to_the_end(connect(running, GET * 1000))
    assert answer.count(b"HTTP/1.1 200") == 1
    assert b"connection: close" in answer


def test_a_second_request_before_the_answer_ends_the_connection_with_it(running: Running) -> None:
    slow = GET.replace(b"/quick", b"/slow")
    client = connect(running, slow, GET, b"more" * 10000)
    client.settimeout(2 * LIMITS.body_timeout_s)
    with pytest.raises(TimeoutError):  # the model may take as long as it takes
        client.recv(1)
    running.loop.call_soon_threadsafe(running.may_answer.set)
    assert to_the_end(client).count(b"HTTP/1.1 200") == 1


def test_a_protocol_of_which_nothing_is_known_is_not_waited_for(running: Running) -> None:
    upgrade = b"connection: upgrade\r\nupgrade: h2c\r\n\r\n"
    answer = to_the_end(connect(running, GET[:-2] + upgrade))
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in answer


def test_an_answer_before_the_whole_request_ends_the_connection(running: Running) -> None:
    unread = b"POST /unread HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    assert to_the_end(connect(running, unread)).startswith(b"HTTP/1.1 200")


def test_an_answer_that_nobody_reads_is_dropped(running: Running) -> None:
    client = connect(running, GET.replace(b"/quick", b"/large"))
    gone = threading.Event()

    def look() -> None:
        if running.connections:
            running.loop.call_later(0.01, look)
        else:
            gone.set()

    running.loop.call_soon_threadsafe(running.loop.call_later, 0.05, look)
    assert gone.wait(WAIT_S)
    client.close()


def test_connections_that_are_too_many(running: Running) -> None:
    clients = [connect(running, GET) for _ in range(2)]
    assert [answer_of(client)[9:12] for client in clients] == [b"200"] * 2
    surplus = [connect(running), connect(running)]
    assert to_the_end(connect(running)) == b""  # more than twice as many
    surplus[0].sendall(GET)
    assert refusal(to_the_end(surplus[0])) == (503, "too many connections; close some of them")
    clients[0].sendall(GET)
    assert answer_of(clients[0])[9:12] == b"200"  # those that were there first go on
    for client in (*clients, surplus[1]):
        client.close()
