"""The two protocols of a prediction over HTTP: writes requests and reads answers."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from bench.config.serve import HttpConfig
from bench.core.arrays import Inputs, named_arrays
from bench.core.printable import printable
from bench.serving.http.failures import Reason
from bench.serving.http.inputs import tensors_to_json
from bench.serving.http.transport import CONNECTION_ERRORS, Reply, get

_Floats = NDArray[np.float32]

# Encoded requests to keep: writing numbers as text is slow, and the same inputs come again.
_CACHE_BYTES = 256 * 1024**2


class BadAnswer(ValueError):  # noqa: N818 -- the server's error, not this program's
    """An answer that does not follow the protocol; one line."""


class RequestProtocol(ABC):
    """Writes a request for an input, and reads the outputs in the answer.

    Attributes:
        path: Path of the requests.
        fields: Every answer contains one of these.
        typical_bytes: Size of a request.
    """

    path: str
    fields: ClassVar[Sequence[str]]
    typical_bytes: int

    def __init__(self, num_outputs: int | None) -> None:
        """Take the number of values in the outputs of an input; None for any number."""
        self._num_outputs = num_outputs

    @abstractmethod
    def body(self, index: int) -> bytes:
        """The request for one input of the test split."""

    def outputs(self, body: bytes) -> _Floats:
        """The outputs in an answer, flat: shape (num_outputs,).

        Raises:
            BadAnswer: It has none.
        """
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):
            raise BadAnswer("not JSON") from None
        found = [name for name in self.fields if isinstance(content, dict) and name in content]
        if not found:
            raise BadAnswer(f'no "{self.fields[0]}" in the answer')
        return _outputs(self._values(content[found[0]]), self._num_outputs)

    def _values(self, field: Any) -> Any:
        """The numbers in the field of an answer."""
        return field


class FeaturesProtocol(RequestProtocol):
    """POST /v1/predict {"id": 123}: the server has the inputs."""

    path = "/v1/predict"
    fields = ("outputs", "logits")  # the second is what servers of classifiers may say
    typical_bytes = len(b'{"id":1234}')

    def __init__(self, *, num_outputs: int | None = None) -> None:
        """As in RequestProtocol."""
        super().__init__(num_outputs)

    @override
    def body(self, index: int) -> bytes:
        """As in RequestProtocol."""
        return b'{"id":%d}' % index


class KserveProtocol(RequestProtocol):
    """POST /v2/models/NAME/infer: the request has the input, as JSON numbers.

    Source: Open Inference Protocol V2, "HTTP/REST", "Inference".
    """

    fields = ("outputs",)

    def __init__(
        self, inputs: Inputs, *, model_name: str, input_name: str, num_outputs: int | None = None
    ) -> None:
        """Encode the first input, whose size is typical.

        Args:
            inputs: Those of the test split, shape (n, ...), n >= 1.
            model_name: Name of the model at the server.
            input_name: Name of the first input in its metadata; inputs of several tensors have
                names of their own.
            num_outputs: As in RequestProtocol.
        """
        super().__init__(num_outputs)
        self.path = f"/v2/models/{model_name}/infer"
        self._inputs = inputs
        self._input_name = input_name
        self._cache: dict[int, bytes] = {}
        self._free_bytes = _CACHE_BYTES
        self.typical_bytes = len(self.body(0))

    @override
    def body(self, index: int) -> bytes:
        """As in RequestProtocol."""
        if index in self._cache:
            return self._cache[index]
        tensors = tensors_to_json(self._inputs[index], name=self._input_name)
        body = json.dumps({"inputs": tensors}, separators=(",", ":")).encode()
        # Once the cache is full it stays as it is: the same inputs come again, in any order.
        if len(body) <= self._free_bytes:
            self._cache[index] = body
            self._free_bytes -= len(body)
        return body

    @override
    def _values(self, field: Any) -> Any:
        """The data of the first output."""
        if not isinstance(field, list) or not field or not isinstance(field[0], dict):
            raise BadAnswer("no outputs that are a list of objects with data")
        return field[0].get("data")


def choose_protocol(
    http: HttpConfig, url: str, inputs: Inputs, *, num_outputs: int | None = None
) -> RequestProtocol:
    """The protocol of a server, which must report that it is ready.

    Args:
        http: Its protocol, the name of the model and the timeout of a request.
        url: Address of the server.
        inputs: Those of the test split, for kserve_v2.
        num_outputs: As in RequestProtocol.

    Raises:
        ValueError: The server cannot be reached, is not ready, or does not have the model.
    """
    ready = _get(f"{url}/v2/health/ready", http.request_timeout_s)
    # A server with only the first protocol need not have this page, so a 404 is no error.
    if ready.status >= 500:
        raise ValueError(f"backend.http.url={url}: the server is not ready, {_quoted(ready)}")
    if http.protocol == "features":
        return FeaturesProtocol(num_outputs=num_outputs)
    arrays = named_arrays(inputs) or {"": inputs}
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ValueError(
            "backend.http.protocol=kserve_v2: a test input has NaN or infinity in it, which JSON "
            "cannot express; repair the data, or use backend.http.protocol=features"
        )
    return KserveProtocol(
        inputs,
        model_name=http.model_name,
        input_name=_input_name(http, url),
        num_outputs=num_outputs,
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


def _outputs(values: Any, num_outputs: int | None) -> _Floats:
    """Outputs as float32, flat.

    Null and NaN are allowed, because a model may well give them; the quality is then unknown.
    """
    try:
        numbers = np.array(_nulls_to_nan(values))
    except (ValueError, TypeError, OverflowError, RecursionError):  # lists of unequal length
        raise BadAnswer("the outputs are not a list of numbers") from None
    if numbers.dtype.kind not in "iuf":  # a conversion would accept true and "1", too
        raise BadAnswer("the outputs are not a list of numbers")
    with np.errstate(over="ignore"):  # -1e39 is minus infinity as a 32-bit float
        outputs = numbers.astype(np.float32).reshape(-1)
    if not outputs.size:
        raise BadAnswer("no outputs in the list")
    if num_outputs is not None and len(outputs) != num_outputs:
        raise BadAnswer(f"{len(outputs)} outputs, must be {num_outputs}")
    return outputs


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
        in_full: Whether to read the outputs. If not, an answer that seems to have some will do.

    Returns:
        Outputs, shape (num_outputs,); None for an answer that was not read; the reason if it has
        none.
    """
    if reply.status != 200:
        where = f", redirected to {printable(reply.location)}" if reply.location else ""
        return Reason.from_answer(f"HTTP {reply.status}{where}", reply.content)
    if not in_full and any(f'"{name}"'.encode() in reply.content for name in protocol.fields):
        return None
    try:
        outputs = protocol.outputs(reply.content)
    except BadAnswer as error:
        return Reason.from_answer(f"HTTP 200, {error}", reply.content)
    return outputs if in_full else None
