"""The server's own process: `python -m bench.serving.http.server SPEC.json [DESCRIPTOR]`.

In this order: the address is taken, so that a port in use is known before anything is loaded; the
model is loaded and run once with each batch size that can come, so that nothing is compiled in the
middle of a measurement; one line of JSON on the descriptor (standard output if there is none)
reports that the server is ready; requests are answered until SIGTERM. An error before that is
reported in the same line.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

import numpy as np
import uvicorn

from bench.config.serve import HttpConfig
from bench.core.errors import CombinationRefused, PassFailed
from bench.serving.backend import Backend, call_once
from bench.serving.find_backend import make_backend
from bench.serving.http.app import Service, make_app
from bench.serving.http.batching import Batcher
from bench.serving.http.connections import ConnectionLimits, limited_protocol
from bench.serving.http.features import FeatureStore
from bench.serving.http.limits import OTHER_FILES, allow_open_files
from bench.serving.http.spec import ServerSpec

_BACKLOG = 2048
# Far more connections than those that measure, and few enough for what each of them may hold.
_SPARE_CONNECTIONS, _MORE_CONNECTIONS = 64, 4
# Longer than any pass: a connection that the client keeps must not be closed under a request.
_KEEP_ALIVE_S = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    backend: Backend
    num_classes: int
    load_s: float
    warmup_s: float


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    descriptor = int(arguments[2]) if len(arguments) > 2 else os.dup(1)
    with os.fdopen(descriptor, "w") as report:
        try:
            spec = ServerSpec.read(Path(arguments[1]))
            listener = _listen(spec.http)
            with closing(FeatureStore(spec.features_path)) as store:
                _serve(spec, listener, store, report)
        except (ValueError, OSError, PassFailed) as error:
            refused = isinstance(error, CombinationRefused)
            _write(report, {"error": str(error), "refused": refused})
            return 2
    return 0


def _listen(http: HttpConfig) -> socket.socket:
    """Take the address.

    Raises:
        ValueError: It is taken, or not one of this machine; the message names the key.
    """
    family = socket.AF_INET6 if ":" in http.host else socket.AF_INET
    try:
        return socket.create_server((http.host, http.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        # The text of the error names the address again; one of the resolver has no number.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise ValueError(
            f"backend.http.port={http.port}: cannot listen there at {http.host} ({reason}); "
            "choose another port, or 0 for any that is free"
        ) from error


def _serve(spec: ServerSpec, listener: socket.socket, store: FeatureStore, report: IO[str]) -> None:
    """Load the model, report that the server is ready, and answer until SIGTERM."""
    loaded, http = _load(spec, store.shape), spec.http
    batcher = Batcher(
        loaded.backend.predict,
        max_batch_size=http.max_batch_size,
        window_s=http.batch_window_ms / 1e3,
    )
    with closing(loaded.backend), closing(batcher):
        server = _uvicorn(Service(store, batcher, http, loaded.num_classes))
        _write(
            report,
            {
                "port": listener.getsockname()[1],
                "load_s": loaded.load_s,
                "warmup_s": loaded.warmup_s,
                "compile_s": loaded.backend.compile_s,
                "facts": {**loaded.backend.facts, "http_server": _http_server()},
            },
        )
        server.run(sockets=[listener])


def _uvicorn(service: Service) -> uvicorn.Server:
    http = service.http
    limits = ConnectionLimits(
        max_connections=_SPARE_CONNECTIONS + _MORE_CONNECTIONS * http.concurrency,
        max_request_bytes=http.max_request_bytes,
        body_timeout_s=http.request_timeout_s,
    )
    allow_open_files(2 * limits.max_connections + OTHER_FILES)
    return uvicorn.Server(
        uvicorn.Config(
            make_app(service),
            http=limited_protocol(limits),
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            proxy_headers=False,
            server_header=False,
            date_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=1,
        )
    )


def _load(spec: ServerSpec, shape: tuple[int, int, int]) -> _Loaded:
    """Load the model and run it once with each batch size up to the largest."""
    start_s = time.perf_counter()
    backend = make_backend(spec.http.runtime, device=spec.device, num_threads=spec.num_threads)
    backend.open(spec.artifact)
    loaded_s = time.perf_counter()
    logits = call_once(
        backend,
        lambda size: np.zeros((size, *shape), dtype=np.float32),
        range(1, spec.http.max_batch_size + 1),
        num_classes=spec.num_classes,
    )
    return _Loaded(
        backend=backend,
        num_classes=logits.shape[1],
        load_s=loaded_s - start_s,
        warmup_s=time.perf_counter() - loaded_s,
    )


def _http_server() -> str:
    """What parses and schedules requests here."""
    found = []
    for package in ("uvicorn", "starlette", "uvloop", "httptools"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue  # uvloop is not for every system
    return f"{', '.join(found)} on {platform.python_implementation()} {platform.python_version()}"


def _write(report: IO[str], message: Mapping[str, Any]) -> None:
    report.write(json.dumps(message) + "\n")
    report.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv))
