"""The two ways to ask for a prediction over HTTP: what is sent where, and how answers are read."""

from __future__ import annotations

import json
import math
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.config.serve import HttpConfig
from bench.core.printable import printable
from bench.serving.http.failures import Reason
from bench.serving.http.transport import CONNECTION_ERRORS, Reply, get

_Floats = NDArray[np.float32]

# Encoded requests that are kept; writing numbers as text is dear, and the same inputs come again.
_KEPT_BYTES = 256 * 1024**2


class BadAnswer(ValueError):  # noqa: N818 -- of the server, not of this program
    """An answer that is not one of the protocol; one line."""


class RequestProtocol(Protocol):
    """How an input is asked about.

    Attributes:
        path: Where.
        key: What every answer contains.
        typical_bytes: Size of a request.
    """

    path: str
    key: bytes
    typical_bytes: int

    def body(self, index: int) -> bytes:
        """The request about one input of the test split."""

    def logits(self, body: bytes) -> _Floats:
        """Logits in an answer, shape (num_classes,).

        Raises:
            BadAnswer: There are none.
        """


class FeaturesProtocol:
    """POST /v1/predict {"id": 123}: the server has the inputs."""

    path = "/v1/predict"
    key = b'"logits"'
    typical_bytes = len(b'{"id":1234}')

    def __init__(self, *, num_classes: int | None = None) -> None:
        """Take the number of logits of an answer; None for any."""
        self._num_classes = num_classes

    def body(self, index: int) -> bytes:
        """As in RequestProtocol."""
        return b'{"id":%d}' % index

    def logits(self, body: bytes) -> _Floats:
        """As in RequestProtocol."""
        return _logits(_field(body, "logits"), self._num_classes)


class KserveProtocol:
    """POST /v2/models/NAME/infer: the input is in the request, as JSON numbers.

    Source: Open Inference Protocol V2, "HTTP/REST", "Inference".
    """

    key = b'"outputs"'

    def __init__(
        self, images: _Floats, *, model_name: str, input_name: str, num_classes: int | None = None
    ) -> None:
        """Encode the first input.

        Args:
            images: Inputs of the test split, shape (n, c, h, w), n >= 1.
            model_name: Of the model, at the server.
            input_name: Of its input, by its metadata.
            num_classes: Logits of an answer; None for any number.
        """
        self._num_classes = num_classes
        self.path = f"/v2/models/{model_name}/infer"
        self._images = images
        self._input_name = input_name
        self._kept: dict[int, bytes] = {}
        self._kept_bytes = 0
        self.typical_bytes = len(self.body(0))

    def body(self, index: int) -> bytes:
        """As in RequestProtocol."""
        kept = self._kept.get(index)
        if kept is not None:
            return kept
        image = self._images[index]
        tensor = {
            "name": self._input_name,
            "shape": [1, *image.shape],
            "datatype": "FP32",
            "data": image.reshape(-1).tolist(),
        }
        body = json.dumps({"inputs": [tensor]}, separators=(",", ":")).encode()
        if self._kept_bytes + len(body) <= _KEPT_BYTES:
            self._kept[index] = body
            self._kept_bytes += len(body)
        return body

    def logits(self, body: bytes) -> _Floats:
        """As in RequestProtocol: the first output is taken to be the logits."""
        outputs = _field(body, "outputs")
        if not isinstance(outputs, list) or not outputs or not isinstance(outputs[0], dict):
            raise BadAnswer("no outputs that are a list of objects with data")
        return _logits(outputs[0].get("data"), self._num_classes)


