"""Recomputes latencies and rates of a serving from the requests that were kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from bench.core.records.serving import Serving
from bench.core.stats.percentiles import latency_percentile, percentile_floor
from bench.verification.model import Findings
from bench.verification.raw import RawRun

_PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
_OFFLINE = "offline"  # one query, so its samples have no latencies
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
    if requests.empty:
        found.cannot("serving", "the file with its requests is empty")
        return
    num_failed = serving.num_failed
    found.compare("serving.num_predictions", serving.num_predictions, len(requests) - num_failed)
    # A query of several samples is answered when the last of them is.
    latencies_ms = requests.groupby("query")["latency_ms"].max().tolist()
    found.compare("serving.valid", serving.valid, not serving.invalid_reasons)
    if serving.scenario != _OFFLINE:
        found.compare("serving.num_requests", serving.num_requests, len(latencies_ms))
        mean_ms = sum(latencies_ms) / len(latencies_ms)
        found.compare("serving.latency_mean_ms", serving.latency_mean_ms, mean_ms, rounding=_NS)
        for name, q in _PERCENTILES.items():
            key = f"latency_{name}_ms"
            if hasattr(serving, key) and not (name == "p999" and serving.scenario == _OURS):
                value = _percentile_ms(latencies_ms, q, serving.scenario)
                if serving.scenario == "server" and name == "p99" and serving.valid:
                    _bound(value, serving.latency_bound_ms, found)
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
        if getattr(serving, key) is not None or _is_always_known(key, serving):
            _rate(run, key, duration_s, found)
    if run.record.rate_search:
        found.cannot("rate_search", "requests of the other passes are not kept")


def _bound(p99_ms: float | None, bound_ms: float | None, found: Findings) -> None:
    is_met = p99_ms is None or bound_ms is None or p99_ms <= bound_ms
    found.require("serving.valid", True, is_met, f"false: p99 of {p99_ms} ms is above the bound")


def _is_always_known(key: str, serving: Serving) -> bool:
    if key == "goodput_per_s":
        return serving.latency_bound_ms is not None
    return key == "throughput_per_s" and serving.scenario != _OURS


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
    num_answered = len(requests) - serving.num_failed
    num: float = num_answered
    if key == "goodput_per_s":
        in_time = requests["latency_ms"] <= serving.latency_bound_ms
        if "ok" in requests:
            num = int((in_time & (requests["ok"] == 1)).sum())
        else:
            num = max(0, int(in_time.sum()) - serving.num_failed)
    elif key == "output_tokens_per_s":
        num *= serving.output_tokens or 0
    elif serving.scenario == "server":
        # LoadGen counts the intervals between arrivals, failed requests included, until the query
        # that came last is answered; an earlier one may take longer. Source: loadgen/results.cc.
        num = (len(requests) - 1) * num_answered / len(requests)
        last = requests[requests["scheduled_s"] == requests["scheduled_s"].max()]
        duration_s = float((last["scheduled_s"] + last["latency_ms"] / 1e3).max())
    rate_per_s = num / duration_s if duration_s > 0 else None
    rounding = _RATE_FRAC * (rate_per_s or 0.0)
    found.compare(f"serving.{key}", getattr(serving, key), rate_per_s, rounding=rounding)
