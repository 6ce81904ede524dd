"""Plans command lines of bench.serve without running them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from bench.cli.app import register
from bench.core.files import config_dir
from bench.core.identity import config_hash
from bench.serving.plan import plan_serving, serving_values, spread_serving


def composed(results: Path, *overrides: str) -> DictConfig:
    register()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        given = [f"results={results}", *overrides]
        return compose("serve", overrides=given, return_hydra_config=True)


def plan(results: Path, *overrides: str) -> None:
    plan_serving(composed(results, "run=latest", *overrides))


@pytest.mark.parametrize("variable", ["TORCHDYNAMO_DISABLE", "TORCH_COMPILE_DISABLE"])
@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (["backend=compile"], "backend=compile"),
        (["backend=http", "backend.http.runtime=compile"], "backend.http.runtime=compile"),
    ],
)
def test_compiling_where_the_environment_switches_the_compiler_off_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    overrides: list[str],
    key: str,
) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(ValueError, match=f"^{key}: {variable}=1 ") as caught:
        plan(tmp_path, *overrides)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "overrides",
    [
        ["backend=eager"],
        ["backend=http", "backend.http.runtime=onnxruntime"],
        # A server of the user's own compiles, or does not, whatever the environment is here.
        ["backend=http", "backend.http.runtime=compile", "backend.http.url=http://127.0.0.1:1"],
    ],
)
def test_what_does_not_compile_here_does_not_care(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: list[str]
) -> None:
    monkeypatch.setenv("TORCHDYNAMO_DISABLE", "1")
    with pytest.raises(ValueError, match="run=latest: no training run of that name"):
        plan(tmp_path, *overrides)


def test_a_batch_size_that_the_server_would_ignore_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^scenario\.max_batch_size=4: has no effect with .*http"):
        plan(tmp_path, "backend=http", "scenario.max_batch_size=4")
    for fine in (["backend=http", "backend.http.max_batch_size=4"], ["scenario.max_batch_size=4"]):
        with pytest.raises(ValueError, match="run=latest: no training run of that name"):
            plan(tmp_path, *fine)


def test_each_run_of_a_glob_is_a_job_of_its_own_for_a_launcher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [tmp_path / "train" / "20261128T100000Z-0123456789ab-01234567", Path("/other, place/x")]
    monkeypatch.setattr("bench.serving.plan.servable_runs", lambda *_, **__: found)
    overrides = ["backend=eager", "run='*'", "scenario=offline"]
    values = serving_values(composed(tmp_path, *overrides))
    assert spread_serving(values, overrides) == [
        [f"run={found[0].name}", "backend=eager", "scenario=offline"],
        ["run='/other, place/x'", "backend=eager", "scenario=offline"],
    ]
    monkeypatch.setattr("bench.serving.plan.servable_runs", lambda *_, **__: found[:1])
    assert spread_serving(values, overrides) == [overrides]


def test_servings_of_before_there_was_skew_are_repeats_of_those_without(tmp_path: Path) -> None:
    values = serving_values(composed(tmp_path, "run=latest", "check_skew=false"))
    before = {k: v for k, v in values.items() if k not in ("skew", "beside", "check_skew")}
    assert config_hash(values) == config_hash(before)
    for other in ("skew=missing", "beside=retraining"):
        assert config_hash(serving_values(composed(tmp_path, "run=latest", other))) != config_hash(
            before
        )
