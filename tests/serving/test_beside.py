"""The server and a training in turns: who runs when, and the ratios, on a fake clock."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.config.beside import BesideConfig
from bench.config.serve import ServeConfig
from bench.core.errors import PassFailed
from bench.core.records.beside import Beside
from bench.serving.beside import StepMeter, compare_with_alone, open_retraining
from bench.serving.http.process import ServerDied
from bench.serving.loadgen import OpenWindow
from bench.serving.model import TrainedModel
from bench.serving.pass_result import PassResult, PassSettings
from tests.fakes import FakeClock
from tests.serving.fakes import InstantSystem
from tests.serving.made_runs import made_run
from tests.serving.test_tasks import config_of

# With the training, requests take 5 instead of 2 ms, and the training makes 10 instead of 40 steps
# per second.
P99_MS = {False: 2.0, True: 5.0}
STEPS_PER_S = {False: 40, True: 10}


class Machine:
    """A server and a training that slow each other down, as a Retraining and as passes."""

    num_threads = None

    def __init__(self, *, dies_after: int = 100, num_failed: int = 0) -> None:
        self.clock = FakeClock()
        self.num_steps = 0
        self.calls: list[str] = []
        self.settings: list[PassSettings] = []
        self._runs = True
        self._dies_after = dies_after
        self._num_failed = num_failed

    def pause(self) -> None:
        self._runs = False

    def resume(self) -> None:
        self._runs = True

    def require_running(self) -> None:
        self._dies_after -= 1
        if self._dies_after < 0:
            raise ServerDied("the retraining was ended by SIGKILL")

    def wait(self, seconds: float) -> None:
        self.calls.append("training")
        self._pass(seconds, serves=False)

    def run_pass(
        self, _: Any, settings: PassSettings, *, window: OpenWindow = nullcontext
    ) -> PassResult:
        self.settings.append(settings)
        self.calls.append("both" if self._runs else "server")
        with window() as meter:
            # LoadGen prepares its queries first, which is no stretch of serving.
            self._pass(3.0, serves=False)
            if meter is not None:
                meter.first_query()
            self._pass(0.5, serves=True)
            if meter is not None:
                meter.last_query()
        return self._result(settings)

    def _pass(self, seconds: float, *, serves: bool) -> None:
        self.clock.advance(seconds)
        if self._runs:
            self.num_steps += round(STEPS_PER_S[serves] * seconds)

    def _result(self, settings: PassSettings) -> PassResult:
        p99_ms = P99_MS[self._runs]
        return PassResult(
            scenario=settings.scenario,
            invalid_reasons=(),
            num_queries=settings.min_queries + len(self.calls),
            num_samples=settings.min_queries,
            num_failed=self._num_failed,
            duration_s=0.5,
            latency_p50_ms=p99_ms / 2,
            latency_p90_ms=p99_ms,
            latency_p99_ms=p99_ms,
            latency_p999_ms=None,
            latency_mean_ms=p99_ms,
            completed_per_s=None,
            scheduled_per_s=None,
            num_over_bound=None,
            min_duration_met=True,
            samples=None,
        )


def compared(machine: Machine, monkeypatch: pytest.MonkeyPatch, rounds: int = 4) -> Beside:
    monkeypatch.setattr("bench.serving.beside.run_pass", machine.run_pass)
    return compare_with_alone(
        InstantSystem(),
        machine,  # type: ignore[arg-type]
        BesideConfig(name="retraining", nice=3, compare_rounds=rounds),
        num_inputs=10,
        seed=0,
        wait=machine.wait,
        clock=machine.clock,
    )


def test_ratios_are_with_over_without(monkeypatch: pytest.MonkeyPatch) -> None:
    found = compared(Machine(), monkeypatch)
    assert (found.latency_p99_alone_ms, found.latency_p99_beside_ms) == pytest.approx((2.0, 5.0))
    ratio = (found.latency_p99_ratio, found.latency_p99_ratio_low, found.latency_p99_ratio_high)
    assert ratio == pytest.approx((2.5, 2.5, 2.5))
    assert found.training_alone_steps_per_s == pytest.approx(40)
    assert found.training_beside_steps_per_s == pytest.approx(10)
    assert found.training_ratio == pytest.approx(0.25)
    assert (found.name, found.nice, found.num_rounds) == ("retraining", 3, 4)
    assert found.num_requests == 662 + 2  # of the first pass that counts


def test_all_three_take_turns_and_the_first_two_change_places(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine()
    compared(machine, monkeypatch, rounds=2)
    first, *rest = machine.calls
    assert first == "both"  # how long a request takes
    assert rest == ["server", "both", "training", "both", "server", "training"]


def test_requests_are_single_and_enough_for_a_p99(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    compared(machine, monkeypatch, rounds=2)
    probe, *settings = machine.settings
    assert {each.scenario for each in machine.settings} == {"single_stream"}
    assert {each.min_queries for each in machine.settings} == {662}
    assert {each.min_duration_s for each in settings} == {0.5}
    # The first pass showed a median of 2.5 ms.
    assert {each.expected_latency_s for each in settings} == {0.0025 / 1.5}
    assert probe.min_duration_s == 0


def test_a_training_that_dies_ends_the_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(dies_after=1)
    with pytest.raises(ServerDied, match="ended by SIGKILL"):
        compared(machine, monkeypatch)
    assert machine.calls.count("training") == 2


def test_failed_requests_end_the_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PassFailed, match=r"^beside: 3 of 662 requests failed"):
        compared(Machine(num_failed=3), monkeypatch)


def test_a_training_without_a_step_has_no_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STEPS_PER_S, False, 0)
    monkeypatch.setitem(STEPS_PER_S, True, 0)
    found = compared(Machine(), monkeypatch)
    assert found.training_alone_steps_per_s == 0
    assert found.training_ratio is None


def test_a_clock_that_stands_still_gives_no_rate() -> None:
    meter = StepMeter(Machine(), FakeClock())  # type: ignore[arg-type]
    meter.first_query()
    meter.last_query()
    with pytest.raises(ValueError, match="too coarse"):
        _ = meter.steps_per_s


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"compare_rounds": 1}, "beside.compare_rounds=1: must be at least 2"),
        ({"nice": 20}, "beside.nice=20: must be at most 19"),
        ({"name": "backup"}, "beside.name=backup: must be one of retraining"),
    ],
)
def test_values_out_of_range_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        BesideConfig.from_dict({"name": "retraining", **values}, "beside.")


def test_generation_has_no_single_inputs() -> None:
    scenario = {"name": "generate", "min_duration_s": 1.0, "min_queries": 1, "warmup_queries": 1}
    values = {
        "run": "latest",
        "scenario": {**scenario, "prompt_tokens": 2, "output_tokens": 2},
        "backend": {"name": "eager"},
        "compression": {"method": "none"},
        "placement": {"name": "local"},
        "price": {},
        "grid": {},
        "beside": {"name": "retraining"},
    }
    with pytest.raises(ValueError, match=r"^beside=retraining: compares the latency of single inp"):
        ServeConfig.from_dict(values)


def test_code_that_a_trusted_module_only_imports_is_not_called(tmp_path: Path) -> None:
    folder = made_run(tmp_path / "results", "data=digits", "model=mlp")
    config = config_of(folder, "eager")
    config.trust = ["tests"]
    config.beside = BesideConfig(name="retraining")
    trained = TrainedModel(folder, config)
    optimizer = {"_target_": "tests.serving.fake_training.os.system", "command": "true"}
    values = {**trained.record.config, "optimizer": optimizer}
    trained.record = replace(trained.record, config=values)
    with (
        pytest.raises(ValueError, match=r"os.system, which is defined in posix, a module that you"),
        open_retraining(config, trained, tmp_path, tmp_path),
    ):
        pass
    assert not (tmp_path / "retraining.log").exists()
