"""Recomputes latencies and rates of a serving from the requests that were kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from bench.core.stats.percentiles import latency_percentile, percentile_floor
from bench.verification.model import Findings
from bench.verification.raw import RawRun

_PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
_OURS = "generate"  # not measured by LoadGen
_NS = 1e-6  # in milliseconds: LoadGen counts whole nanoseconds
# LoadGen prints rates with six digits.
_RATE_FRAC = 1e-5
_RATES = ("throughput_per_s", "goodput_per_s", "output_tokens_per_s")


def verify_serving(run: RawRun, found: Findings) -> None:
    """Verify percentiles, the mean, counts and rates of the reported pass."""
    serving, requests = run.record.serving, run.requests
    if serving is None:
        return
    if requests is None:
        found.cannot("serving", "its requests are not kept (raw_latencies, or a probe)")
        return
    num_failed = serving.num_failed
    found.compare("serving.num_predictions", serving.num_predictions, len(requests) - num_failed)
    # A query of several samples is answered when the last of them is.
    latencies_ms = requests.groupby("query")["latency_ms"].max().tolist()
    if serving.latency_mean_ms is not None:
        found.compare("serving.num_requests", serving.num_requests, len(latencies_ms))
        mean_ms = sum(latencies_ms) / len(latencies_ms)
        found.compare("serving.latency_mean_ms", serving.latency_mean_ms, mean_ms, rounding=_NS)
        for name, q in _PERCENTILES.items():
            key = f"latency_{name}_ms"
            if hasattr(serving, key) and not (name == "p999" and serving.scenario == _OURS):
                value = _percentile_ms(latencies_ms, q, serving.scenario)
                found.compare(f"serving.{key}", getattr(serving, key), value, rounding=_NS)
    for kind in ("ttft", "tpot"):
        if f"{kind}_ms" in requests:
            for name, q in list(_PERCENTILES.items())[:3]:
                value = latency_percentile(requests[f"{kind}_ms"].tolist(), q)
                key = f"{kind}_{name}_ms"
                found.compare(f"serving.{key}", getattr(serving, key), value, rounding=_NS)
    duration_s = float((requests["scheduled_s"] + requests["latency_ms"] / 1e3).max())
    found.compare("serving.duration_s", serving.duration_s, duration_s, rounding=1e-9)
    for key in _RATES:
        if getattr(serving, key) is not None:
            _rate(run, key, duration_s, found)
    if run.record.rate_search:
        found.cannot("rate_search", "requests of the other passes are not kept")


def _percentile_ms(latencies_ms: Sequence[float], q: float, scenario: str | None) -> float | None:
    """The percentile as the scenario states it; None for fewer values than it takes.

    LoadGen takes the value at index floor(q n), from 0. Source: loadgen/results.cc.
    """
    if scenario == _OURS:
        return latency_percentile(latencies_ms, q)
    if len(latencies_ms) < percentile_floor(q):
        return None
    return sorted(latencies_ms)[math.floor(Fraction(str(q)) * len(latencies_ms))]


def _rate(run: RawRun, key: str, duration_s: float, found: Findings) -> None:
    serving, requests = run.record.serving, run.requests
    assert serving is not None
    assert requests is not None
    num = len(requests) - serving.num_failed
    if key == "goodput_per_s":
        in_time = requests["latency_ms"] <= serving.latency_bound_ms
        if "ok" in requests:
            num = int((in_time & (requests["ok"] == 1)).sum())
        else:
            num = max(0, int(in_time.sum()) - serving.num_failed)
    elif key == "output_tokens_per_s":
        num *= serving.output_tokens or 0
    elif serving.scenario == "server":
        # LoadGen counts the intervals between arrivals. Source: loadgen/results.cc.
        num -= 1
    rate_per_s = num / duration_s
    found.compare(
        f"serving.{key}", getattr(serving, key), rate_per_s, rounding=_RATE_FRAC * rate_per_s
    )
