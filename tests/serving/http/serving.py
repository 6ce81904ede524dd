"""Shared by tests of the server: its specification, plain requests, a scripted load."""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from threading import Condition
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from bench.compression.artifact import Artifact
from bench.config.serve import HttpConfig
from bench.serving.http.features import write_features
from bench.serving.http.spec import ServerSpec
from bench.serving.system import System

SHAPE = (1, 2, 2)
WAIT_S = 30.0


def images(num_images: int = 8) -> NDArray[np.float32]:
    """Image i holds i + 1 four times: its sum is 4 (i + 1)."""
    values = np.arange(1, num_images + 1, dtype=np.float32)
    return np.broadcast_to(values[:, None, None, None], (num_images, *SHAPE)).copy()


def server_spec(folder: Path, runtime: str = "fake", **changes: Any) -> ServerSpec:
    features = folder / "features.sqlite"
    if not features.exists():
        write_features(features, images())
    keys = {field.name for field in fields(HttpConfig)} & set(changes)
    http = {
        "runtime": f"tests.serving.http.fake_backend.{runtime.title().replace('_', '')}",
        "max_request_bytes": 2000,
        **{key: changes.pop(key) for key in keys},
    }
    values: dict[str, Any] = {
        "http": HttpConfig(**http),
        "device": "cpu",
        "num_threads": 1,
        "artifact": Artifact(kind="onnx", folder=folder, compression="none"),
        "features_path": features,
    }
    return ServerSpec(**{**values, **changes})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    status: int
    content: Any
    timing: str


def ask(url: str, method: str, path: str, body: Any = None) -> Answered:
    """One request; a body that is not bytes is sent as JSON."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=WAIT_S)
    sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, path, body=sent)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    content = json.loads(text) if answer.headers.get_content_subtype() == "json" else text
    return Answered(
        status=answer.status, content=content, timing=answer.headers.get("server-timing", "")
    )


@dataclass(frozen=True, slots=True)
class Sample:
    id: int
    index: int


class Load:
    """A load generator that issues what it is told to, and waits for all of it."""

    def __init__(self, system: System) -> None:
        self.done: list[int] = []
        self._system = system
        self._changed = Condition()

    def run(self, queries: Sequence[Sequence[int]], *, collect: bool = False) -> None:
        """Issue queries of indices, each as soon as the one before was issued."""
        self._system.begin(self._answered, collect=collect)
        num_issued = 0
        for query in queries:
            self._system.issue([Sample(num_issued + n, index) for n, index in enumerate(query)])
            num_issued += len(query)
        self._system.flush()
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.done) >= num_issued, WAIT_S)
        self._system.end()

    def _answered(self, ids: Sequence[int]) -> None:
        with self._changed:
            self.done += ids
            self._changed.notify_all()
