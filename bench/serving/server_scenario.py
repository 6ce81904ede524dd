"""The server scenario: samples at random moments, at a given rate or at the largest that holds.

A rate holds if 99% of its queries are answered within the latency bound. The search ends with a
bracket: the largest rate that held in a pass of full length, and the smallest above it that failed.

Source: docs/metrics.md, "The largest rate".
"""

from __future__ import annotations

import logging
import math
from dataclasses import replace

from bench.config.serve import ScenarioConfig
from bench.core.records.serving import RateStep
from bench.serving.pass_result import PassResult, PassSettings
from bench.serving.performance import Passes, Performance, WarmUp
from bench.serving.rate_search import Bracket, RateLimits, search_rate

_log = logging.getLogger(__name__)

# Length of a quick pass, as a share of the full length.
_QUICK_FRAC = 0.25
# The search goes up to this multiple of the rate of a full queue: no system is that much faster.
_HIGHEST = 64
# The search goes down until only one query in a hundred overlaps another, so that the rate no
# longer matters, or until min_queries would take this long. It always goes down to a quarter of
# where it began.
_OVERLAP_FRAC, _LONGEST_S, _LEAST_FRAC = 0.01, 60.0, 0.25
# If the bound is at most this share of the pass, the bound alone shows a system that falls behind.
_BEHIND_FRAC = 0.05
# Queries that may still wait for one another when the last one has come.
_LAST_QUERIES = 5
# A pass at a given rate runs to its end, unless the queue would then need longer than this.
_DRAIN_S = 30.0


def measure_rate(
    passes: Passes, config: ScenarioConfig, settings: PassSettings, warm: WarmUp
) -> Performance:
    """Measure one rate that the configuration gives.

    Args:
        passes: Runs the passes.
        config: The scenario, with its rate.
        settings: The pass at this rate.
        warm: What the warm-up found.

    Raises:
        PassFailed: The system failed.
    """
    drain_s = max(_DRAIN_S, 5 * settings.min_duration_s)
    max_waiting = max(_too_many_waiting(settings), math.ceil(warm.rate_per_s * drain_s))
    result = passes.run(replace(settings, max_waiting=max_waiting))
    passes.keep(result)
    return Performance(result=result, rate_per_s=config.rate_per_s)


def measure_largest_rate(
    passes: Passes, config: ScenarioConfig, settings: PassSettings, warm: WarmUp
) -> Performance:
    """Search for the largest rate that holds, and report the pass of full length that held it.

    Args:
        passes: Runs the passes.
        config: The scenario.
        settings: A pass of full length; its rate is not used.
        warm: What the warm-up found.

    Returns:
        If no rate held, the last pass of full length, with the reason.

    Raises:
        PassFailed: The system failed.
    """
    search = _Search(passes, settings, warm, config.min_duration_s * _QUICK_FRAC)
    limits = _limits(config, settings, warm)
    bracket = search_rate(search.quick, search.full, limits, num_steps=config.search_steps)
    rate_per_s, result = search.reported
    result = result.with_reasons(_no_bracket(bracket, settings, warm))
    return Performance(
        result=result,
        rate_per_s=rate_per_s,
        max_rate_per_s=bracket.held_per_s if result.valid else None,
        failed_rate_per_s=bracket.failed_per_s,
        steps=tuple(search.steps),
    )


class _Search:
    """Runs the passes of a search, and remembers the one to report."""

    def __init__(
        self, passes: Passes, settings: PassSettings, warm: WarmUp, quick_s: float
    ) -> None:
        self.steps: list[RateStep] = []
        self._passes = passes
        self._full = settings
        self._quick = replace(settings, min_duration_s=quick_s)
        self._warm = warm
        self._reported: tuple[float, PassResult] | None = None

    @property
    def reported(self) -> tuple[float, PassResult]:
        """The largest rate that held in full length, and its pass; the last pass if none did."""
        assert self._reported is not None, "a search ends with a pass of full length"
        return self._reported

    def quick(self, rate_per_s: float) -> bool:
        """Try a rate in a short pass.

        Its few queries need not be enough to be sure of the bound: otherwise, two queries that
        another process delayed would turn the search away from any rate.
        """
        settings = _at_rate(self._quick, rate_per_s)
        result = self._judge(self._passes.run(settings, reportable=False))
        return self._note(rate_per_s, result, held=result.valid or result.only_unsure, full=False)

    def full(self, rate_per_s: float) -> bool:
        """Try a rate in a pass of full length."""
        settings = _at_rate(self._full, rate_per_s)
        result = self._judge(self._passes.run(settings))
        # The largest rate that held is reported; until one holds, the latest pass.
        best = self._reported
        if best is None or not best[1].valid or (result.valid and rate_per_s > best[0]):
            self._reported = (rate_per_s, result)
            self._passes.keep(result)
        return self._note(rate_per_s, result, held=result.valid, full=True)

    def _judge(self, result: PassResult) -> PassResult:
        bound_ms = self._full.latency_bound_ms or 0.0
        return result.with_reasons(_fell_behind(result, bound_ms, self._warm.latency_s))

    def _note(self, rate_per_s: float, result: PassResult, *, held: bool, full: bool) -> bool:
        self.steps.append(
            RateStep(
                rate_per_s=rate_per_s,
                valid=held,
                full_length=full,
                num_queries=result.num_queries,
                completed_per_s=result.completed_per_s,
                latency_p50_ms=result.latency_p50_ms,
                latency_p99_ms=result.latency_p99_ms,
                invalid_reasons=[] if held else list(result.invalid_reasons),
            )
        )
        _log.info("server: %.4g/s %s", rate_per_s, "held" if held else "failed")
        return held