def choose_protocol(
    http: HttpConfig, url: str, images: _Floats, *, num_classes: int | None = None
) -> RequestProtocol:
    """The protocol to ask a server by, once it says that it is ready.

    Args:
        http: Its protocol, the name of the model and the time for an answer.
        url: Where the server is.
        images: Inputs of the test split, float32 (n, c, h, w), for kserve_v2.
        num_classes: Logits of an answer; None for any number.

    Raises:
        ValueError: The server cannot be reached, is not ready, or does not have the model.
    """
    ready = _get(f"{url}/v2/health/ready", http.request_timeout_s)
    # A server that speaks only the first protocol need not have this page.
    if ready.status >= 500:
        raise ValueError(f"backend.http.url={url}: the server is not ready, {_quoted(ready)}")
    if http.protocol == "features":
        return FeaturesProtocol(num_classes=num_classes)
    if not np.isfinite(images).all():
        raise ValueError(
            "backend.http.protocol=kserve_v2: a test image has NaN or infinity in it, which JSON "
            "cannot say; mend the data, or use backend.http.protocol=features"
        )
    return KserveProtocol(
        images,
        model_name=http.model_name,
        input_name=_input_name(http, url),
        num_classes=num_classes,
    )


def _input_name(http: HttpConfig, url: str) -> str:
    """The name of the model's input, by its metadata.

    Raises:
        ValueError: The server does not have the model.
    """
    page = f"{url}/v2/models/{http.model_name}"
    about = _get(page, http.request_timeout_s)
    try:
        input_name = json.loads(about.content)["inputs"][0]["name"] if about.status == 200 else None
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        input_name = None
    if not isinstance(input_name, str):
        raise ValueError(
            f"backend.http.model_name={http.model_name}: {page} must answer "
            f'{{"inputs": [{{"name": ...}}]}}, answers {_quoted(about)}'
        )
    return input_name


def _get(url: str, timeout_s: float) -> Reply:
    """One page of the server.

    Raises:
        ValueError: There is no answer.
    """
    try:
        return get(url, timeout_s)
    except CONNECTION_ERRORS as error:
        reason = f"within {timeout_s:g} s" if isinstance(error, TimeoutError) else f"({error})"
        raise ValueError(
            f"backend.http.url={url}: no answer {printable(reason)}; is it running?"
        ) from error


def _quoted(reply: Reply) -> str:
    """Status and beginning of an answer that is not what was asked for."""
    reason = Reason.of_answer(f"HTTP {reply.status}", reply.content)
    return f"{reason.kind}{reason.example}"


def _field(body: bytes, name: str) -> Any:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise BadAnswer("not JSON") from None
    if not isinstance(content, dict) or name not in content:
        raise BadAnswer(f'no "{name}" in the answer')
    return content[name]


def _logits(values: Any, num_classes: int | None) -> _Floats:
    """Numbers; null and NaN are some, as a model may well give them: then quality is not known."""
    try:
        given = np.array(_nulls_as_nan(values))
    except (ValueError, TypeError, OverflowError, RecursionError):  # lists of unequal length
        raise BadAnswer("the logits are no list of numbers") from None
    if given.dtype.kind not in "iuf":  # true and "1" would become numbers
        raise BadAnswer("the logits are no list of numbers")
    with np.errstate(over="ignore"):  # -1e39 is minus infinity as a 32-bit float
        logits = given.astype(np.float32).reshape(-1)
    if not logits.size:
        raise BadAnswer("no logits in the list")
    if num_classes is not None and len(logits) != num_classes:
        raise BadAnswer(f"{len(logits)} logits for {num_classes} classes")
    return logits


def _nulls_as_nan(values: Any) -> Any:
    """Nested lists with NaN in the place of each null."""
    if isinstance(values, list):
        return [_nulls_as_nan(value) for value in values]
    return math.nan if values is None else values


def read_reply(
    protocol: RequestProtocol, reply: Reply, *, in_full: bool
) -> NDArray[np.float32] | Reason | None:
    """Read an answer.

    Args:
        protocol: By which it was asked for.
        reply: What came.
        in_full: Whether to read the logits; else an answer that seems to have some is one.

    Returns:
        Logits, shape (num_classes,), None for an answer that was not read, or why it is none.
    """
    if reply.status != 200:
        where = f", redirected to {printable(reply.location)}" if reply.location else ""
        return Reason.of_answer(f"HTTP {reply.status}{where}", reply.content)
    if not in_full and protocol.key in reply.content:
        return None
    try:
        logits = protocol.logits(reply.content)
    except BadAnswer as error:
        return Reason.of_answer(f"HTTP 200, {error}", reply.content)
    return logits if in_full else None
