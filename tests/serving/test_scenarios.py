from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from typing_extensions import override

from bench.cli.app import register
from bench.config.serve import LOADGEN_SCENARIOS, ScenarioConfig
from bench.core.errors import PassFailed
from bench.core.files import config_dir
from bench.core.records.serving import Serving
from bench.serving import scenarios
from bench.serving.in_process import InProcessSystem
from bench.serving.performance import (
    Performance,
    WarmUp,
    goodput_per_s,
    requests_frame,
    serving_fields,
)
from bench.serving.scenarios import run_accuracy, warm_up
from tests.serving.fakes import FakeBackend, InstantSystem, logits_of, numbered_inputs
from tests.serving.made_passes import NUM_INPUTS, config, measured, result

IMAGES = numbered_inputs(NUM_INPUTS)


@pytest.fixture(autouse=True)
def _short_estimates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenarios, "_RATE_PASS_S", 0.01)
    monkeypatch.setattr(scenarios, "_MAX_TRIES", 20)  # a busy machine may use up some


def system_for(name: str, backend: FakeBackend | None = None) -> InProcessSystem:
    return InProcessSystem(
        backend or FakeBackend(), IMAGES, max_batch_size=8, queued=name == "server"
    )


@pytest.mark.parametrize("name", LOADGEN_SCENARIOS)
def test_every_file_of_the_group_is_a_scenario(name: str) -> None:
    register()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        composed = compose(f"scenario/{name}")
    plain: Any = OmegaConf.to_container(composed, throw_on_missing=True)
    found = ScenarioConfig.from_dict(plain.get("scenario", plain))
    assert found.name == name
    first = (config_dir() / "scenario" / f"{name}.yaml").read_text().splitlines()[0]
    assert first.startswith("# ")


@pytest.mark.parametrize("name", LOADGEN_SCENARIOS)
def test_a_scenario_is_warmed_up_and_measured_by_the_real_load_generator(name: str) -> None:
    asked, system = config(name), system_for(name)
    estimate = warm_up(system, asked, num_inputs=NUM_INPUTS)
    assert estimate.latency_s > 0
    assert estimate.rate_per_s > 0
    performance = measured(system, asked, estimate)
    assert performance.result.valid, performance.result.invalid_reasons
    assert performance.result.duration_s >= 0.02
    fields_ = serving_fields(asked, performance)
    serving = Serving(**fields_)
    assert serving.valid
    assert serving.headline is not None
    assert getattr(serving, serving.headline) > 0
    frame = requests_frame(performance.result)
    assert frame is not None
    assert len(frame) == serving.num_predictions
    assert list(frame) == [
        "sample",
        "query",
        "input_index",
        "scheduled_s",
        "issue_delay_ms",
        "latency_ms",
    ]


def test_warm_up_asks_everything_twice_and_the_whole_range_of_batches() -> None:
    backend = FakeBackend()
    warm_up(system_for("single_stream", backend), config("single_stream"), num_inputs=NUM_INPUTS)
    assert backend.batch_sizes == [1] * 40
    backend = FakeBackend()
    warm_up(system_for("offline", backend), config("offline"), num_inputs=NUM_INPUTS)
    assert backend.batch_sizes[:43] == [1] * 40 + [8, 8, 8]


def test_a_search_is_warmed_up_with_as_many_queries_as_a_median_needs() -> None:
    backend = FakeBackend()
    asked = config("server", rate_per_s=None, search_steps=1, warmup_queries=1)
    warm_up(system_for("server", backend), asked, num_inputs=NUM_INPUTS)
    assert backend.batch_sizes[:22] == [1] * 22
    backend = FakeBackend()
    warm_up(system_for("server", backend), config("server", warmup_queries=1), num_inputs=1)
    assert backend.batch_sizes[:3] == [1, 1, 1]  # and then a full queue


def test_accuracy_gives_the_logits_of_every_image_in_order() -> None:
    for queued in (False, True):
        system = InProcessSystem(FakeBackend(), IMAGES, max_batch_size=7, queued=queued)
        indices, logits = run_accuracy(system, NUM_INPUTS, seed=5)
        assert indices.tolist() == list(range(NUM_INPUTS))
        np.testing.assert_array_equal(logits, logits_of(indices))


def test_accuracy_without_one_of_the_images_is_refused() -> None:
    class Forgetful(InstantSystem):
        @override
        def answers(self) -> Any:
            indices, logits = super().answers()
            return indices[1:], logits[1:]

        @override
        def failure_reasons(self) -> list[str]:
            return ["1 requests failed: HTTP 500: no room"]

    with pytest.raises(
        ValueError, match=r"39 answers for 39 of 40 inputs.*1 requests failed: HTTP 500: no room"
    ):
        run_accuracy(Forgetful(), NUM_INPUTS)


