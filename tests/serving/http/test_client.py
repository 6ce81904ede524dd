"""The client as a System, under a scripted load."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typing_extensions import override

from bench.config.serve import HttpConfig
from bench.serving.http import failures, transport
from bench.serving.http.client import HttpSystem
from bench.serving.http.failures import Patience, ServerHangs, WrongAnswers
from bench.serving.http.process import HttpServer, ServerDied
from bench.serving.http.protocols import FeaturesProtocol, choose_protocol
from bench.serving.http.stages import SERVER_STAGES, decompose
from tests.forked_children import forked_children
from tests.serving.http.serving import Load, images, server_spec


@pytest.fixture(scope="module", autouse=True)
def _servers_are_forks() -> Iterator[None]:
    """What a client sees of a server does not depend on the interpreter that it starts in."""
    with forked_children():
        yield


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    folder = tmp_path_factory.mktemp("server")
    with HttpServer(server_spec(folder, max_batch_size=4), log=folder / "log") as running:
        yield running


@pytest.mark.parametrize("protocol", ["features", "kserve_v2"])
def test_every_sample_is_answered_once_and_rightly(server: HttpServer, protocol: str) -> None:
    chosen = choose_protocol(HttpConfig(protocol=protocol), server.url, images())
    queries = [[0], [3, 5], list(range(8)), [7]]
    with HttpSystem(server.url, chosen, concurrency=4, gone=server.gone) as system:
        load = Load(system)
        load.run(queries, collect=True)
        assert sorted(load.done) == list(range(12))
        assert system.failure is None
        assert system.num_failed == 0
        indices, logits = system.answers()
        assert indices.tolist() == [index for query in queries for index in query]
        # See fake_backend: an image's sum is four times its number.
        assert logits[:, 0].tolist() == [4.0 * (index + 1) for index in indices]

        columns = {name: values.to_numpy() for name, values in system.columns().items()}
        assert columns["ok"].tolist() == [1.0] * 12
        assert (columns["issued_s"][1:] >= columns["issued_s"][:-1]).all()
        assert (columns["client_wait_ms"] >= 0).all()
        assert (columns["round_trip_ms"] >= columns["total_ms"]).all()
        told = [name for name in SERVER_STAGES if name != "fetch" or protocol == "features"]
        for name in told:
            assert (columns[f"{name}_ms"] >= 0).all(), name
        assert len(system.network_ms) >= 1
        assert (columns["network_ms"] == np.median(system.network_ms)).all()

        latency_ms = ((columns["received_s"] - columns["issued_s"]) * 1e3).tolist()
        stages = decompose(latency_ms, system.columns(), system.network_ms)
        assert [stage.stage for stage in stages] == [
            "client_wait",
            "network",
            *told,
            "unexplained",
            "end_to_end",
        ]


def test_a_new_pass_forgets_the_last(server: HttpServer) -> None:
    with HttpSystem(server.url, FeaturesProtocol(), concurrency=2) as system:
        load = Load(system)
        load.run([[0, 1, 99]], collect=True)
        assert system.num_failed == 1
        assert len(system.answers()[0]) == 2
        assert system.columns()["ok"].tolist() == [1, 1, 0]
        assert system.failure_reasons() == [
            '1 request failed: HTTP 404: {"error":"id=99: no such input"}'
        ]
        load.done.clear()
        load.run([[2]])
        assert system.num_failed == 0
        assert system.failure_reasons() == []
        assert system.answers()[0].size == 0  # not asked for
        assert system.columns()["ok"].tolist() == [1]


def test_a_server_that_dies_in_the_middle_ends_the_pass(tmp_path: Path) -> None:
    with (
        HttpServer(server_spec(tmp_path, "dies"), log=tmp_path / "server.log") as server,
        HttpSystem(server.url, FeaturesProtocol(), concurrency=2, gone=server.gone) as system,
    ):
        load = Load(system)
        load.run([[index % 8] for index in range(50)])
        assert sorted(load.done) == list(range(50))
        assert isinstance(system.failure, ServerDied)
        assert "ended with 9" in str(system.failure)
        assert "out of luck" in str(system.failure)
        assert system.num_failed == 50
        assert decompose([1.0] * 50, system.columns()) == []


def test_an_address_where_nobody_is_ends_the_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "_END_WAIT_S", 0.001)  # no server has to be seen to end
    with socket.socket() as silent:  # has the port, so that nobody else takes it, and listens not
        silent.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with HttpSystem(url, FeaturesProtocol(), concurrency=2) as system:
            load = Load(system)
            load.run([[0], [1]])
            assert isinstance(system.failure, ConnectionRefusedError)
            assert str(system.failure) == f"{url}: nothing answers there any more"
            assert system.num_failed == 2
        with pytest.raises(ValueError, match=r"backend\.http\.url=.*: no answer .*is it running"):
            choose_protocol(HttpConfig(), url, images())


class Foreign(BaseHTTPRequestHandler):
    """Somebody else's server: it tells no stages, and its answers are asked for by index."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a body waits 40 ms for the acknowledgement of its head
    answers: tuple[tuple[int, bytes], ...] = (
        (200, b'{"logits":[1,2]}'),
        (200, b"<html>"),
        (200, b'{"class":1}'),
        (200, b'{"logits":["a"]}'),
        (200, b'{"logits":[1,2,3]}'),
        (503, b"busy,\nlater"),
        (503, b"still busy"),
        (500, b""),
        (200, b'{"logits":[NaN,null]}'),
    )
    always: tuple[int, bytes] | None = None
    location = ""
    released = threading.Event()

    def do_GET(self) -> None:
        self._answer(200 if self.path == "/v2/health/live" else 404, b"{}")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        index = int(body.removeprefix(b'{"id":').removesuffix(b"}"))
        if index == len(self.answers):
            self.released.wait(30)
            index = 0
        self._answer(*(self.always or self.answers[index]))

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        if self.location:
            self.send_header("location", self.location)
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def foreign() -> Iterator[str]:
    Foreign.released.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Foreign) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        Foreign.released.set()
        server.shutdown()
        thread.join()


