"""The two protocols of a prediction over HTTP: writes requests and reads answers."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from bench.config.serve import HttpConfig
from bench.core.printable import printable
from bench.serving.http.failures import Reason
from bench.serving.http.transport import CONNECTION_ERRORS, Reply, get

_Floats = NDArray[np.float32]

# Encoded requests to keep: writing numbers as text is slow, and the same inputs come again.
_CACHE_BYTES = 256 * 1024**2


class BadAnswer(ValueError):  # noqa: N818 -- the server's error, not this program's
    """An answer that does not follow the protocol; one line."""


class RequestProtocol(ABC):
    """Writes a request for an input, and reads the logits in the answer.

    Attributes:
        path: Path of the requests.
        field: Field that every answer contains.
        typical_bytes: Size of a request.
    """

    path: str
    field: ClassVar[str]
    typical_bytes: int

    def __init__(self, num_classes: int | None) -> None:
        """Take the number of logits of an answer; None for any number."""
        self._num_classes = num_classes

    @abstractmethod
    def body(self, index: int) -> bytes:
        """The request for one input of the test split."""

    def logits(self, body: bytes) -> _Floats:
        """The logits in an answer, shape (num_classes,).

        Raises:
            BadAnswer: It has none.
        """
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):
            raise BadAnswer("not JSON") from None
        if not isinstance(content, dict) or self.field not in content:
            raise BadAnswer(f'no "{self.field}" in the answer')
        return _logits(self._values(content[self.field]), self._num_classes)

    def _values(self, field: Any) -> Any:
        """The numbers in the field of an answer."""
        return field


class FeaturesProtocol(RequestProtocol):
    """POST /v1/predict {"id": 123}: the server has the inputs."""

    path = "/v1/predict"
    field = "logits"
    typical_bytes = len(b'{"id":1234}')

    def __init__(self, *, num_classes: int | None = None) -> None:
        """As in RequestProtocol."""
        super().__init__(num_classes)

    @override
    def body(self, index: int) -> bytes:
        """As in RequestProtocol."""
        return b'{"id":%d}' % index


class KserveProtocol(RequestProtocol):
    """POST /v2/models/NAME/infer: the request has the input, as JSON numbers.

    Source: Open Inference Protocol V2, "HTTP/REST", "Inference".
    """

    field = "outputs"

    def __init__(
        self, images: _Floats, *, model_name: str, input_name: str, num_classes: int | None = None
    ) -> None:
        """Encode the first input, whose size is typical.

        Args:
            images: Inputs of the test split, shape (n, c, h, w), n >= 1.
            model_name: Name of the model at the server.
            input_name: Name of its input in its metadata.
            num_classes: As in RequestProtocol.
        """
        super().__init__(num_classes)
        self.path = f"/v2/models/{model_name}/infer"
        self._images = images
        self._input_name = input_name
        self._cache: dict[int, bytes] = {}
        self._free_bytes = _CACHE_BYTES
        self.typical_bytes = len(self.body(0))

    @override
    def body(self, index: int) -> bytes:
        """As in RequestProtocol."""
        if index in self._cache:
            return self._cache[index]
        image = self._images[index]
        tensor = {
            "name": self._input_name,
            "shape": [1, *image.shape],
            "datatype": "FP32",
            "data": image.reshape(-1).tolist(),
        }
        body = json.dumps({"inputs": [tensor]}, separators=(",", ":")).encode()
        # Once the cache is full it stays as it is: the same inputs come again, in any order.
        if len(body) <= self._free_bytes:
            self._cache[index] = body
            self._free_bytes -= len(body)
        return body

    @override
    def _values(self, field: Any) -> Any:
        """The data of the first output, which must be the logits."""
        if not isinstance(field, list) or not field or not isinstance(field[0], dict):
            raise BadAnswer("no outputs that are a list of objects with data")
        return field[0].get("data")


def choose_protocol(
    http: HttpConfig, url: str, images: _Floats, *, num_classes: int | None = None
) -> RequestProtocol:
    """The protocol of a server, which must report that it is ready.

    Args:
        http: Its protocol, the name of the model and the timeout of a request.
        url: Address of the server.
        images: Inputs of the test split, float32 (n, c, h, w), for kserve_v2.
        num_classes: Logits of an answer; None for any number.

    Raises:
        ValueError: The server cannot be reached, is not ready, or does not have the model.
    """
    ready = _get(f"{url}/v2/health/ready", http.request_timeout_s)
    # A server with only the first protocol need not have this page, so a 404 is no error.
    if ready.status >= 500:
        raise ValueError(f"backend.http.url={url}: the server is not ready, {_quoted(ready)}")
    if http.protocol == "features":
        return FeaturesProtocol(num_classes=num_classes)
    if not np.isfinite(images).all():
        raise ValueError(
            "backend.http.protocol=kserve_v2: a test image has NaN or infinity in it, which JSON "
            "cannot express; repair the data, or use backend.http.protocol=features"
        )
    return KserveProtocol(
        images,
        model_name=http.model_name,
        input_name=_input_name(http, url),
        num_classes=num_classes,
    )


def _input_name(http: HttpConfig, url: str) -> str:
    """The name of the model's input, from its metadata.

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
    """Get one page of the server.

    Raises:
        ValueError: It does not answer.
    """
    try:
        return get(url, timeout_s)
    except CONNECTION_ERRORS as error:
        reason = f"within {timeout_s:g} s" if isinstance(error, TimeoutError) else f"({error})"
        raise ValueError(
            f"backend.http.url={url}: no answer {printable(reason)}; is it running?"
        ) from error


