"""The web application of the server: two protocols in front of one model.

`features`: POST /v1/predict {"id": 123} answers {"id": 123, "class": 7, "logits": [...]}; the input
is fetched by its id from the feature store. `kserve_v2`: the JSON form of the Open Inference
Protocol, POST /v2/models/NAME/infer with the input in the request.

Each answer says in its Server-Timing header (W3C) what the server spent, in milliseconds: queue
(waiting for the model), fetch, preprocess, inference, postprocess, and total from the entry into
the application until the answer is ready. A request that is not answered gets {"error": one line}.

Source: W3C Server Timing; Open Inference Protocol V2, "HTTP/REST", also for the form of errors.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from bench.serving.http.batching import Answer, Batcher, ModelError
from bench.serving.http.features import FeatureStore

INPUT_NAME = "images"
OUTPUT_NAME = "logits"

# No length of a body has more digits, and not every longer string of them can be read as a number.
_LENGTH_DIGITS = 18

_Images = NDArray[np.float32]


class Refused(Exception):  # noqa: N818 -- an answer to a client, not a failure of the server
    """A request that is not answered: its HTTP status and one line."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Timing:
    """Stages of one request, for its Server-Timing header."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin now."""
        self._clock = clock
        self._entered_s = clock()
        self._stages_s: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what is done inside."""
        start_s = self._clock()
        yield
        self.add(name, self._clock() - start_s)

    def add(self, name: str, seconds: float) -> None:
        """Add to a stage."""
        self._stages_s[name] = self._stages_s.get(name, 0.0) + seconds

    def header(self) -> str:
        """Server-Timing, its total up to now."""
        stages = {**self._stages_s, "total": self._clock() - self._entered_s}
        return ", ".join(f"{name};dur={seconds * 1e3:.4f}" for name, seconds in stages.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What the application answers with."""

    store: FeatureStore
    batcher: Batcher
    model_name: str
    num_classes: int
    max_request_bytes: int
    clock: Callable[[], float] = time.perf_counter

    async def predict(self, request: Request, timing: Timing) -> dict[str, Any]:
        """POST /v1/predict."""
        content = _json_object(await self._body(request))
        index = content.get("id")
        if type(index) is not int:  # true is an int, too
            raise Refused(400, 'id: must be an integer, as in {"id": 123}')
        with timing.stage("fetch"):
            try:
                raw = self.store.fetch(index)
            except KeyError:
                raise Refused(404, f"id={index}: no such input") from None
        with timing.stage("preprocess"):
            image = self.store.preprocess(raw)
        answer = await self._ask([image], timing)
        with timing.stage("postprocess"):
            logits = answer[0].logits
            return {"id": index, "class": int(logits.argmax()), "logits": logits.tolist()}

    async def infer(self, request: Request, timing: Timing) -> dict[str, Any]:
        """POST /v2/models/NAME/infer; the inputs of one request may share a batch with others."""
        self._require_model(request)
        body = await self._body(request)
        with timing.stage("preprocess"):
            content = _json_object(body)
            images = _tensor(content, self.store.shape)
        answers = await self._ask(list(images), timing)
        with timing.stage("postprocess"):
            logits = np.stack([answer.logits for answer in answers])
            output = {
                "name": OUTPUT_NAME,
                "shape": list(logits.shape),
                "datatype": "FP32",
                "data": logits.reshape(-1).tolist(),
            }
            named = {"id": content["id"]} if isinstance(content.get("id"), str) else {}
            return {"model_name": self.model_name, **named, "outputs": [output]}

    async def metadata(self, request: Request, timing: Timing) -> dict[str, Any]:
        """GET /v2/models/NAME."""
        self._require_model(request)
        fp32 = {"datatype": "FP32"}
        return {
            "name": self.model_name,
            "versions": [],
            "platform": "operational-metrics-bench",
            "inputs": [{"name": INPUT_NAME, **fp32, "shape": [-1, *self.store.shape]}],
            "outputs": [{"name": OUTPUT_NAME, **fp32, "shape": [-1, self.num_classes]}],
        }

    async def health(self, request: Request, timing: Timing) -> dict[str, Any]:
        """GET /v2/health/live and ready: nothing listens before the model is warm."""
        return {}

    def _require_model(self, request: Request) -> None:
        name = request.path_params["name"]
        if name != self.model_name:
            raise Refused(404, f"model {name}: not here; there is {self.model_name}")

    async def _ask(self, images: list[_Images], timing: Timing) -> list[Answer]:
        try:
            answers = await asyncio.gather(*map(self.batcher.submit, images))
        except ModelError as error:
            raise Refused(500, str(error)) from error
        # Inputs of one request may wait and run in several batches; the last one decides.
        last = max(answers, key=lambda answer: answer.queue_s + answer.inference_s)
        timing.add("queue", last.queue_s)
        timing.add("inference", last.inference_s)
        return answers

    async def _body(self, request: Request) -> bytes:
        """The body, of which no more is kept than is allowed."""
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and (
            len(declared) > _LENGTH_DIGITS or int(declared) > self.max_request_bytes
        ):
            raise self._too_large()
        chunks: list[bytes] = []
        num_bytes = 0
        try:
            async for chunk in request.stream():
                num_bytes += len(chunk)
                if num_bytes > self.max_request_bytes:
                    raise self._too_large()
                chunks.append(chunk)
        except ClientDisconnect:
            raise Refused(400, "the request was broken off") from None
        return b"".join(chunks)

    def _too_large(self) -> Refused:
        return Refused(413, f"the request is larger than {self.max_request_bytes} bytes")


