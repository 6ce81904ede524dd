"""Takes the end-to-end latency apart: where the time went, and how much remains unexplained.

For each request that was answered: latency, from when it was due = client_wait + network + queue +
fetch + preprocess + inference + postprocess + unexplained. The client measures the first. Null
requests over the same network measure the second. The server reports the others. What remains is
reading and writing HTTP, waiting for event loops and for the processor, and the load generator's
own lag.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import pandas as pd

from bench.core.records.serving import WHOLE_STAGE, Stage
from bench.core.stats.percentiles import latency_percentile

# Stages that a server reports in Server-Timing, in the order in which they happen.
SERVER_STAGES = ("queue", "fetch", "preprocess", "inference", "postprocess")
TOTAL = "total"
_PARTS = [f"{name}_ms" for name in ("client_wait", "network", *SERVER_STAGES)]

# A client that waits for more than this share of the latency is part of what is measured.
_MAX_WAIT_FRAC = 0.1
# The connections were the bottleneck if at least this share of the longest waits found none free.
_MOST = 0.5

# A metric is a token, then parameters; a value is a token or a quoted string.
# Source: W3C Server Timing, "The Server-Timing Header Field"; RFC 9110, 5.6.
_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_METRIC = re.compile(rf"\s*({_TOKEN})((?:\s*;\s*{_TOKEN}\s*(?:=\s*(?:{_TOKEN}|{_QUOTED}))?)*)\s*")
_PARAMETER = re.compile(rf";\s*({_TOKEN})\s*(?:=\s*({_TOKEN}|{_QUOTED}))?")


def parse_server_timing(header: str) -> dict[str, float]:
    """Durations in a Server-Timing header, in milliseconds by name.

    A server of the user's own may send anything, so a metric without a numeric duration is left
    out, and so is everything after text that is not in the header's format.
    """
    durations: dict[str, float] = {}
    position = 0
    while match := _METRIC.match(header, position):
        name, text = match.groups()
        parameters = {key.lower(): value for key, value in _PARAMETER.findall(text)}
        with suppress(ValueError):
            duration_ms = float(parameters.get("dur", "").strip('"'))
            if math.isfinite(duration_ms):
                durations.setdefault(name, duration_ms)
        position = match.end()
        if header[position : position + 1] != ",":
            break
        position += 1
    return durations


def decompose(
    latency_ms: Sequence[float], columns: pd.DataFrame, network_ms: Sequence[float] = ()
) -> list[Stage]:
    """Stages of the end-to-end latency of a pass; their means add up to the mean of the whole.

    Failed requests are left out; num_failed counts them. A stage that no answer reported is left
    out. If a single answer does not report a stage, its time is in the unexplained part.

    Args:
        latency_ms: End to end, from when each request was due, shape (n,), in order of issue.
        columns: HttpSystem.columns() of the same pass, n rows.
        network_ms: HttpSystem.network_ms of the same pass, for the percentiles of the network. The
            network's mean is the median of these, the same for all requests, so that one null
            request at a busy moment does not distort it.

    Returns:
        client_wait, network, those of SERVER_STAGES that the server reports, unexplained,
        end_to_end; empty if no request was answered. Percentiles that need more samples are None.

    Raises:
        ValueError: There are not as many latencies as requests.
    """
    if len(latency_ms) != len(columns):
        raise ValueError(f"{len(latency_ms)} latencies for {len(columns)} requests")
    ok = columns["ok"] == 1
    latency = pd.Series(latency_ms, dtype=float)[ok]
    if latency.empty:
        return []
    reported = columns.loc[ok, _PARTS].dropna(axis="columns", how="all")
    stages = []
    for name, values in reported.items():
        measured = network_ms if name == "network_ms" else values.dropna()
        mean_ms = math.fsum(values.dropna()) / len(values)
        stages.append(_stage(str(name).removesuffix("_ms"), mean_ms, measured))
    whole_ms = math.fsum(latency) / len(latency)
    # The difference of the means, and not the mean of the differences, so that the means add up to
    # the last bit.
    rest_ms = whole_ms - math.fsum(stage.mean_ms for stage in stages)
    rest = _stage("unexplained", rest_ms, latency - reported.sum(axis="columns"))
    return [*stages, rest, _stage(WHOLE_STAGE, whole_ms, latency)]


def client_complaints(
    columns: pd.DataFrame, *, latency_p99_ms: float | None, concurrency: int
) -> list[str]:
    """Reasons why the pass may have measured the client and not the server; empty if there is none.

    Only for load at a given rate: if everything is issued at once, requests must wait in the
    client.

    Args:
        columns: HttpSystem.columns() of the pass.
        latency_p99_ms: p99 latency of the pass, from when each request was due; None for too few
            requests, and then nothing is reported.
        concurrency: Connections of the client.
    """
    answered = columns[columns["ok"] == 1]
    if answered.empty or latency_p99_ms is None:
        return []
    # By nearest rank, however few requests there are: a warning makes no claim about the tail.
    wait_p99_ms = float(np.quantile(answered["client_wait_ms"], 0.99, method="inverted_cdf"))
    if wait_p99_ms <= _MAX_WAIT_FRAC * latency_p99_ms:
        return []
    longest_waits = answered[answered["client_wait_ms"] >= wait_p99_ms]
    if _were_connections_in_use(answered, longest_waits["issued_s"], concurrency):
        why = (
            f"all {concurrency} connections were in use; raise backend.http.concurrency, or lower "
            "the rate"
        )
    else:
        why = (
            "connections were free, so this machine was too busy to send at once; keep it free of "
            "other work, or lower the rate"
        )
    return [
        f"requests waited {wait_p99_ms:.3g} ms in the client before they were sent, of a latency "
        f"of {latency_p99_ms:.3g} ms (both p99): {why}"
    ]


def _were_connections_in_use(
    answered: pd.DataFrame, moments_s: pd.Series[float], concurrency: int
) -> bool:
    """Whether all connections were in use at most of these moments."""
    num_sent, num_received = (
        np.searchsorted(np.sort(answered[name]), moments_s, side="right")
        for name in ("sent_s", "received_s")
    )
    return bool(np.mean(num_sent - num_received >= concurrency) >= _MOST)


def _stage(name: str, mean_ms: float, values_ms: Sequence[float] | pd.Series[float]) -> Stage:
    """A stage with its percentiles over the values that were measured."""
    measured = [float(value) for value in values_ms]
    percentiles = {
        f"p{percent}_ms": latency_percentile(measured, percent / 100) for percent in (50, 90, 99)
    }
    return Stage(stage=name, mean_ms=mean_ms, **percentiles)
