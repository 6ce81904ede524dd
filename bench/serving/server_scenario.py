"""The server scenario: samples at random moments, at a given rate or at the largest that holds.

A rate holds if 99% of its queries are answered within the latency bound. The search gives a
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

# A quick pass of the search, as a share of the full length.
_QUICK_FRAC = 0.25
# The search goes up to this multiple of what a full queue gave: nothing answers so much faster.
_HIGHEST = 64
# It goes down until one query in a hundred meets another, where the rate stops to matter, or until
# min_queries take this long; but in any case to a quarter of where it began.
_APART_FRAC, _LONGEST_S, _LEAST_FRAC = 0.01, 60.0, 0.25
# A pass is long enough to show a system that falls behind by this share, if the bound is at most
# this share of it.
_BEHIND_FRAC = 0.05
# Queries that still wait for one another when the last has come.
_LAST_QUERIES = 5
# A given rate is kept up to the end, unless answering what waits would take this long.
_DRAIN_S = 30.0


def measure_rate(
    passes: Passes, config: ScenarioConfig, settings: PassSettings, warm: WarmUp
) -> Performance:
    """Measure one rate that the configuration gives.

    Args:
        passes: Makes the passes.
        config: The scenario, with its rate.
        settings: The pass at this rate.
        warm: What the warm-up found.

    Raises:
        PassFailed: The system failed.
    """
    drain_s = max(_DRAIN_S, 5 * settings.min_duration_s)
    most = max(_hopeless(settings), math.ceil(warm.rate_per_s * drain_s))
    result = passes.run(replace(settings, max_waiting=most))
    passes.keep(result)
    return Performance(result=result, rate_per_s=config.rate_per_s)


def measure_largest_rate(
    passes: Passes, config: ScenarioConfig, settings: PassSettings, warm: WarmUp
) -> Performance:
    """Search the largest rate that holds, and report the pass of full length that held it.

    Args:
        passes: Makes the passes.
        config: The scenario.
        settings: A pass of full length; its rate is not used.
        warm: What the warm-up found.

    Returns:
        Where no rate held, the last pass of full length, with the reason.

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
    """The passes of a search, and the one of them to report."""

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

        Only full passes must also be sure of the bound: with the few queries of a
        short one, two that some other process delayed would turn the search away from any rate.
        """
        settings = _at_rate(self._quick, rate_per_s)
        result = self._judged(self._passes.run(settings, reportable=False))
        return self._note(rate_per_s, result, held=result.valid or result.only_unsure, full=False)

    def full(self, rate_per_s: float) -> bool:
        """Try a rate in a pass of full length."""
        settings = _at_rate(self._full, rate_per_s)
        result = self._judged(self._passes.run(settings))
        best = self._reported
        if best is None or not best[1].valid or (result.valid and rate_per_s > best[0]):
            self._reported = (rate_per_s, result)
            self._passes.keep(result)
        return self._note(rate_per_s, result, held=result.valid, full=True)

    def _judged(self, result: PassResult) -> PassResult:
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
    return replace(settings, max_waiting=_hopeless(settings))


def _limits(config: ScenarioConfig, settings: PassSettings, warm: WarmUp) -> RateLimits:
    """Where to search: from half of what a full queue gave."""
    start_per_s = warm.rate_per_s / 2
    slowest_per_s = max(_APART_FRAC / warm.latency_s, config.min_queries / _LONGEST_S)
    lowest_per_s = min(start_per_s * _LEAST_FRAC, slowest_per_s)
    return RateLimits(
        start_per_s=start_per_s,
        # Where one query alone is too slow, a lower rate cannot help.
        lowest_per_s=start_per_s if _too_slow_alone(settings, warm) else lowest_per_s,
        highest_per_s=warm.rate_per_s * _HIGHEST,
    )


def _too_slow_alone(settings: PassSettings, warm: WarmUp) -> bool:
    return warm.latency_s * 1e3 > (settings.latency_bound_ms or math.inf)


def _no_bracket(bracket: Bracket, settings: PassSettings, warm: WarmUp) -> list[str]:
    """Why one end of the bracket is missing; empty if both are there."""
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
    """Why a pass that kept its bound shows no rate that could go on for ever; empty if it does.

    In a pass that is short beside the bound, even twice the rate that a system can keep up with is
    answered in time: what waits has not become enough. Such a system needs long for what is left
    when the last query has come.
    """
    if not result.scheduled_per_s:
        return []
    arrivals_s = (result.num_queries - 1) / result.scheduled_per_s
    if bound_ms / 1e3 <= _BEHIND_FRAC * arrivals_s:
        return []  # the bound itself shows it
    left_s = result.duration_s - arrivals_s
    if left_s <= _BEHIND_FRAC * arrivals_s + _LAST_QUERIES * alone_s:
        return []
    return [
        f"the system fell behind: after {arrivals_s:.3g} s of queries it needed {left_s:.3g} s for "
        "those that waited"
    ]


def _hopeless(settings: PassSettings) -> int:
    """The number of waiting queries that only a pass reaches that has missed its bound already.

    Of those that wait, all but the arrivals of the last latency bound are late. Twice the mean of
    these arrivals, and a hundred, is more than a Poisson process ever brings; what is beyond that
    is more than 1% of all queries here.
    """
    num_queries = max(settings.min_queries, settings.rate_per_s * settings.min_duration_s)
    in_bound = settings.rate_per_s * (settings.latency_bound_ms or 0.0) / 1e3
    return math.ceil(0.02 * num_queries + 2 * in_bound) + 100
