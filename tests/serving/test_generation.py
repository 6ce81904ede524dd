"""Prompts are continued token by token: times on a scripted clock, with known answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from typing_extensions import override

from bench.compression.artifact import Artifact
from bench.compression.prepare import prepare
from bench.config.serve import ScenarioConfig
from bench.core.arrays import Inputs
from bench.core.errors import PassFailed
from bench.serving.backend import Backend, BackendRefuses, Outputs
from bench.serving.find_backend import combination, make_backend
from bench.serving.generation import Generation, generation_fields
from bench.tasks.gpt import Gpt
from tests.fakes import FakeClock

SEQUENCES = np.arange(60).reshape(5, 12)
PREFILL_S, STEP_S = 0.03, 0.002


class Scripted(Backend):
    """Takes PREFILL_S for the first token and STEP_S for each other; keeps its prompts."""

    name = "scripted"
    kind = "torch"

    def __init__(self, clock: FakeClock, *, num_missing: int = 0) -> None:
        super().__init__(device="cpu", num_threads=None)
        self.clock = clock
        self.prompts: list[list[int]] = []
        self._num_missing = num_missing

    def open(self, artifact: Artifact) -> None:
        """Nothing to open."""

    def predict(self, inputs: Inputs) -> Outputs:
        raise NotImplementedError

    @override
    def generate(self, prompt: Inputs, num_tokens: int) -> Iterator[int]:
        self.prompts.append(prompt[0].tolist())
        prompt[:] = 0  # a model may write into its input
        self.clock.advance(PREFILL_S)
        yield 0
        for token in range(num_tokens - 1 - self._num_missing):
            self.clock.advance(STEP_S)
            yield token

    def close(self) -> None:
        """Nothing to close."""


def config(**changes: Any) -> ScenarioConfig:
    given = {"prompt_tokens": 4, "output_tokens": 6, "min_duration_s": 0.1, "min_queries": 12}
    return ScenarioConfig(**{"name": "generate", "warmup_queries": 3, **given, **changes})


def generation(backend: Scripted, **changes: Any) -> Generation:
    return Generation(backend, SEQUENCES, config(**changes), clock=backend.clock)


def test_the_first_token_and_the_time_per_further_token_are_those_of_the_script() -> None:
    backend = Scripted(FakeClock())
    rows = generation(backend).measure(0.0)
    # 12 prompts: more than the 11 that a median needs, fewer than the 64 of p90.
    fields = generation_fields(config(), rows)
    assert (fields["num_requests"], fields["num_predictions"], fields["valid"]) == (12, 12, True)
    assert fields["ttft_p50_ms"] == pytest.approx(30)
    assert fields["tpot_p50_ms"] == pytest.approx(2)
    assert fields["latency_p50_ms"] == pytest.approx(30 + 5 * 2)
    assert (fields["ttft_p90_ms"], fields["tpot_p99_ms"]) == (None, None)
    # Each prompt takes 40 ms for 6 tokens.
    assert fields["duration_s"] == pytest.approx(12 * 0.04)
    assert fields["output_tokens_per_s"] == pytest.approx(6 / 0.04)
    assert rows["scheduled_s"].tolist() == pytest.approx([0.04 * n for n in range(12)])
    assert list(rows.columns) == [
        *("sample", "input_index", "scheduled_s", "latency_ms", "ttft_ms", "tpot_ms")
    ]


def test_prompts_are_the_beginnings_of_all_sequences_in_turn_and_copies() -> None:
    backend = Scripted(FakeClock())
    before = SEQUENCES.copy()
    rows = generation(backend, min_queries=10).measure(0.0)
    first, second = backend.prompts[:5], backend.prompts[5:]
    assert sorted(first) == SEQUENCES[:, :4].tolist()
    assert first == second
    assert [SEQUENCES[n, :4].tolist() for n in rows["input_index"]] == backend.prompts
    np.testing.assert_array_equal(SEQUENCES, before)


@pytest.mark.parametrize(("min_duration_s", "least_s"), [(0.9, 0.0), (0.1, 0.9)])
def test_the_measurement_goes_on_until_it_is_long_enough(
    min_duration_s: float, least_s: float
) -> None:
    # Of 40 ms each, 23 prompts are the first to take 0.9 s.
    rows = generation(Scripted(FakeClock()), min_duration_s=min_duration_s).measure(least_s)
    assert len(rows) == 23


def test_warm_up_is_not_measured_and_at_least_two_prompts() -> None:
    backend = Scripted(FakeClock())
    generation(backend, warmup_queries=0).warm_up()
    assert len(backend.prompts) == 2


def test_missing_tokens_and_a_model_that_raises_fail_the_pass() -> None:
    with pytest.raises(PassFailed, match="4 tokens came, must be 6"):
        generation(Scripted(FakeClock(), num_missing=2)).measure(0.0)

    class Broken(Scripted):
        @override
        def generate(self, prompt: Inputs, num_tokens: int) -> Iterator[int]:
            raise ZeroDivisionError("broken")

    with pytest.raises(PassFailed, match="generate: ZeroDivisionError: broken"):
        generation(Broken(FakeClock())).warm_up()


def test_a_backend_that_cannot_generate_is_refused() -> None:
    class Plain(Scripted):
        generate = Backend.generate

    with pytest.raises(BackendRefuses, match="backend=scripted does not continue prompts"):
        generation(Plain(FakeClock())).warm_up()


def test_prompt_and_answer_that_exceed_the_context_are_refused() -> None:
    wanted = "prompt_tokens=8 and scenario.output_tokens=6: together 14, longer than .* of 12"
    with pytest.raises(ValueError, match=wanted):
        generation(Scripted(FakeClock()), prompt_tokens=8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt_tokens": None}, "must be given for generate"),
        ({"max_batch_size": 4}, "generate continues one prompt at a time"),
        ({"latency_bound_ms": 5.0}, "generate continues one prompt at a time"),
        ({"name": "offline"}, "only generate takes them; leave them out for offline"),
        ({"output_tokens": 1}, "scenario.output_tokens=1: must be at least 2"),
    ],
)
def test_keys_that_contradict_the_scenario_are_named(changes: dict[str, Any], message: str) -> None:
    given = {"name": "generate", "min_duration_s": 1, "min_queries": 1, "warmup_queries": 0}
    tokens = {"prompt_tokens": 4, "output_tokens": 4}
    with pytest.raises(ValueError, match=message):
        ScenarioConfig.from_dict({**given, **tokens, **changes}, "scenario.")


def opened(network: nn.Module, folder: Path, method: str = "none") -> Backend:
    artifact = prepare(
        lambda: network,
        combination("eager", method, "cpu"),
        channels_last=False,
        calibration=SEQUENCES % 11,
        folder=folder,
    )
    backend = make_backend("eager", device="cpu", num_threads=1)
    backend.open(artifact)
    return backend


def test_eager_generates_what_reading_everything_again_would(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Gpt(11, 12, width=16, depth=2, heads=2).eval()
    for weight in network.parameters():  # larger, so that the answer is not one token repeated
        weight.data *= 8
    backend = opened(network, tmp_path)
    found = list(backend.generate(np.array([[3, 1, 4]]), 6))
    tokens = torch.tensor([[3, 1, 4]])
    with torch.no_grad():
        for _ in range(6):
            tokens = torch.cat([tokens, network(tokens)[:, -1:].argmax(dim=2)], dim=1)
    assert found == tokens[0, 3:].tolist()
    assert len(set(found)) > 1
    assert not torch.is_inference_mode_enabled()  # it does not leak out between tokens


def test_a_model_without_a_cache_is_refused_with_the_reason(tmp_path: Path) -> None:
    backend = opened(NoCache(), tmp_path)
    with pytest.raises(BackendRefuses, match=r"NoCache has no prefill\(\) and step\(\)"):
        next(backend.generate(np.array([[3, 1]]), 2))


class NoCache(nn.Module):
    """Logits of each token from the token alone."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 11)

    @override
    def forward(self, tokens: Tensor) -> Tensor:
        embedded: Tensor = self.embedding(tokens)
        return embedded
