"""The server's web application: two protocols in front of one model.

`features`: POST /v1/predict {"id": 123} is answered with {"id": 123, "outputs": [...]}; the
server fetches the input by its id from the feature store. `kserve_v2`: the JSON form of the Open
Inference Protocol, POST /v2/models/NAME/infer with the input in the request.

The Server-Timing header (W3C) of each answer has the server's time in milliseconds: queue (waiting
for the model), fetch, preprocess, inference, postprocess, and total from the entry into the
application until the answer is ready. An error is answered with {"error": one line}, also for an
unknown address or method.

Source: W3C Server Timing; Open Inference Protocol V2, "HTTP/REST", also for the form of errors.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from bench.config.serve import HttpConfig
from bench.core.arrays import Inputs
from bench.serving.http.batching import Answer, Batcher, ModelError
from bench.serving.http.connections import error_body
from bench.serving.http.features import FeatureStore
from bench.serving.http.inputs import (
    Refused,
    json_numbers,
    json_object,
    read_inputs,
    tensor_descriptions,
)

OUTPUT_NAME = "outputs"

_JSON = "application/json"
# How much of an unknown address an error quotes.
_QUOTED_CHARACTERS = 200
# Most full batches in one request: a larger one would keep others waiting for too long.
_MAX_BATCHES = 16
# A content-length with more digits is too large in any case, and Python refuses to convert very
# long ones.
_LENGTH_DIGITS = 18


class BodyMemory:
    """Limits the memory for the bodies of all requests together."""

    def __init__(self, max_bytes: int) -> None:
        """Hold nothing yet."""
        self._max_bytes = max_bytes
        self._num_bytes = 0

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """Give a function that takes more bytes; they are free again after the block.

        Raises:
            Refused: There is no memory left for so many; raised by the function.
        """
        taken = 0

        def take(num_bytes: int) -> None:
            nonlocal taken
            taken += num_bytes
            self._num_bytes += num_bytes
            if self._num_bytes > self._max_bytes:
                raise Refused(503, "the server holds too many large requests; ask again later")

        try:
            yield take
        finally:
            self._num_bytes -= taken


class Timing:
    """Times the stages of one request, for its Server-Timing header."""

    def __init__(self) -> None:
        """Start the total."""
        self._entered_s = time.perf_counter()
        self._stages_s: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the block."""
        start_s = time.perf_counter()
        yield
        self.add(name, time.perf_counter() - start_s)

    def add(self, name: str, seconds: float) -> None:
        """Add to a stage."""
        self._stages_s[name] = self._stages_s.get(name, 0.0) + seconds

    def header(self) -> str:
        """The Server-Timing header, with the total up to now."""
        stages = {**self._stages_s, "total": time.perf_counter() - self._entered_s}
        return ", ".join(f"{name};dur={seconds * 1e3:.4f}" for name, seconds in stages.items())