def release_when(is_known: Callable[[], object]) -> None:
    while not is_known():
        time.sleep(0.001)
    Foreign.released.set()


def test_a_server_that_tells_no_stages(foreign: str) -> None:
    protocol = choose_protocol(HttpConfig(), foreign, images())
    with HttpSystem(foreign, protocol, concurrency=1) as system:
        last = len(Foreign.answers)  # is answered once the round trip of the network is known
        threading.Thread(target=release_when, args=[lambda: system.network_ms], daemon=True).start()
        Load(system).run([[0], [last]], collect=True)
        columns = system.columns()
        assert all(math.isnan(value) for name in SERVER_STAGES for value in columns[f"{name}_ms"])
        stages = decompose([5.0, 6.0], columns, system.network_ms)
        assert [stage.stage for stage in stages] == [
            "client_wait",
            "network",
            "unexplained",
            "end_to_end",
        ]
        assert system.answers()[1].tolist() == [[1, 2], [1, 2]]


def test_answers_that_are_none_are_failures_with_their_status_and_their_body(foreign: str) -> None:
    protocol = FeaturesProtocol(num_outputs=2)
    with HttpSystem(foreign, protocol, concurrency=1) as system:
        Load(system).run([[1], [2], [3], [4], [5], [6], [0]], collect=True)
        assert system.failure is None
        assert system.num_failed == 6
        assert system.failure_reasons() == [
            "2 requests failed: HTTP 503: busy, later",  # and the body of the first
            "1 request failed: HTTP 200, not JSON: <html>",
            '1 request failed: HTTP 200, no "outputs" in the answer: {"class":1}',
            '1 request failed: HTTP 200, the outputs are not a list of numbers: {"logits":["a"]}',
            '1 request failed: HTTP 200, 3 outputs, must be 2: {"logits":[1,2,3]}',
        ]
        assert system.answers()[0].tolist() == [0]
        Load(system).run([[1], [2], [3], [4], [5], [7]], collect=True)
        assert system.failure_reasons()[-1] == "1 request failed for other reasons"


