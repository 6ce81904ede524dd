"""End-to-end latency taken apart: where it was spent, and what no part explains.

For each request that was answered: latency, from when it was due = client_wait + network + queue +
fetch + preprocess + inference + postprocess + unexplained. The client measures the first, null
requests over the same way measure the second, the server reports the others, and the last is what
remains: reading and writing HTTP, waiting for event loops and for the processor, and the load
generator's own lag.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.core.records.serving import WHOLE_STAGE, Stage
from bench.core.stats.percentiles import latency_percentile

# What a server reports in Server-Timing, in the order in which it happens.
SERVER_STAGES = ("queue", "fetch", "preprocess", "inference", "postprocess")
TOTAL = "total"

# Above this part of the latency, the client's own waiting is too much of what is measured.
_MAX_WAIT_FRAC = 0.1
# Of the requests that waited longest: this share of them found no free connection.
_MOST = 0.5
_NO_NETWORK: Sequence[float] = ()

# A metric is a token, then parameters; a value is a token or a quoted string.
# Source: W3C Server Timing, "The Server-Timing Header Field"; RFC 9110, 5.6.
_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_METRIC = re.compile(rf"\s*({_TOKEN})((?:\s*;\s*{_TOKEN}\s*(?:=\s*(?:{_TOKEN}|{_QUOTED}))?)*)\s*")
_PARAMETER = re.compile(rf";\s*({_TOKEN})\s*(?:=\s*({_TOKEN}|{_QUOTED}))?")


def parse_server_timing(header: str) -> dict[str, float]:
    """Durations in a Server-Timing header, in milliseconds by name.

    A metric without a duration that is a number is left out, as is all that follows something that
    is not in the form of the header: another's server may send anything.
    """
    durations: dict[str, float] = {}
    position = 0
    while match := _METRIC.match(header, position):
        name, parameters = match.groups()
        given = {key.lower(): value for key, value in _PARAMETER.findall(parameters)}
        duration_ms = _number(given.get("dur", "").strip('"'))
        if math.isfinite(duration_ms):
            durations.setdefault(name, duration_ms)
        position = match.end()
        if header[position : position + 1] != ",":
            break
        position += 1
    return durations


def decompose(
    latency_ms: Sequence[float],
    columns: Mapping[str, Sequence[float]],
    network_ms: Sequence[float] = _NO_NETWORK,
) -> list[Stage]:
    """Stages of the end-to-end latency of a pass; their means add up to the mean of the whole.

    Requests that failed are left out; count them with num_failed. A stage that no answer reported
    is left out; what a single answer does not report is in its unexplained part.

    Args:
        latency_ms: End to end, from when each request was due, shape (n,), in order of issue.
        columns: HttpSystem.columns() of the same pass.
        network_ms: HttpSystem.network_ms of the same pass, for the percentiles of the network; its
            mean_ms is the median of these, which a null request that met a busy moment does not
            move, and the same for all requests.

    Returns:
        client_wait, network, those of SERVER_STAGES that the server tells, unexplained, end_to_end;
        empty if no request was answered. Percentiles below their floor of samples are None.

    Raises:
        ValueError: There are not as many latencies as requests.
    """
    ok = np.asarray(columns["ok"], dtype=bool)
    if len(latency_ms) != len(ok):
        raise ValueError(f"{len(latency_ms)} latencies for {len(ok)} requests")
    latency = _answered(latency_ms, ok)
    if not latency.size:
        return []
    names = ("client_wait", "network", *SERVER_STAGES)
    reported = {name: _answered(columns[f"{name}_ms"], ok) for name in names}
    reported = {name: values for name, values in reported.items() if not np.isnan(values).all()}
    unexplained = latency - sum(np.nan_to_num(values) for values in reported.values())
    stages = [
        _stage(name, values, network_ms if name == "network" else values)
        for name, values in reported.items()
    ]
    whole = _stage(WHOLE_STAGE, latency, latency)
    # By difference of the means, and not as a mean of differences: so they add up to the last bit.
    rest_ms = whole.mean_ms - math.fsum(stage.mean_ms for stage in stages)
    rest = _stage("unexplained", unexplained, unexplained, mean_ms=rest_ms)
    return [*stages, rest, whole]


def client_complaints(
    columns: Mapping[str, Sequence[float]], *, latency_p99_ms: float | None, concurrency: int
) -> list[str]:
    """Why the client, and not the server, may be what was measured; empty if nothing says so.

    For load at a given rate: where everything is issued at once, waiting in the client is meant.

    Args:
        columns: HttpSystem.columns() of the pass.
        latency_p99_ms: Of the pass, from when each request was due; None for too few requests, and
            then nothing is reported.
        concurrency: Connections of the client.
    """
    ok = np.asarray(columns["ok"], dtype=bool)
    if not ok.any() or latency_p99_ms is None:
        return []
    wait_ms = _answered(columns["client_wait_ms"], ok)
    wait_p99_ms = _p99(wait_ms)
    if wait_p99_ms <= _MAX_WAIT_FRAC * latency_p99_ms:
        return []
    if _connections_were_in_use(columns, ok, wait_ms >= wait_p99_ms, concurrency):
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


def _connections_were_in_use(
    columns: Mapping[str, Sequence[float]],
    ok: NDArray[np.bool_],
    waited: NDArray[np.bool_],
    concurrency: int,
) -> bool:
    """Whether most requests that waited were issued while all connections were in use."""
    issued_s, sent_s, received_s = (
        _answered(columns[f"{name}_s"], ok) for name in ("issued", "sent", "received")
    )
    moments_s = issued_s[waited]
    in_use = np.searchsorted(np.sort(sent_s), moments_s, side="right") - np.searchsorted(
        np.sort(received_s), moments_s, side="right"
    )
    return bool(np.mean(in_use >= concurrency) >= _MOST)


def _stage(
    name: str,
    values: NDArray[np.float64],
    sample: ArrayLike,
    *,
    mean_ms: float | None = None,
) -> Stage:
    """A stage by its values of all requests, percentiles from those that were measured."""
    measured = [float(value) for value in np.asarray(sample, dtype=float) if value == value]
    if mean_ms is None:
        mean_ms = math.fsum(np.nan_to_num(values)) / len(values)
    return Stage(
        stage=name,
        mean_ms=mean_ms,
        p50_ms=latency_percentile(measured, 0.5),
        p90_ms=latency_percentile(measured, 0.9),
        p99_ms=latency_percentile(measured, 0.99),
    )


def _answered(values: Sequence[float], ok: NDArray[np.bool_]) -> NDArray[np.float64]:
    chosen: NDArray[np.float64] = np.asarray(values, dtype=np.float64)[ok]
    return chosen


def _p99(values: NDArray[np.float64]) -> float:
    """By nearest rank, of however few: a warning needs no statement about the tail."""
    return float(np.quantile(values, 0.99, method="inverted_cdf"))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
