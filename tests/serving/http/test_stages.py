from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from bench.core.records.serving import Stage
from bench.serving.http.stages import (
    SERVER_STAGES,
    client_complaints,
    decompose,
    parse_server_timing,
)


@pytest.mark.parametrize(
    ("header", "durations"),
    [
        ("", {}),
        ("fetch;dur=0.021, total;dur=1.5", {"fetch": 0.021, "total": 1.5}),
        ("miss,db;dur=53,app;dur=47.2", {"db": 53.0, "app": 47.2}),
        ('a;desc="x, y; dur=9";dur=1 , b;dur="2"', {"a": 1.0, "b": 2.0}),
        ("a;DUR=3;desc=z", {"a": 3.0}),
        ("a;dur=x, b;dur=nan, c;dur=4", {"c": 4.0}),
        ("a;dur=1, a;dur=2", {"a": 1.0}),
        ("a;dur=1, <b>, c;dur=3", {"a": 1.0}),
    ],
)
def test_server_timing(header: str, durations: dict[str, float]) -> None:
    assert parse_server_timing(header) == durations


def columns(n: int, **given: Sequence[float]) -> pd.DataFrame:
    """All absent but what is given; every request answered."""
    absent = [math.nan] * n
    stages = {f"{name}_ms": absent for name in ("client_wait", "network", *SERVER_STAGES)}
    return pd.DataFrame({**stages, "ok": [1.0] * n, **given})


def by_name(stages: Sequence[Stage]) -> dict[str, Stage]:
    return {stage.stage: stage for stage in stages}


def test_known_answer() -> None:
    # Of 10 and 20 ms: 1 + 3 + 5 and 2 + 3 + 9 are explained, 1 and 6 are not.
    given = columns(2, client_wait_ms=[1, 2], network_ms=[3, 3], inference_ms=[5, 9])
    stages = decompose([10, 20], given, [3.0, 3.0, 4.0])
    assert [stage.stage for stage in stages] == [
        "client_wait",
        "network",
        "inference",
        "unexplained",
        "end_to_end",
    ]
    assert [stage.mean_ms for stage in stages] == pytest.approx([1.5, 3, 7, 3.5, 15])
    # No percentile of two requests: the median needs 11 (see bench.core.stats.percentiles).
    assert {stage.p50_ms for stage in stages} == {None}


def test_means_add_up_to_the_whole() -> None:
    random = np.random.default_rng(0)
    n = 1000
    names = ("client_wait", "network", *SERVER_STAGES)
    given = {f"{name}_ms": random.gamma(2, 0.5, n).tolist() for name in names}
    latency_ms = random.gamma(20, 0.7, n).tolist()
    stages = by_name(decompose(latency_ms, columns(n, **given)))
    whole = stages.pop("end_to_end")
    assert set(stages) == {*names, "unexplained"}
    assert math.fsum(stage.mean_ms for stage in stages.values()) == whole.mean_ms
    assert whole.mean_ms == pytest.approx(np.mean(latency_ms), rel=1e-12)
    rest = np.array(latency_ms) - sum(np.array(values) for values in given.values())
    assert stages["unexplained"].mean_ms == pytest.approx(rest.mean())
    assert whole.p99_ms == sorted(latency_ms)[989]  # the 990th of 1000, by nearest rank


def test_percentiles_of_the_network_are_those_of_null_requests() -> None:
    nulls = [float(value) for value in range(1, 65)]
    given = columns(70, network_ms=[32.5] * 70)
    network = by_name(decompose([100.0] * 70, given, nulls))["network"]
    # 64 null requests are enough for p90 and not for p99; 0.9 of 64 is 57.6, so the 58th.
    assert (network.mean_ms, network.p50_ms, network.p90_ms) == (32.5, 32, 58)
    assert network.p99_ms is None


def test_failed_requests_are_left_out() -> None:
    nan = math.nan
    given = columns(3, ok=[1, 0, 1], client_wait_ms=[1, nan, 3], inference_ms=[2, nan, 2])
    stages = by_name(decompose([10, 3000, 20], given))
    assert stages["end_to_end"].mean_ms == 15
    assert stages["client_wait"].mean_ms == 2
    assert stages["unexplained"].mean_ms == 11
    assert decompose([1.0], columns(1, ok=[0.0])) == []


def test_what_a_server_does_not_tell_is_absent_and_unexplained() -> None:
    given = columns(2, client_wait_ms=[1, 1], inference_ms=[4, math.nan])
    stages = by_name(decompose([10, 10], given))
    assert set(stages) == {"client_wait", "inference", "unexplained", "end_to_end"}
    # The second answer said nothing: all of its 9 ms are unexplained, of the first 5.
    assert stages["inference"].mean_ms == 2
    assert stages["unexplained"].mean_ms == 7


def test_as_many_latencies_as_requests() -> None:
    with pytest.raises(ValueError, match="1 latencies for 2 requests"):
        decompose([1.0], columns(2))


def waits(wait_ms: float) -> pd.DataFrame:
    """Requests that come every 10 ms and are answered 5 ms after they left."""
    issued_s = [0.01 * n for n in range(200)]
    return pd.DataFrame(
        {
            "ok": [1.0] * 200,
            "client_wait_ms": [wait_ms] * 200,
            "issued_s": issued_s,
            "sent_s": [moment_s + wait_ms / 1e3 for moment_s in issued_s],
            "received_s": [moment_s + wait_ms / 1e3 + 0.005 for moment_s in issued_s],
        }
    )


def test_a_client_that_holds_requests_up_is_reported() -> None:
    assert client_complaints(waits(1), latency_p99_ms=10, concurrency=2) == []
    (complaint,) = client_complaints(waits(1.1), latency_p99_ms=10, concurrency=2)
    # The latency is the one of the table, whatever the columns say.
    assert "waited 1.1 ms in the client before they were sent, of a latency of 10 ms" in complaint


def test_the_advice_follows_from_what_the_client_lacked() -> None:
    # After 8 ms of waiting the answer comes 3 ms after the next were issued: one is on its way.
    given = waits(8)
    (complaint,) = client_complaints(given, latency_p99_ms=20, concurrency=1)
    assert "all 1 connections were in use; raise backend.http.concurrency" in complaint
    (complaint,) = client_complaints(given, latency_p99_ms=20, concurrency=2)
    assert "connections were free" in complaint
    assert "backend.http.concurrency" not in complaint


def test_without_answers_there_is_nothing_to_complain_about() -> None:
    none = waits(5).assign(ok=0.0)
    assert client_complaints(none, latency_p99_ms=10, concurrency=1) == []
    assert client_complaints(waits(5), latency_p99_ms=None, concurrency=1) == []
