"""The search for the largest rate: by the real load generator, and against a simulated queue."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from queue import SimpleQueue
from typing import Any

import pytest
from typing_extensions import override

from bench.config.serve import ScenarioConfig
from bench.core.records.serving import Serving
from bench.serving import performance
from bench.serving.pass_result import PassResult, PassSettings
from bench.serving.performance import Performance, WarmUp, serving_fields
from bench.serving.system import LASTING_THREADS, Done, Sample, System
from tests.serving.fakes import InstantSystem
from tests.serving.made_passes import config, measured, result

# As pass_result puts it into words.
UNSURE = "too few queries to be 99% sure of the percentile"


class PacedSystem(InstantSystem):
    """Answers one query every so many seconds, first come, first served, from a thread."""

    def __init__(self, capacity_per_s: float) -> None:
        super().__init__()
        self._each_s = 1 / capacity_per_s
        self._queue: SimpleQueue[int | None] = SimpleQueue()

    @override
    def begin(self, done: Done, *, collect: bool) -> None:
        super().begin(done, collect=collect)
        self._worker = LASTING_THREADS.submit(self._work)

    @override
    def issue(self, samples: Sequence[Sample]) -> None:
        for sample in samples:
            self._queue.put(sample.id)

    @override
    def end(self) -> None:
        self._queue.put(None)
        self._worker.result()

    def _work(self) -> None:
        free_s = 0.0
        while (waiting := self._queue.get()) is not None:
            free_s = max(free_s, time.perf_counter()) + self._each_s
            while time.perf_counter() < free_s:
                time.sleep(0)
            self._done([waiting])


def test_the_search_by_the_real_load_generator_ends_with_a_bracket_and_reports_its_lower_end() -> (
    None
):
    # A hundredth of a second of other work would fail some rates: then the bracket lies lower.
    capacity_per_s = 4000.0
    windows: list[int] = []
    kept: list[int] = []

    @contextmanager
    def window() -> Iterator[None]:
        windows.append(len(windows))
        yield

    asked = config(
        "server", rate_per_s=None, search_steps=4, min_duration_s=0.2, latency_bound_ms=10.0
    )
    performance = measured(
        PacedSystem(capacity_per_s),
        asked,
        WarmUp(latency_s=1 / capacity_per_s, rate_per_s=capacity_per_s),
        window=window,
        keep=lambda result: kept.append(windows[-1]),
    )
    found = Serving(**serving_fields(asked, performance))
    steps = performance.steps
    full = [step for step in steps if step.full_length]
    assert len(windows) == len(full)  # quick passes have none
    assert found.failed_rate_per_s is not None
    if found.max_rate_per_s is None:  # a machine too busy for any rate: the reason is there
        assert not found.valid
        assert "no rate held" in found.invalid_reasons[0]
        return
    assert found.valid
    assert found.max_rate_per_s == found.rate_per_s
    assert found.max_rate_per_s == max(step.rate_per_s for step in full if step.valid)
    above = [step.rate_per_s for step in steps if not step.valid]
    assert found.failed_rate_per_s == min(r for r in above if r > found.max_rate_per_s)
    # 5% above what it can do, the queue grows by 10 ms in 0.2 s.
    assert found.max_rate_per_s <= capacity_per_s * 1.1
    assert full[kept[-1]].rate_per_s == found.max_rate_per_s
    assert performance.result.num_queries == full[kept[-1]].num_queries


# The search against a system that is not there: a pass is valid up to a capacity.


class Passes:
    """In place of the load generator: a queue that answers so many a second, simulated.

    unsure_per_s: Above this rate, a pass holds its bound without being sure.
    """

    def __init__(self, capacity_per_s: float, unsure_per_s: float = math.inf) -> None:
        self.asked: list[PassSettings] = []
        self.windows: list[float] = []
        self.kept: list[float] = []
        self._capacity_per_s = capacity_per_s
        self._unsure_per_s = unsure_per_s

    def run(
        self, system: System, settings: PassSettings, *, window: Any = nullcontext
    ) -> PassResult:
        self.asked.append(settings)
        with window():
            return self._judged(settings)

    def _judged(self, settings: PassSettings) -> PassResult:
        rate_per_s, bound_ms = settings.rate_per_s, settings.latency_bound_ms or math.inf
        num_queries = math.ceil(max(settings.min_queries, rate_per_s * settings.min_duration_s))
        arrivals_s = (num_queries - 1) / rate_per_s
        # What comes above the capacity waits, and the last waits longest.
        left_s = max(0.0, num_queries / self._capacity_per_s - arrivals_s)
        late = left_s * 1e3 > bound_ms
        unsure = not late and rate_per_s > self._unsure_per_s
        return result(
            invalid_reasons=("over the bound",) if late else (UNSURE,) if unsure else (),
            num_queries=num_queries,
            num_samples=num_queries,
            duration_s=arrivals_s + left_s,
            scheduled_per_s=rate_per_s,
        )

    @contextmanager
    def window(self) -> Iterator[None]:
        self.windows.append(self.asked[-1].rate_per_s)
        yield

    def search(self, estimate: WarmUp, **changes: Any) -> tuple[ScenarioConfig, Performance]:
        asked = config("server", **{**SEARCH, **changes})
        performance = measured(
            InstantSystem(),
            asked,
            estimate,
            window=self.window,
            keep=lambda _: self.kept.append(self.windows[-1]),
        )
        return asked, performance


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Passes:
    """A capacity of 700 per second, of which a pass is sure up to 600."""
    return simulated(monkeypatch, Passes(700.0, 600.0))


def simulated(monkeypatch: pytest.MonkeyPatch, found: Passes) -> Passes:
    monkeypatch.setattr(performance, "run_pass", found.run)
    return found


SEARCH = {"rate_per_s": None, "search_steps": 4, "min_duration_s": 2.0, "latency_bound_ms": 10.0}


def test_quick_passes_need_not_be_sure_of_the_bound_and_the_reported_one_must(
    passes: Passes,
) -> None:
    asked, found = passes.search(WarmUp(latency_s=0.001, rate_per_s=680.0))
    # 340 and 680 hold, 1360 fails, their mean 961.7 too; in full length 680 and a step of 5% less,
    # 647.6, are not sure, and two steps of 5% less, 587.4, hold. The bracket is wider than 5%, but
    # no wider than the quick passes left it.
    quick, full = [340, 680, 1360, 961.7], [680, 680 / 1.05, 680 / 1.05**3]
    assert [step.rate_per_s for step in found.steps] == pytest.approx([*quick, *full], rel=1e-4)
    assert [step.valid for step in found.steps[4:]] == [False, False, True]
    assert [step.full_length for step in found.steps] == [False] * 4 + [True] * 3
    assert [settings.min_duration_s for settings in passes.asked] == [0.5] * 4 + [2.0] * 3
    serving = Serving(**serving_fields(asked, found))
    assert serving.max_rate_per_s == serving.rate_per_s == pytest.approx(680 / 1.05**3)
    assert serving.failed_rate_per_s == pytest.approx(680 / 1.05)
    assert (serving.headline, serving.valid) == ("max_rate_per_s", True)


def test_the_pass_that_held_is_reported_and_not_the_last_one(passes: Passes) -> None:
    # Quick passes end at 500 and 594.6; then both ends are tried in full length. 594.6 holds, and
    # the next rate that a quick pass failed, 707.1, does not.
    _, found = passes.search(WarmUp(latency_s=0.001, rate_per_s=500.0), search_steps=5)
    full = [step for step in found.steps if step.full_length]
    assert not full[-1].valid
    best = max(step.rate_per_s for step in full if step.valid)
    assert found.rate_per_s == found.max_rate_per_s == best
    assert passes.windows == [step.rate_per_s for step in full]
    assert passes.kept[-1] == best
    assert found.result.scheduled_per_s == best
    assert best <= 600 < (found.failed_rate_per_s or 0.0)


def test_a_search_that_finds_nothing_says_so_and_gives_the_smallest_that_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passes = simulated(monkeypatch, Passes(1e-3))
    asked, found = passes.search(WarmUp(latency_s=0.001, rate_per_s=1000.0))
    serving = Serving(**serving_fields(asked, found))
    # 500 at first; down to where 700 queries take a minute, 11.7 per second.
    lowest_per_s = min(step.rate_per_s for step in found.steps)
    assert 11.6 < lowest_per_s < 12
    assert serving.invalid_reasons[0] == (
        f"no rate held the bound; the lowest tried was {lowest_per_s:.4g} per s"
    )
    assert (serving.valid, serving.max_rate_per_s) == (False, None)
    assert serving.failed_rate_per_s == lowest_per_s
    assert passes.kept[-1] == lowest_per_s
    assert len(found.steps) <= 4 + 6 + 3


def test_no_lower_rate_is_tried_where_one_query_alone_is_too_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passes = simulated(monkeypatch, Passes(1e-3))
    asked, found = passes.search(WarmUp(latency_s=0.0125, rate_per_s=80.0))
    assert [settings.rate_per_s for settings in passes.asked] == [40.0, 40.0]
    assert found.result.invalid_reasons[0] == (
        "no rate held the bound; the lowest tried was 40 per s, and a query alone already takes "
        "12.5 ms"
    )
    assert serving_fields(asked, found)["failed_rate_per_s"] == 40.0


def test_a_pass_that_is_short_beside_its_bound_does_not_hide_that_the_system_fell_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # With a bound of 5 s and passes of 2 s, a queue of 700 per second is in time at 2,000.
    passes = simulated(monkeypatch, Passes(700.0))
    _, found = passes.search(
        WarmUp(latency_s=0.001, rate_per_s=500.0), latency_bound_ms=5000.0, search_steps=8
    )
    assert found.max_rate_per_s is not None
    assert found.max_rate_per_s <= 700 * 1.06
    behind = [step for step in found.steps if not step.valid]
    assert "the system fell behind: after" in behind[0].invalid_reasons[0]


def test_a_largest_rate_that_is_not_known_is_not_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = simulated(monkeypatch, Passes(1e9))
    asked, found = passes.search(WarmUp(latency_s=0.01, rate_per_s=10.0))
    serving = Serving(**serving_fields(asked, found))
    assert (serving.valid, serving.max_rate_per_s, serving.failed_rate_per_s) == (False, None, None)
    # Up to 64 times what a full queue gave.
    assert serving.invalid_reasons[0].startswith("every rate up to 640 per s held")


def test_a_complaint_of_the_caller_fails_a_rate(passes: Passes) -> None:
    def complaints(one: PassResult) -> list[str]:
        return ["the client was too slow"] if (one.scheduled_per_s or 0) > 300 else []

    asked = config("server", **SEARCH)
    estimate = WarmUp(latency_s=0.001, rate_per_s=500.0)
    found = measured(InstantSystem(), asked, estimate, complaints=complaints)
    assert found.max_rate_per_s is not None
    assert found.max_rate_per_s <= 300 < (found.failed_rate_per_s or 0.0)
    failed = [step for step in found.steps if not step.valid]
    assert ["the client was too slow"] in [step.invalid_reasons for step in failed]
    # Of the other scenarios likewise.
    stream = measured(
        InstantSystem(), config("single_stream"), complaints=lambda _: ["it was compiled anew"]
    )
    assert stream.result.invalid_reasons[0] == "it was compiled anew"
    assert not stream.result.valid


def test_a_hopeless_pass_is_ended_early_and_a_given_rate_is_not(passes: Passes) -> None:
    estimate = WarmUp(latency_s=0.001, rate_per_s=500.0)
    measured(InstantSystem(), config("server", **SEARCH), estimate)
    # 2% of the queries, twice the arrivals of 10 ms, and a hundred: at 250/s for 0.5 s there are
    # min_queries, 700, and 2.5 arrivals; at 500/s for 2 s 1000 queries and 5 arrivals.
    assert passes.asked[0].max_waiting == 14 + 5 + 100
    at_500 = [one for one in passes.asked if one.rate_per_s == 500 and one.min_duration_s == 2]
    assert at_500[0].max_waiting == 20 + 10 + 100
    measured(InstantSystem(), config("server", min_duration_s=2.0, rate_per_s=5000.0), estimate)
    # With a bound of 5 s: 2% of 10,000 queries, and twice 25,000; more than 30 s at 500/s.
    assert passes.asked[-1].max_waiting == 200 + 50_000 + 100
    asked = config("server", min_duration_s=2.0, rate_per_s=5000.0, latency_bound_ms=10.0)
    measured(InstantSystem(), asked, estimate)
    assert passes.asked[-1].max_waiting == 15_000


def test_a_given_rate_is_judged_and_not_called_the_largest(passes: Passes) -> None:
    asked = config("server", min_duration_s=2.0, rate_per_s=900.0, latency_bound_ms=10.0)
    performance = measured(InstantSystem(), asked)
    found = serving_fields(asked, performance)
    assert (found["valid"], found["invalid_reasons"]) == (False, ["over the bound"])
    assert (found["rate_per_s"], found["max_rate_per_s"]) == (900.0, None)
    # The throughput would repeat what was asked for.
    assert found["headline"] == "latency_p99_ms"
    assert performance.steps == ()
