"""The application behind a server: both protocols, and what it refuses."""

from __future__ import annotations

import http.client
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from bench.config.serve import HttpConfig
from bench.serving.http.app import BodyMemory
from bench.serving.http.inputs import Refused
from bench.serving.http.process import HttpServer
from bench.serving.http.protocols import FeaturesProtocol, choose_protocol
from bench.serving.http.stages import SERVER_STAGES, parse_server_timing
from tests.forked_children import forked_children
from tests.serving.http.serving import SHAPE, ask, images, server_spec

INFER = "/v2/models/model/infer"


@pytest.fixture(scope="module", autouse=True)
def _servers_are_forks() -> Iterator[None]:
    """What a server answers does not depend on the interpreter that it starts in."""
    with forked_children():
        yield


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    with HttpServer(server_spec(folder, max_batch_size=4), log=folder / "server.log") as server:
        yield server.url
    assert (folder / "server.log").read_text() == ""


def tensor(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {"name": "inputs", "shape": [1, *SHAPE], "datatype": "FP32"}
    return {"inputs": [{**values, "data": [1, 2, 3, 4.5], **changes}]}


def test_features_are_fetched_by_id(url: str) -> None:
    answer = ask(url, "POST", "/v1/predict", {"id": 2})
    # Four times 3; class 0 has the largest of 12, -12 and 1.
    assert answer.content == {"id": 2, "outputs": [12, -12, 1]}
    stages = parse_server_timing(answer.timing)
    assert set(stages) == {*SERVER_STAGES, "total"}
    assert min(stages.values()) >= 0
    # Stages follow one another, within the total; each is rounded to 0.1 us.
    assert sum(stages[name] for name in SERVER_STAGES) <= stages["total"] + 0.001


@pytest.mark.parametrize("data", [[1, 2, 3, 4.5], [[[[1, 2], [3, 4.5]]]]])
def test_open_inference_protocol(url: str, data: list[Any]) -> None:
    answer = ask(url, "POST", INFER, {"id": "mine", **tensor(data=data)})
    output = {"name": "outputs", "shape": [1, 3], "datatype": "FP32", "data": [10.5, -10.5, 1]}
    assert answer.content == {"model_name": "model", "id": "mine", "outputs": [output]}
    # Nothing is fetched: the input is in the request.
    assert set(parse_server_timing(answer.timing)) == {*SERVER_STAGES, "total"} - {"fetch"}


def test_several_inputs_of_one_request(url: str) -> None:
    given = images(5)
    content = tensor(shape=[5, *SHAPE], data=given.reshape(-1).tolist())
    output = ask(url, "POST", INFER, content).content["outputs"][0]
    assert output["shape"] == [5, 3]
    assert np.reshape(output["data"], (5, 3))[:, 0].tolist() == [4, 8, 12, 16, 20]


def test_health_and_metadata(url: str) -> None:
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/model/ready"):
        assert ask(url, "GET", path).status == 200
    metadata = ask(url, "GET", "/v2/models/model").content
    assert metadata["name"] == "model"
    assert metadata["inputs"] == [{"name": "inputs", "datatype": "FP32", "shape": [-1, *SHAPE]}]
    assert metadata["outputs"] == [{"name": "outputs", "datatype": "FP32", "shape": [-1, 3]}]


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"{", 400, "not JSON"),
        (b"\xff", 400, "not JSON"),
        (b"[" * 1900, 400, "not JSON"),
        (b"[1]", 400, "not a JSON object"),
        (b"", 400, "not JSON"),
        (b'{"id": NaN}', 400, "not JSON, which has no NaN"),
        ({}, 400, "id: must be an integer"),
        ({"id": "2"}, 400, "id: must be an integer"),
        ({"id": True}, 400, "id: must be an integer"),
        ({"id": 2.0}, 400, "id: must be an integer"),
        ({"id": 8}, 404, "id=8: no such input"),
        ({"id": -1}, 404, "id=-1: no such input"),
        ({"id": 10**30}, 404, "no such input"),
        (b" " * 2001, 413, "larger than 2000 bytes"),
    ],
)
def test_bad_requests_for_features(url: str, body: Any, status: int, reason: str) -> None:
    answer = ask(url, "POST", "/v1/predict", body)
    assert answer.status == status
    assert reason in answer.content["error"]
    assert "\n" not in answer.content["error"]


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        ("NaN", "not JSON, which has no NaN"),
        ("Infinity", "not JSON, which has no Infinity"),
        ("-Infinity", "not JSON, which has no -Infinity"),
        ("1e39", "not a finite float32"),
        ("-1e39", "not a finite float32"),
        ("1e999", "not a finite float32"),
        ("1" + "0" * 40, "list of numbers"),
    ],
)
def test_numbers_that_are_none(url: str, number: str, reason: str) -> None:
    body = json.dumps(tensor(data=[1, 2, 3, "?"])).replace('"?"', number).encode()
    answer = ask(url, "POST", INFER, body)
    assert answer.status == 400
    assert reason in answer.content["error"]


