"""The server's own process: `python -m bench.serving.http.server SPEC.json [DESCRIPTOR]`.

It starts in this order. It takes the address, so that a port in use is found before anything is
loaded. It loads the model and runs it once with each possible batch size, so that nothing is
compiled in the middle of a measurement. It writes one line of JSON to the descriptor (by default,
standard output): it is ready, or it failed and why. Then it answers requests until SIGTERM.
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
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

import numpy as np
import uvicorn

from bench.config.serve import HttpConfig
from bench.core.errors import CombinationRefused, PassFailed
from bench.serving.backend import call_once
from bench.serving.find_backend import make_backend
from bench.serving.http.app import Service, make_app
from bench.serving.http.batching import Batcher
from bench.serving.http.connections import ConnectionLimits, limited_protocol
from bench.serving.http.features import FeatureStore
from bench.serving.http.limits import OTHER_FILES, allow_open_files
from bench.serving.http.spec import ServerSpec

_BACKLOG = 2048
# Far more connections than the benchmark's client has, yet few enough for the memory of each.
_SPARE_CONNECTIONS, _CONNECTIONS_FACTOR = 64, 4
# Longer than any pass: a connection must not be closed just when a request comes.
_KEEP_ALIVE_S = 3600


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
        ValueError: It is in use, or not one of this machine; the message names the key.
    """
    family = socket.AF_INET6 if ":" in http.host else socket.AF_INET
    try:
        return socket.create_server((http.host, http.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        # Without the error's own text, which repeats the address; resolver errors have no number.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise ValueError(
            f"backend.http.port={http.port}: cannot listen there at {http.host} ({reason}); "
            "choose another port, or 0 for any that is free"
        ) from error


def _serve(spec: ServerSpec, listener: socket.socket, store: FeatureStore, report: IO[str]) -> None:
    """Load the model, report that the server is ready, and answer until SIGTERM."""
    http = spec.http
    start_s = time.perf_counter()
    backend = make_backend(http.runtime, device=spec.device, num_threads=spec.num_threads)
    backend.open(spec.artifact)
    loaded_s = time.perf_counter()
    outputs = call_once(
        backend,
        lambda size: np.stack([store.example] * size),
        range(1, http.max_batch_size + 1),
        output_shape=spec.output_shape,
    )
    ready = {
        "port": listener.getsockname()[1],
        "load_s": loaded_s - start_s,
        "warmup_s": time.perf_counter() - loaded_s,
        "compile_s": backend.compile_s,
        "facts": {**backend.facts, "http_server": _http_server()},
    }
    batcher = Batcher(
        backend.predict,
        max_batch_size=http.max_batch_size,
        window_s=http.batch_window_ms / 1e3,
    )
    with closing(backend), closing(batcher):
        server = _uvicorn(Service(store, batcher, http, outputs.shape[1:]))
        _write(report, ready)
        server.run(sockets=[listener])


def _uvicorn(service: Service) -> uvicorn.Server:
    http = service.http
    limits = ConnectionLimits(
        max_connections=_SPARE_CONNECTIONS + _CONNECTIONS_FACTOR * http.concurrency,
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
            # Skip what no client needs, because it would cost time in each answer.
            proxy_headers=False,
            server_header=False,
            date_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=1,
        )
    )


def _http_server() -> str:
    """Versions of the libraries that parse and schedule requests."""
    versions = []
    for package in ("uvicorn", "starlette", "uvloop", "httptools"):
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue  # uvloop does not exist for every system
    return (
        f"{', '.join(versions)} on {platform.python_implementation()} {platform.python_version()}"
    )


def _write(report: IO[str], message: Mapping[str, Any]) -> None:
    report.write(json.dumps(message) + "\n")
    report.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv))