class Service:
    """The endpoints of the application."""

    def __init__(
        self,
        store: FeatureStore,
        batcher: Batcher,
        http: HttpConfig,
        output_shape: tuple[int, ...],
    ) -> None:
        """Take the inputs, the model, the settings and the shape of the outputs of an input."""
        self.store = store
        self.http = http
        self._batcher = batcher
        self._output_shape = output_shape
        # Enough for the largest possible request on each connection of the benchmark's client.
        self._memory = BodyMemory(http.concurrency * http.max_request_bytes)

    async def predict(self, request: Request, timing: Timing) -> dict[str, Any]:
        """POST /v1/predict."""
        async with self.body(request) as body:
            index = json_object(body).get("id")
        if type(index) is not int:  # isinstance() would accept true
            raise Refused(400, 'id: must be an integer, as in {"id": 123}')
        with timing.stage("fetch"):
            try:
                raw = self.store.fetch(index)
            except KeyError:
                raise Refused(404, f"id={index}: no such input") from None
        with timing.stage("preprocess"):
            values = self.store.preprocess(raw)
        answer = await self._ask([values], timing)
        with timing.stage("postprocess"):
            return {"id": index, OUTPUT_NAME: json_numbers(answer[0].outputs)}

    async def infer(self, request: Request, timing: Timing) -> dict[str, Any]:
        """POST /v2/models/NAME/infer; the inputs of one request may share a batch with others."""
        self._require_model(request)
        async with self.body(request) as body:
            with timing.stage("preprocess"):
                inputs, named = self._read(body)
            answers = await self._ask(list(inputs), timing)
        with timing.stage("postprocess"):
            outputs = np.stack([answer.outputs for answer in answers])
            output = {
                "name": OUTPUT_NAME,
                "shape": list(outputs.shape),
                "datatype": "FP32",
                "data": json_numbers(outputs),
            }
            return {"model_name": self.http.model_name, **named, "outputs": [output]}

    def _read(self, body: bytes) -> tuple[Inputs, dict[str, str]]:
        """The inputs of a request, and its id if it has one; the parsed JSON is not kept."""
        content = json_object(body)
        inputs = read_inputs(content, self.store.example)
        max_inputs = _MAX_BATCHES * self.http.max_batch_size
        if len(inputs) > max_inputs:
            raise Refused(
                413,
                f"inputs: {len(inputs)} inputs in one request, at most {max_inputs} "
                f"({_MAX_BATCHES} times backend.http.max_batch_size)",
            )
        return inputs, {"id": content["id"]} if isinstance(content.get("id"), str) else {}

    async def metadata(self, request: Request, timing: Timing) -> dict[str, Any]:
        """GET /v2/models/NAME."""
        self._require_model(request)
        return {
            "name": self.http.model_name,
            "versions": [],
            "platform": "operational-metrics-bench",
            "inputs": tensor_descriptions(self.store.example),
            "outputs": [
                {"name": OUTPUT_NAME, "datatype": "FP32", "shape": [-1, *self._output_shape]}
            ],
        }

    async def health(self, request: Request, timing: Timing) -> dict[str, Any]:
        """GET /v2/health/live and ready: always true, because nothing listens earlier."""
        return {}

    def _require_model(self, request: Request) -> None:
        name = request.path_params["name"]
        if name != self.http.model_name:
            raise Refused(404, f"model {name}: no such model; use {self.http.model_name}")

    async def _ask(self, inputs: list[Inputs], timing: Timing) -> list[Answer]:
        try:
            answers = await asyncio.gather(*map(self._batcher.submit, inputs))
        except ModelError as error:
            raise Refused(500, str(error)) from error
        # The inputs of one request may run in several batches: report the one that ended last.
        last = max(answers, key=lambda answer: answer.queue_s + answer.inference_s)
        timing.add("queue", last.queue_s)
        timing.add("inference", last.inference_s)
        return answers

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """The body, within the memory that is allowed, until the end of the block."""
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and (
            len(declared) > _LENGTH_DIGITS or int(declared) > self.http.max_request_bytes
        ):
            raise self._too_large()
        chunks: list[bytes] = []
        num_bytes = 0
        with self._memory.share() as take:
            try:
                async for chunk in request.stream():
                    take(len(chunk))
                    num_bytes += len(chunk)
                    if num_bytes > self.http.max_request_bytes:
                        raise self._too_large()
                    chunks.append(chunk)
            except ClientDisconnect:
                raise Refused(400, "the request was broken off") from None
            yield b"".join(chunks)

    def _too_large(self) -> Refused:
        return Refused(413, f"the request is larger than {self.http.max_request_bytes} bytes")


def make_app(service: Service) -> Starlette:
    """The application; close the service's batcher and store after it has ended."""
    infer, metadata = "/v2/models/{name}/infer", "/v2/models/{name}"
    app = Starlette(
        routes=[
            Route("/v1/predict", _endpoint(service.predict), methods=["POST"]),
            Route(infer, _endpoint(service.infer), methods=["POST"]),
            Route(metadata, _endpoint(service.metadata)),
            Route(f"{metadata}/ready", _endpoint(service.metadata)),
            Route("/v2/health/live", _endpoint(service.health)),
            Route("/v2/health/ready", _endpoint(service.health)),
        ],
        exception_handlers={HTTPException: _no_such_page(service), Exception: _server_error},
    )
    app.router.redirect_slashes = False  # a redirect would be an unexpected answer
    return app


def _no_such_page(service: Service) -> Callable[[Request, Exception], Awaitable[Response]]:
    """A handler that answers requests for an unknown address or method."""

    async def refuse(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException), "it is registered for this class"

        async def handler(request: Request, timing: Timing) -> dict[str, Any]:
            async with service.body(request):
                pass  # read it, so that the connection can be used again
            page = f"{request.method} {request.url.path[:_QUOTED_CHARACTERS]}"
            raise Refused(error.status_code, f"{page}: {error.detail.lower()}")

        answer = await _endpoint(handler)(request)
        answer.headers.update(error.headers or {})
        return answer

    return refuse


async def _server_error(request: Request, error: Exception) -> Response:
    """Answer a request that broke the application; the log has the reason."""
    return Response(error_body("the server failed; its log has the reason"), 500, media_type=_JSON)


_Handler = Callable[[Request, Timing], Awaitable[dict[str, Any]]]


def _endpoint(handler: _Handler) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        timing = Timing()
        status, headers = 200, {}
        try:
            content = await handler(request, timing)
        except Refused as refused:
            status, content = refused.status, {"error": str(refused)}
            if status in (413, 503):
                # The rest of the body may still come, and will not be read.
                headers["connection"] = "close"
        body = json.dumps(content, separators=(",", ":")).encode()
        headers["server-timing"] = timing.header()
        return Response(body, status, headers, media_type=_JSON)

    return endpoint