def test_a_request_may_hold_sixteen_batches(url: str) -> None:
    def asked(number: int) -> int:
        values = [1] * (number * math.prod(SHAPE))
        return ask(url, "POST", INFER, tensor(shape=[number, *SHAPE], data=values)).status

    assert asked(64) == 200
    assert asked(65) == 413


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({}, "list of tensors: inputs"),
        ({"inputs": []}, "list of tensors: inputs"),
        ({"inputs": [1]}, "name must be each of inputs once"),
        (tensor(name="x"), "name must be each of inputs once"),
        (tensor(datatype="INT8"), "datatype of inputs must be FP32"),
        (tensor(shape=[1, 4]), "shape must be [n, 1, 2, 2]"),
        (tensor(shape=[0, *SHAPE]), "shape must be"),
        (tensor(shape=[True, *SHAPE]), "shape must be"),
        (tensor(shape=None), "shape must be"),
        (tensor(data=[1, 2, 3]), "data has 3 values, shape 4"),
        (tensor(data=None), "list of numbers"),
        (tensor(data=["1", "2", "3", "4"]), "list of numbers"),
        (tensor(data=[[1, 2], [3]]), "list of numbers"),
        (tensor(data=[True, True, True, True]), "list of numbers"),
        (tensor(data=[1, 2, 3, None]), "list of numbers"),
    ],
)
def test_bad_tensors(url: str, content: dict[str, Any], reason: str) -> None:
    answer = ask(url, "POST", INFER, content)
    assert answer.status == 400
    assert reason in answer.content["error"]


def test_another_model_and_other_addresses(url: str) -> None:
    answer = ask(url, "POST", "/v2/models/other/infer", tensor())
    assert (answer.status, answer.content) == (
        404,
        {"error": "model other: no such model; use model"},
    )
    for method, path, status, reason in (
        ("GET", "/v1/predict", 405, "GET /v1/predict: method not allowed"),
        ("GET", "/nothing", 404, "GET /nothing: not found"),
        ("POST", "/v1/predict/", 404, "POST /v1/predict/: not found"),
        ("BREW", "/v1/predict", 400, "not a request in the form of HTTP/1.1"),
    ):
        refused = ask(url, method, path, {"id": 1})
        assert (refused.status, refused.content) == (status, {"error": reason})


def test_a_body_of_unknown_length_is_cut_off(url: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    chunks = (b" " * 500 for _ in range(5))
    connection.request("POST", "/v1/predict", body=chunks, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_a_model_that_raises_is_500_and_the_server_stays(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with HttpServer(server_spec(tmp_path, "raises"), log=log) as server:
        for _ in range(2):
            answer = ask(server.url, "POST", "/v1/predict", {"id": 0})
            assert answer.status == 500
            assert "no logits today" in answer.content["error"]
        assert server.gone() is None
    assert "Traceback" in log.read_text()


def test_logits_that_are_no_numbers_are_null_and_minus_infinity_is_one(tmp_path: Path) -> None:
    with HttpServer(server_spec(tmp_path, "not_finite"), log=tmp_path / "log") as server:
        answer = ask(server.url, "POST", "/v1/predict", {"id": 0})
        assert answer.content == {"id": 0, "outputs": [None, None, -1e39]}
        protocol = FeaturesProtocol(num_outputs=3)
        logits = protocol.outputs(json.dumps(answer.content).encode())
        assert np.isnan(logits[:2]).all()
        assert logits[2] == -math.inf
        assert ask(server.url, "POST", INFER, tensor()).content["outputs"][0]["data"] == [
            None,
            None,
            -1e39,
        ]


def test_bodies_have_room_for_one_of_each_connection_that_measures() -> None:
    room = BodyMemory(100)
    with room.share() as one, room.share() as other:
        one(60)
        with pytest.raises(Refused, match="too many large requests"):
            other(41)
    with room.share() as again:
        again(100)


def test_the_client_speaks_both_protocols_with_the_server(url: str) -> None:
    given = images()
    for name in ("features", "kserve_v2"):
        protocol = choose_protocol(HttpConfig(protocol=name), url, given)
        answer = ask(url, "POST", protocol.path, protocol.body(1))
        assert answer.status == 200, answer
    with pytest.raises(ValueError, match=r"model_name=other: .* must answer .*HTTP 404: "):
        choose_protocol(HttpConfig(protocol="kserve_v2", model_name="other"), url, given)


def test_floats_survive_the_way_as_text(url: str) -> None:
    image = np.array([math.pi, -1e-30, 1 / 3, 3e20], dtype=np.float32).reshape(1, *SHAPE)
    protocol = choose_protocol(HttpConfig(protocol="kserve_v2"), url, image)
    sent = np.array(json.loads(protocol.body(0))["inputs"][0]["data"], dtype=np.float32)
    assert sent.tobytes() == image.tobytes()