def test_an_answer_without_logits_is_a_failure_where_no_logits_are_kept(foreign: str) -> None:
    with HttpSystem(foreign, FeaturesProtocol(), concurrency=1) as system:
        Load(system).run([[0], [1], [2], [7]])
        assert system.columns()["ok"].tolist() == [1, 0, 0, 0]
        assert system.failure_reasons() == [
            "1 request failed: HTTP 200, not JSON: <html>",
            '1 request failed: HTTP 200, no "outputs" in the answer: {"class":1}',
            "1 request failed: HTTP 500, with an empty body",
        ]


def test_logits_that_are_no_numbers_to_count_with_are_answers_all_the_same(foreign: str) -> None:
    with HttpSystem(foreign, FeaturesProtocol(num_outputs=2), concurrency=1) as system:
        Load(system).run([[8], [0]], collect=True)
        assert system.num_failed == 0
        indices, logits = system.answers()
        assert indices.tolist() == [8, 0]
        assert np.isnan(logits).tolist() == [[True, True], [False, False]]


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (500, b'{"detail": "no such field"}', 'HTTP 500: {"detail": "no such field"}'),
        (200, b'{"probs": [1]}', 'HTTP 200, no "outputs" in the answer: {"probs": [1]}'),
        (200, b"", "HTTP 200, not JSON, with an empty body"),
        (200, b'{"logits": [1]}', 'HTTP 200, 1 outputs, must be 2: {"logits": [1]}'),
        (200, b'{"logits": [[1], [2, 3]]}', "HTTP 200, the outputs are not a list of numbers: "),
        (200, b'{"logits": [true, false]}', "HTTP 200, the outputs are not a list of numbers: "),
        (200, b'{"logits": {"a": 1}}', "HTTP 200, the outputs are not a list of numbers: "),
        (200, b"\x1b[31m\n\xff" + b"x" * 999, "HTTP 200, not JSON: \\x1b[31m \ufffdxxx"),
    ],
)
def test_a_server_that_answers_no_image_is_given_up(
    foreign: str, monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, reason: str
) -> None:
    monkeypatch.setattr(Foreign, "always", (status, body))
    with HttpSystem(foreign, FeaturesProtocol(num_outputs=2), concurrency=1) as system:
        Load(system).run([[0] * 50], collect=True)
        assert isinstance(system.failure, WrongAnswers)
        first = "none of the first 20 requests got its outputs, so the others are not sent; "
        first += "20 requests failed: "
        assert str(system.failure).startswith(first + reason)
        assert len(str(system.failure)) < len(first + reason) + 250
        assert system.num_failed == 50