def _quoted(reply: Reply) -> str:
    """Status and beginning of an unexpected answer."""
    reason = Reason.from_answer(f"HTTP {reply.status}", reply.content)
    return f"{reason.kind}{reason.example}"


def _logits(values: Any, num_classes: int | None) -> _Floats:
    """Logits as float32.

    Null and NaN are allowed, because a model may well give them; the quality is then unknown.
    """
    try:
        numbers = np.array(_nulls_to_nan(values))
    except (ValueError, TypeError, OverflowError, RecursionError):  # lists of unequal length
        raise BadAnswer("the logits are not a list of numbers") from None
    if numbers.dtype.kind not in "iuf":  # a conversion would accept true and "1", too
        raise BadAnswer("the logits are not a list of numbers")
    with np.errstate(over="ignore"):  # -1e39 is minus infinity as a 32-bit float
        logits = numbers.astype(np.float32).reshape(-1)
    if not logits.size:
        raise BadAnswer("no logits in the list")
    if num_classes is not None and len(logits) != num_classes:
        raise BadAnswer(f"{len(logits)} logits for {num_classes} classes")
    return logits


def _nulls_to_nan(values: Any) -> Any:
    """Nested lists with each null replaced by NaN."""
    if isinstance(values, list):
        return [_nulls_to_nan(value) for value in values]
    return math.nan if values is None else values


def read_reply(
    protocol: RequestProtocol, reply: Reply, *, in_full: bool
) -> NDArray[np.float32] | Reason | None:
    """Read an answer.

    Args:
        protocol: The protocol of the request.
        reply: The answer.
        in_full: Whether to read the logits. If not, an answer that seems to have some will do.

    Returns:
        Logits, shape (num_classes,); None for an answer that was not read; the reason if it has
        none.
    """
    if reply.status != 200:
        where = f", redirected to {printable(reply.location)}" if reply.location else ""
        return Reason.from_answer(f"HTTP {reply.status}{where}", reply.content)
    if not in_full and f'"{protocol.field}"'.encode() in reply.content:
        return None
    try:
        logits = protocol.logits(reply.content)
    except BadAnswer as error:
        return Reason.from_answer(f"HTTP 200, {error}", reply.content)
    return logits if in_full else None
