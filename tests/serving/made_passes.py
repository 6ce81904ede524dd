"""Short scenarios, their measurement, and synthetic results of passes."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pandas as pd

from bench.config.serve import ScenarioConfig
from bench.serving.pass_result import PassResult
from bench.serving.performance import Passes, Performance, WarmUp
from bench.serving.scenarios import run_performance
from bench.serving.system import System

NUM_INPUTS = 40
WARM = WarmUp(latency_s=1e-5, rate_per_s=50_000.0)


def config(name: str, **changes: Any) -> ScenarioConfig:
    """Short, and with a bound that a busy machine holds too."""
    given: dict[str, Any] = {
        "name": name,
        "min_duration_s": 0.02,
        "min_queries": 700,
        "warmup_queries": 20,
        "max_batch_size": 8,
        "samples_per_query": 8 if name == "multi_stream" else 1,
    }
    if name == "server":
        given |= {"latency_bound_ms": 5000.0, "rate_per_s": 10_000.0}
    return ScenarioConfig(**{**given, **changes})


def measured(
    system: System, asked: ScenarioConfig, warm: WarmUp = WARM, **around: Any
) -> Performance:
    least_s = around.pop("min_duration_s", 0.0)
    passes = Passes(system=system, **around)
    return run_performance(
        passes, asked, num_inputs=NUM_INPUTS, seed=0, warm=warm, min_duration_s=least_s
    )


def result(**changes: Any) -> PassResult:
    given: dict[str, Any] = {field.name: None for field in fields(PassResult)}
    given |= {
        "scenario": "server",
        "invalid_reasons": (),
        "num_queries": 1000,
        "num_samples": 1000,
        "num_failed": 0,
        "duration_s": 10.0,
        "latency_mean_ms": 2.0,
        "min_duration_met": True,
        "columns": pd.DataFrame(),
    }
    return PassResult(**{**given, **changes})