def test_a_server_that_ends_slowly_is_reported_and_not_its_503(
    foreign: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after SIGTERM: the proxy answers 503 while the process still closes its model."""
    monkeypatch.setattr(Foreign, "always", (503, b"upstream connect error"))
    monkeypatch.setattr(failures, "_END_WAIT_S", 0.001)
    looks = iter([None] * 10)
    died = ServerDied("the server was ended by SIGTERM")
    with HttpSystem(
        foreign, FeaturesProtocol(), concurrency=4, gone=lambda: next(looks, died)
    ) as system:
        Load(system).run([[0] * 50], collect=True)
        assert system.failure is died


def test_a_server_that_answers_503_and_runs_on_is_waited_for_once(
    foreign: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "_END_WAIT_S", 0.001)
    looks: list[None] = []
    with HttpSystem(
        foreign, FeaturesProtocol(), concurrency=1, gone=lambda: looks.append(None)
    ) as system:
        Load(system).run([[5], [6], [0]])  # 503, 503, and an answer
        assert system.failure is None
        assert system.num_failed == 2
    assert len(looks) == failures._END_TRIES + 1


def test_a_redirect_is_not_followed(foreign: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Foreign, "always", (307, b""))
    monkeypatch.setattr(Foreign, "location", "/other")
    with HttpSystem(foreign, FeaturesProtocol(), concurrency=1) as system:
        Load(system).run([[0]])
        assert system.failure_reasons() == [
            "1 request failed: HTTP 307, redirected to /other, with an empty body"
        ]


def test_an_answer_without_end_is_cut_off(foreign: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_MAX_ANSWER_BYTES", 100)
    monkeypatch.setattr(Foreign, "always", (200, b'{"logits":[1]}' * 100))
    with HttpSystem(foreign, FeaturesProtocol(), concurrency=1) as system:
        Load(system).run([[0]])
        (reason,) = system.failure_reasons()
        assert reason == "1 request failed: ClientPayloadError: an answer of over 100 bytes"


def test_a_server_that_hangs_is_given_up(foreign: str) -> None:
    hangs = len(Foreign.answers)
    began_s = time.monotonic()
    with HttpSystem(
        foreign, FeaturesProtocol(), concurrency=2, request_timeout_s=0.1, max_timeouts=2
    ) as system:
        Load(system).run([[0], *[[hangs]] * 200])
        assert isinstance(system.failure, ServerHangs)
        assert "no answer to 2 requests in a row within 0.1 s each" in str(system.failure)
        assert system.num_failed == 200
    assert time.monotonic() - began_s < 5  # not the ten seconds of all of them


def test_a_pass_that_is_broken_off_waits_for_no_answer(foreign: str) -> None:
    with HttpSystem(foreign, FeaturesProtocol(), concurrency=2) as system:
        threading.Timer(0.1, system.fail, (KeyboardInterrupt(),)).start()
        Load(system).run([[len(Foreign.answers)]] * 5)
        assert system.failure_reasons() == ["5 requests failed: given up, as the pass had failed"]
        Load(system).run([[0]])  # and the next one begins anew
        assert system.failure is None
        assert system.num_failed == 0


def test_of_timeouts_those_count_that_follow_one_another() -> None:
    patience = Patience(2, 30)
    assert patience.timed_out(0, 30) is None
    # Sent beside the first one: no second sign of anything.
    assert [patience.timed_out(sent_s, sent_s + 30) for sent_s in (0, 10, 29)] == [None] * 3
    patience.answered(65)
    # Sent before that answer came: the server is slow.
    assert [patience.timed_out(sent_s, sent_s + 30) for sent_s in (40, 64)] == [None] * 2
    assert patience.timed_out(66, 96) is None
    assert isinstance(patience.timed_out(96, 126), ServerHangs)
    patience.begin()
    assert patience.timed_out(130, 160) is None


def test_an_answer_that_does_not_come_is_a_failure(foreign: str) -> None:
    with HttpSystem(foreign, FeaturesProtocol(), concurrency=1, request_timeout_s=0.05) as system:
        Load(system).run([[len(Foreign.answers)]])
        assert system.failure_reasons() == ["1 request failed: no answer within 0.05 s"]
        assert system.failure is None


def test_what_finds_no_connection_waits_in_the_client_and_is_seen(
    foreign: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = len(Foreign.answers)
    with HttpSystem(foreign, FeaturesProtocol(), concurrency=1) as system:
        load, flush = Load(system), system.flush

        def flush_and_release() -> None:
            flush()
            Foreign.released.set()

        monkeypatch.setattr(system, "flush", flush_and_release)
        load.run([[held], [0]])
        columns = system.columns()
        # The second was issued while the first was held, and sent only when that was answered.
        assert columns["issued_s"][1] < columns["received_s"][0] <= columns["sent_s"][1]
        waited_ms = 1e3 * (columns["sent_s"][1] - columns["issued_s"][1])
        assert columns["client_wait_ms"][1] == pytest.approx(waited_ms)


class Broken(FeaturesProtocol):
    """A protocol with a mistake in it."""

    @override
    def body(self, index: int) -> bytes:
        raise LookupError("a mistake")


def test_a_mistake_of_the_client_ends_the_pass_and_is_kept(foreign: str) -> None:
    with HttpSystem(foreign, Broken(), concurrency=1) as system:
        load = Load(system)
        load.run([[0], [1]])
        assert isinstance(system.failure, LookupError)
        assert sorted(load.done) == [0, 1]