def make_app(service: Service) -> Starlette:
    """The application; close the service's batcher and store when it has ended."""
    infer, metadata = "/v2/models/{name}/infer", "/v2/models/{name}"
    return Starlette(
        routes=[
            Route("/v1/predict", _endpoint(service.predict, service), methods=["POST"]),
            Route(infer, _endpoint(service.infer, service), methods=["POST"]),
            Route(metadata, _endpoint(service.metadata, service)),
            Route(f"{metadata}/ready", _endpoint(service.metadata, service)),
            Route("/v2/health/live", _endpoint(service.health, service)),
            Route("/v2/health/ready", _endpoint(service.health, service)),
        ]
    )


_Handler = Callable[[Request, Timing], Awaitable[dict[str, Any]]]


def _endpoint(handler: _Handler, service: Service) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        timing = Timing(service.clock)
        status, headers = 200, {}
        try:
            content = await handler(request, timing)
        except Refused as refused:
            status, content = refused.status, {"error": str(refused)}
            if status == 413:
                # The rest of the body is on its way still, and nobody is going to read it.
                headers["connection"] = "close"
        body = json.dumps(content, separators=(",", ":")).encode()
        headers["server-timing"] = timing.header()
        return Response(body, status, headers, media_type="application/json")

    return endpoint


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, "the body is not JSON") from None
    if not isinstance(content, dict):
        raise Refused(400, "the body is not a JSON object")
    return content


def _tensor(content: dict[str, Any], shape: tuple[int, int, int]) -> _Images:
    """The one input of an inference request, float32 of shape (n, c, h, w), n >= 1."""
    inputs = content.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise Refused(400, f"inputs: must be a list of one tensor, {INPUT_NAME}")
    tensor = inputs[0]
    if tensor.get("name") != INPUT_NAME or tensor.get("datatype") != "FP32":
        raise Refused(400, f"inputs: name must be {INPUT_NAME} and datatype FP32")
    given = tensor.get("shape")
    if (
        not isinstance(given, list)
        or not all(type(size) is int for size in given)
        or len(given) != 4
        or given[0] < 1
        or given[1:] != list(shape)
    ):
        wanted = ", ".join(map(str, ("n", *shape)))
        raise Refused(400, f"inputs: shape must be [{wanted}] with n of at least 1")
    values = _numbers(tensor.get("data"))
    if values.size != math.prod(given):
        raise Refused(400, f"inputs: data has {values.size} values, shape {math.prod(given)}")
    return values.reshape(given)


def _numbers(data: Any) -> _Images:
    """A flat or nested list of numbers, float32; the protocol allows both."""
    try:
        values = np.array(data if isinstance(data, list) else None)
    except ValueError:  # lists of unequal length
        raise Refused(400, "inputs: data must be a list of numbers") from None
    if values.dtype.kind not in "iuf":
        raise Refused(400, "inputs: data must be a list of numbers")
    return values.astype(np.float32)
