"""bench.serve with models of other tasks: rows of a table, and the text of a language model."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.cli.command import records, serve
from tests.serving.made_runs import CONTEXT, made_task

pytestmark = pytest.mark.xdist_group("jobs")  # one worker, so that one server forks them

SHORT = (
    *("allow_missed=true", "scenario.min_duration_s=0.1", "scenario.warmup_queries=2"),
    *("backend=eager", "backend.device=cpu"),
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of each task."""
    folder = tmp_path_factory.mktemp("tasks")
    for name in ("regression", "language"):
        made_task(folder / "results", name)
    return folder


def run_of(folder: Path, task: str) -> str:
    (found,) = [run for run in records(folder) if run.task and run.task.name == task]
    return f"run={found.run_id}"


def test_a_regression_is_served_and_its_own_metric_is_shown(base: Path) -> None:
    answer = serve(
        base, run_of(base, "regression"), *SHORT, "meter=none", "scenario.min_queries=64"
    )
    assert answer.code == 0, answer.out + answer.err
    (record,) = [run for run in records(base, "serve") if run.task and run.task.sample == "row"]
    assert record.task is not None
    assert (record.task.name, record.task.kind) == ("regression", "regression")
    assert record.trained is not None
    assert record.trained.target_metric == "rmse"
    assert record.quality_test is not None
    assert set(record.quality_test.values) == {"mse", "mae", "rmse", "r2"}
    assert record.quality_test.num_samples == 88  # a fifth of 442 rows
    assert "accuracy" not in answer.out


def test_a_language_model_continues_prompts(base: Path) -> None:
    answer = serve(
        base,
        run_of(base, "language_modelling"),
        *SHORT,
        *("scenario=generate", "scenario.prompt_tokens=4", "scenario.output_tokens=4"),
        *("scenario.min_queries=64", "meter=cpu_model"),
    )
    assert answer.code == 0, answer.out + answer.err
    (record,) = [run for run in records(base, "serve") if run.task and run.task.sample != "row"]
    serving = record.serving
    assert serving is not None
    assert (serving.scenario, serving.headline) == ("generate", "output_tokens_per_s")
    assert (serving.prompt_tokens, serving.output_tokens) == (4, 4)
    assert serving.num_requests >= 64
    for name in ("ttft", "tpot"):
        p50_ms, p90_ms = (getattr(serving, f"{name}_{each}_ms") for each in ("p50", "p90"))
        assert 0 < p50_ms <= p90_ms
    assert serving.energy_per_prediction_j is not None
    assert serving.energy_per_output_token_j == pytest.approx(serving.energy_per_prediction_j / 4)
    assert serving.output_tokens_per_s is not None
    assert serving.duration_s is not None
    tokens = serving.output_tokens_per_s * serving.duration_s
    assert tokens == pytest.approx(4 * serving.num_requests)
    assert record.quality_test is not None
    assert {"loss", "perplexity", "bits_per_byte"} <= set(record.quality_test.values)
    requests = pd.read_parquet(base / "results" / "serve" / record.run_id / "requests.parquet")
    assert len(requests) == serving.num_requests
    assert "output tokens" in answer.err  # the line of the run that has ended
    assert "TTFT: time to first token." in answer.out


@pytest.mark.parametrize(
    ("task", "arguments", "words"),
    [
        ("regression", (), "learned task=regression, and only a language model generates"),
        ("language_modelling", ("backend=onnxruntime",), "backend=onnxruntime does not continue"),
        (
            "language_modelling",
            ("backend=http",),
            "scenario=generate: runs a model in this process",
        ),
        (
            "language_modelling",
            ("scenario.prompt_tokens=9", "scenario.output_tokens=9"),
            f"together 18, longer than the model's context of {CONTEXT} tokens",
        ),
    ],
)
def test_what_cannot_generate_is_refused_before_the_run(
    base: Path, task: str, arguments: tuple[str, ...], words: str
) -> None:
    answer = serve(base, run_of(base, task), "allow_missed=true", "scenario=generate", *arguments)
    assert answer.code == 2, answer.out
    (line,) = answer.lines()
    assert words in line