def test_a_model_that_breaks_in_the_warm_up_is_an_error() -> None:
    system = system_for("server", FakeBackend(fail_at=3))
    with pytest.raises(PassFailed, match="the model broke"):
        warm_up(system, config("server"), num_inputs=NUM_INPUTS)


def test_an_estimate_that_is_far_too_slow_is_corrected() -> None:
    # A second for each: four queries would be prepared, or two samples, and last microseconds.
    slow = WarmUp(latency_s=1.0, rate_per_s=1.0)
    for name in ("single_stream", "offline"):
        performance = measured(InstantSystem(), config(name, min_queries=64), slow)
        assert performance.result.valid, performance.result.invalid_reasons
        assert performance.result.duration_s >= 0.02


def test_the_duration_may_be_raised_for_a_meter() -> None:
    performance = measured(InstantSystem(), config("server", min_queries=500), min_duration_s=0.3)
    rows = performance.result.samples
    assert rows is not None
    assert rows.scheduled_s.iloc[-1] >= 0.3


def test_each_try_of_the_reported_pass_has_its_window() -> None:
    windows: list[str] = []

    @contextmanager
    def window() -> Iterator[None]:
        windows.append("open")
        yield
        windows.append("close")

    system = InstantSystem()
    measured(system, config("multi_stream"), window=window)
    assert windows == ["open", "close"]


# What becomes of a result.


def rows(latencies_ms: Sequence[float]) -> pd.DataFrame:
    number = np.arange(len(latencies_ms))
    return pd.DataFrame(
        {
            "query": number,
            "input_index": number,
            "scheduled_s": number / 100,
            "issue_delay_ms": np.zeros(len(number)),
            "latency_ms": np.array(latencies_ms, dtype=np.float64),
        }
    )


def test_goodput_counts_what_was_answered_in_time() -> None:
    # Two of four within 10 ms, in 2 s.
    some = result(num_samples=4, duration_s=2.0, samples=rows([5.0, 10.0, 10.1, 50.0]))
    assert goodput_per_s(some, 10.0) == 1.0
    assert goodput_per_s(some, None) is None
    # One of them failed, which one is not said: at least one was good.
    assert goodput_per_s(replace(some, num_failed=1), 10.0) == 0.5
    # It is said to be the last, which was late anyway.
    told = replace(some, num_failed=1, columns=pd.DataFrame({"ok": [1.0, 1.0, 1.0, 0.0]}))
    assert goodput_per_s(told, 10.0) == 1.0
    # Without rows, LoadGen's own count of late queries.
    assert goodput_per_s(replace(some, samples=None, num_over_bound=3), 10.0) == 0.5
    assert goodput_per_s(replace(some, samples=None), 10.0) is None
    assert goodput_per_s(replace(some, scenario="offline"), 10.0) is None


def test_a_failed_request_does_not_count_as_a_prediction() -> None:
    # LoadGen counts 100 a second; a quarter of them got no answer.
    some = result(num_samples=1000, num_failed=250, completed_per_s=100.0)
    found = serving_fields(config("offline"), Performance(result=some))
    assert (found["num_predictions"], found["throughput_per_s"]) == (750, 75.0)


def test_offline_has_no_latency() -> None:
    found = serving_fields(config("offline"), Performance(result=result(scenario="offline")))
    assert found["latency_mean_ms"] is None
    assert found["headline"] == "throughput_per_s"


def test_columns_of_the_system_are_stored_with_each_request() -> None:
    noted = result(samples=rows([1.0, 2.0]), columns=pd.DataFrame({"queue_ms": [0.5, 0.25]}))
    frame = requests_frame(noted)
    assert frame is not None
    assert frame["queue_ms"].tolist() == [0.5, 0.25]
    assert frame["sample"].tolist() == [0, 1]
    with pytest.raises(ValueError, match="queue_ms: has 1 values for 2 samples"):
        requests_frame(replace(noted, columns=pd.DataFrame({"queue_ms": [0.5]})))
    assert requests_frame(replace(noted, samples=None)) is None


REFUSED: list[tuple[Callable[[], ScenarioConfig], str]] = [
    (lambda: config("offline", samples_per_query=2), r"scenario\.samples_per_query=2"),
    (lambda: config("offline", rate_per_s=2.0), r"scenario\.rate_per_s"),
    (lambda: config("single_stream", search_steps=2), r"scenario\.search_steps"),
    (lambda: config("server", latency_bound_ms=None), r"scenario\.latency_bound_ms"),
    (lambda: config("server", rate_per_s=None), r"scenario\.search_steps=0"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_keys_that_a_scenario_ignores_and_missing_keys_are_refused(
    make: Callable[[], ScenarioConfig], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make()
