"""The keys of the gate's commands: how they are read, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from bench.cli.app import register
from bench.config.gate import CompareConfig, JudgeConfig, OutputConfig
from bench.core.files import config_dir
from bench.gate.metrics import GATE_METRICS
from bench.gate.settings import known_keys, require_known, selected, with_least_effects
from bench.gate.sides.noise import NoiseFile
from bench.gate.sides.validation import write_text

SIDES: dict[str, Any] = {"baseline": "perf.json", "candidate": "no_such_results"}


@pytest.fixture(scope="module")
def hydra() -> Iterator[None]:
    register()
    ConfigStore.instance().store(name="compare_schema", node=with_least_effects(CompareConfig))
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        yield


def composed(*overrides: str) -> CompareConfig:
    """As the command makes it of the command line."""
    plain = OmegaConf.to_container(compose("compare", overrides=list(overrides)), resolve=True)
    assert isinstance(plain, dict)
    return CompareConfig.from_dict({str(key): value for key, value in plain.items()})


@pytest.mark.usefixtures("hydra")
def test_the_file_and_the_schema_have_the_same_defaults() -> None:
    assert replace(
        composed("baseline=perf.json", "candidate=no_such_results"), min_effect={}
    ) == CompareConfig(**SIDES)


@pytest.mark.usefixtures("hydra")
def test_every_key_reaches_the_gate(tmp_path: Path) -> None:
    noise = tmp_path / "noise.json"
    write_text(noise, asdict(NoiseFile()))
    settings = composed(
        "baseline=perf.json",
        "candidate=results",
        "alpha=0.01",
        "min_runs=8",
        "metrics=[latency_p50_ms,time_to_target_s]",
        "min_effect.latency_p50_ms=0.3",
        "force=[host,health]",
        "allow_missing=true",
        f"noise={noise}",
    )
    assert (settings.alpha, settings.min_runs, settings.allow_missing) == (0.01, 8, True)
    assert (settings.force, settings.noise) == (["host", "health"], str(noise))
    effects = {metric.name: metric.least_effect_frac for metric in selected(settings)}
    assert effects == {"time_to_target_s": 0.05, "latency_p50_ms": 0.3}


def test_all_metrics_are_compared_with_their_own_effects_by_default() -> None:
    assert selected(JudgeConfig()) == list(GATE_METRICS)


@pytest.mark.parametrize("metrics", ["latency_p50_ms", ["latency_p50_ms"]])
def test_one_name_needs_no_list(metrics: Any) -> None:
    settings = JudgeConfig.from_dict({"metrics": metrics, "force": "host"})
    assert (settings.metrics, settings.force) == (["latency_p50_ms"], ["host"])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"alpha": 0.0}, "alpha=0.0: must be a positive number"),
        ({"alpha": 1.0}, "alpha=1.0: must be less than 0.5"),
        ({"min_runs": 0}, "min_runs=0: must be at least 1"),
        ({"metrics": []}, r"metrics=\[\]: must have at least one element"),
        ({"metrics": ["latency_p50"]}, "metrics=latency_p50: no such metric .*; did you mean"),
        ({"min_effect": {"latency": 0.1}}, "min_effect.latency: no such metric .*; did you mean"),
        ({"min_effect": {"accuracy": -0.1}}, "min_effect.accuracy=-0.1: must be at least 0"),
        ({"min_effect": {"accuracy": float("nan")}}, "min_effect.accuracy=nan: must be a finite"),
        # Each fact is named once, although `health` and others are their own group.
        ({"force": ["a"]}, r"choose from health, config, (?!.*\bhealth\b)"),
        ({"force": ["hots"]}, r"force=\[hots\]: no such fact; did you mean host"),
        (
            {"noise": "nowhere.json"},
            r"noise=nowhere.json: cannot be read \(No such file.*\); python -m bench.noise writes",
        ),
    ],
)
def test_a_wrong_value_is_refused_by_its_key(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        require_known(JudgeConfig.from_dict(keys))


def test_outputs_are_files_of_their_own(tmp_path: Path) -> None:
    assert OutputConfig().output_files() == {}
    assert OutputConfig(json="a.json", junit="b/c.xml").output_files() == {
        "json": Path("a.json"),
        "junit": Path("b/c.xml"),
    }
    with pytest.raises(ValueError, match="markdown=: must name a file, or be null"):
        OutputConfig.from_dict({"markdown": ""})
    with pytest.raises(ValueError, match=r"junit=.*: is a folder; name a file"):
        OutputConfig(junit=str(tmp_path))
    with pytest.raises(ValueError, match="junit=out: json= writes this file"):
        OutputConfig(json="out", junit="./out")


@pytest.mark.parametrize("key", ["baseline", "candidate"])
def test_what_is_compared_is_not_written_over(key: str) -> None:
    with pytest.raises(ValueError, match=f"json=.*: is the {key}; name another file"):
        CompareConfig(**{**SIDES, "json": f"./{SIDES[key]}"})


@pytest.mark.parametrize("key", ["baseline", "candidate"])
def test_both_sides_must_be_named(key: str) -> None:
    with pytest.raises(ValueError, match=f"^{key}: must be given"):
        CompareConfig.from_dict({**SIDES, key: "???"})
    with pytest.raises(ValueError, match=f"{key}=: must name a results folder or a baseline file"):
        CompareConfig.from_dict({**SIDES, key: ""})


def test_only_a_file_that_is_not_the_candidate_is_accepted(tmp_path: Path) -> None:
    folder = str(tmp_path)
    with pytest.raises(ValueError, match=r"accept=true stores a file, and this is a folder"):
        CompareConfig(baseline=folder, candidate="results", accept=True)
    with pytest.raises(ValueError, match=r"candidate=a\.json: is the baseline itself"):
        CompareConfig(baseline="a.json", candidate="a.json", accept=True)
    assert CompareConfig(baseline="new.json", candidate=folder, accept=True).accept


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValueError, match="allpha: no such key"):
        CompareConfig.from_dict({**SIDES, "allpha": 0.1})


def test_keys_that_may_have_been_meant_are_known() -> None:
    assert {"baseline", "junit", "alpha", "min_effect.latency_p50_ms"} < set(
        known_keys(CompareConfig)
    )
