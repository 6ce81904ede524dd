"""The configuration of what serves a model: a runtime in this process, or a server over HTTP."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from bench.core.checks import (
    MISSING,
    MOST_THREADS,
    require_at_least,
    require_one_of,
    require_positive,
)

RUNTIMES = ("eager", "compile", "onnxruntime", "openvino")
BACKENDS = (*RUNTIMES, "http")
PROTOCOLS = ("features", "kserve_v2")
DEVICES = ("auto", "cpu", "cuda")


@dataclass(kw_only=True)
class HttpConfig:
    """The server that is started, or the one that is asked, and how it is asked."""

    runtime: str = "onnxruntime"
    url: str | None = None
    protocol: str = "features"
    model_name: str = "model"
    host: str = "127.0.0.1"
    port: int = 0
    concurrency: int = 64
    max_batch_size: int = 1
    batch_window_ms: float = 0.0
    max_request_bytes: int = 1_000_000
    start_timeout_s: float = 60.0
    request_timeout_s: float = 30.0
    max_timeouts: int = 3

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ValueError: A value is out of range; the message names the key.
        """
        require_one_of("backend.http.runtime", self.runtime, RUNTIMES)
        require_one_of("backend.http.protocol", self.protocol, PROTOCOLS)
        if self.url is not None and not re.match(r"https?://[^/]", self.url):
            raise ValueError(
                f"backend.http.url={self.url}: must begin with http:// or https://, and name a host"
            )
        if not 0 <= self.port <= 65535:
            raise ValueError(f"backend.http.port={self.port}: must lie between 0 (any) and 65535")
        # Each size of a batch is run once before the server is ready, each connection has a file.
        for name, most in (("concurrency", 10_000), ("max_batch_size", 10_000)):
            require_at_least(f"backend.http.{name}", getattr(self, name), 1, most)
        for name in ("max_request_bytes", "max_timeouts"):
            require_at_least(f"backend.http.{name}", getattr(self, name), 1)
        require_at_least("backend.http.batch_window_ms", self.batch_window_ms, 0)
        require_positive("backend.http.start_timeout_s", self.start_timeout_s)
        require_positive("backend.http.request_timeout_s", self.request_timeout_s)


@dataclass(kw_only=True)
class BackendConfig:
    """What runs the model."""

    name: str = MISSING
    num_threads: int | None = None
    device: str = "auto"
    http: Any = None  # an HttpConfig for backend=http

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ValueError: A value is out of range; the message names the key.
        """
        require_one_of("backend.name", self.name, BACKENDS)
        require_at_least("backend.num_threads", self.num_threads, 1, MOST_THREADS)
        require_one_of("backend.device", self.device, DEVICES)

    @property
    def serves_elsewhere(self) -> bool:
        """Whether a server of the user's own is asked, which has its model already."""
        return self.http is not None and self.http.url is not None

    @property
    def runtime(self) -> str:
        """What runs the model, also where it is behind a server."""
        return self.name if self.http is None else str(self.http.runtime)
