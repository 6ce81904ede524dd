from __future__ import annotations

import importlib.util
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.config.serve import PlacementConfig
from bench.serving.http.client import HttpSystem
from bench.serving.http.network import Network, _limit_kib_per_s
from bench.serving.http.process import HttpServer, ServerDied
from bench.serving.http.protocols import FeaturesProtocol, KserveProtocol
from tests.forked_children import forked_children
from tests.serving.http.serving import Load, images, server_spec

needs_envoy = pytest.mark.skipif(
    importlib.util.find_spec("envoy") is None, reason="needs the serving extra"
)


@pytest.fixture(scope="module", autouse=True)
def _servers_are_forks() -> Iterator[None]:
    """The network lies before a server, whatever interpreter that starts in; the proxy is real."""
    with forked_children():
        yield


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    folder = tmp_path_factory.mktemp("server")
    with HttpServer(server_spec(folder), log=folder / "server.log") as running:
        yield running


def place(**changes: Any) -> PlacementConfig:
    return PlacementConfig(**{"name": "test", **changes})


def test_without_a_network_the_server_is_asked_itself(tmp_path: Path) -> None:
    with Network(place(), "http://127.0.0.1:1", log=tmp_path / "log") as network:
        assert network.url == "http://127.0.0.1:1"
        assert network.delays is None
        assert network.description is None
        assert network.gone() is None
    assert not (tmp_path / "log").exists()


@needs_envoy
def test_requests_are_really_held_up(server: HttpServer, tmp_path: Path) -> None:
    with Network(place(round_trip_ms=20), server.url, log=tmp_path / "log") as network:
        assert network.url != server.url
        assert network.description is not None
        assert network.description.startswith("envoy ")
        assert "fault filter" in network.description
        with HttpSystem(
            network.url, FeaturesProtocol(), concurrency=4, delays=network.delays
        ) as system:
            Load(system).run([[index % 8] for index in range(40)], collect=True)
            assert system.failure is None
            assert system.num_failed == 0
            columns = system.columns()
            # A real delay: not one of them was sooner. Ten in turn on each of 4 connections, so
            # two null requests or more at 10 a second.
            assert min(columns["round_trip_ms"]) >= 20
            assert len(system.network_ms) >= 2
            assert np.median(system.network_ms) >= 20
            assert np.nanmedian(columns["total_ms"]) < np.median(system.network_ms)
        pid = network._child.pid if network._child else 0
    assert not Path(f"/proc/{pid}").exists()


@needs_envoy
def test_a_slow_line_takes_longer_for_more(tmp_path: Path) -> None:
    # 0.1 Mbit/s are 100 bits in a millisecond: some 8 ms for a request of 100 bytes.
    protocol = KserveProtocol(images(), model_name="model", input_name="inputs")
    line_ms = len(protocol.body(0)) * 8 / 100
    with (
        HttpServer(server_spec(tmp_path), log=tmp_path / "server.log") as server,
        Network(place(bandwidth_mbit_per_s=0.1), server.url, log=tmp_path / "log") as network,
        HttpSystem(network.url, protocol, concurrency=1, delays=network.delays) as system,
    ):
        assert network.description is not None
        assert "bandwidth_limit" in network.description
        Load(system).run([[0]] * 5)
        assert system.num_failed == 0
        assert min(system.columns()["round_trip_ms"]) >= int(line_ms)


@needs_envoy
def test_a_server_that_dies_behind_it_ends_the_pass(tmp_path: Path) -> None:
    with (
        HttpServer(server_spec(tmp_path, "dies"), log=tmp_path / "server.log") as server,
        Network(place(round_trip_ms=1), server.url, log=tmp_path / "log") as network,
        HttpSystem(
            network.url, FeaturesProtocol(), delays=network.delays, gone=server.gone
        ) as system,
    ):
        load = Load(system)
        deadline_s = time.monotonic() + 60
        while system.failure is None and time.monotonic() < deadline_s:
            # One at a time: the proxy answers 503 until the end of the server is seen.
            load.done.clear()
            load.run([[0]])
        assert isinstance(system.failure, ServerDied)
        assert "out of luck" in str(system.failure)


@needs_envoy
def test_a_proxy_that_ends_is_reported(server: HttpServer, tmp_path: Path) -> None:
    with Network(place(round_trip_ms=1), server.url, log=tmp_path / "log") as network:
        assert network._child is not None
        os.kill(network._child.pid, signal.SIGKILL)
        assert network._child.wait(30)
        died = network.gone()
    assert isinstance(died, ServerDied)
    assert "the network's proxy was ended by SIGKILL" in str(died)


def test_the_unit_of_the_limit() -> None:
    assert _limit_kib_per_s(None) is None
    # 50 Mbit/s = 6,250,000 bytes/s = 6103.5 KiB/s.
    assert _limit_kib_per_s(50) == 6104
    assert _limit_kib_per_s(0.001) == 1