def _at_rate(settings: PassSettings, rate_per_s: float) -> PassSettings:
    settings = replace(settings, rate_per_s=rate_per_s)
    return replace(settings, max_waiting=_too_many_waiting(settings))


def _limits(config: ScenarioConfig, settings: PassSettings, warm: WarmUp) -> RateLimits:
    """Where to search, beginning at half of the rate of a full queue."""
    start_per_s = warm.rate_per_s / 2
    slowest_per_s = max(_OVERLAP_FRAC / warm.latency_s, config.min_queries / _LONGEST_S)
    lowest_per_s = min(start_per_s * _LEAST_FRAC, slowest_per_s)
    return RateLimits(
        start_per_s=start_per_s,
        # If a single query is too slow, a lower rate cannot help.
        lowest_per_s=start_per_s if _too_slow_alone(settings, warm) else lowest_per_s,
        highest_per_s=warm.rate_per_s * _HIGHEST,
    )


def _too_slow_alone(settings: PassSettings, warm: WarmUp) -> bool:
    return warm.latency_s * 1e3 > (settings.latency_bound_ms or math.inf)


def _no_bracket(bracket: Bracket, settings: PassSettings, warm: WarmUp) -> list[str]:
    """The reason why an end of the bracket is missing; empty if it has both."""
    if bracket.held_per_s is None:
        reason = f"no rate held the bound; the lowest tried was {bracket.failed_per_s:.4g} per s"
        if _too_slow_alone(settings, warm):
            reason += f", and a query alone already takes {warm.latency_s * 1e3:.3g} ms"
        return [reason]
    if bracket.failed_per_s is None:
        return [
            f"every rate up to {bracket.held_per_s:.4g} per s held, so the largest is not known: "
            "the warm-up was disturbed, or the passes are too short; raise scenario.min_duration_s"
        ]
    return []


def _fell_behind(result: PassResult, bound_ms: float, alone_s: float) -> list[str]:
    """The reason why a pass met its bound at a rate that the system cannot sustain; else empty.

    If the pass is short compared to the bound, even twice the sustainable rate is answered in time,
    because the queue has had no time to grow. Such a system gives itself away after the last query
    has come: it then needs long to empty the queue.
    """
    if not result.scheduled_per_s:
        return []
    arrivals_s = (result.num_queries - 1) / result.scheduled_per_s
    if bound_ms / 1e3 <= _BEHIND_FRAC * arrivals_s:
        return []  # a system that falls behind misses the bound
    drain_s = result.duration_s - arrivals_s
    if drain_s <= _BEHIND_FRAC * arrivals_s + _LAST_QUERIES * alone_s:
        return []
    return [
        f"the system fell behind: after {arrivals_s:.3g} s of queries it needed {drain_s:.3g} s "
        "for those that waited"
    ]


def _too_many_waiting(settings: PassSettings) -> int:
    """So many waiting queries that the pass has certainly missed its bound and can end.

    All waiting queries are late, except those that arrived within the last latency bound. A Poisson
    process never brings more than twice their mean number plus a hundred. So if 2% of all queries
    wait on top of that, more than 1% are late.
    """
    num_queries = max(settings.min_queries, settings.rate_per_s * settings.min_duration_s)
    in_bound = settings.rate_per_s * (settings.latency_bound_ms or 0.0) / 1e3
    return math.ceil(0.02 * num_queries + 2 * in_bound) + 100
