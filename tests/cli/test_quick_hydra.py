"""The fast Hydra of these tests (quick_hydra.py) composes the same as unmodified Hydra."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from bench.cli.app import register
from bench.core.files import config_dir
from tests.cli.quick_hydra import quick_hydra


@pytest.fixture(scope="module", autouse=True)
def _hydra_is_quick() -> None:
    """Not in this module, in place of the one in conftest.py."""


def composed(folder: Path, command: str, *overrides: str) -> DictConfig:
    register()
    with initialize_config_dir(str(folder), version_base="1.3"):
        return compose(command, overrides=list(overrides), return_hydra_config=True)


def whole(node: Any) -> Any:
    """The values of a configuration, with the types and the flags of its nodes."""
    content = node._value()
    if isinstance(content, dict):
        content = {key: whole(each) for key, each in content.items()}
    elif isinstance(content, list):
        content = [whole(each) for each in content]
    metadata = replace(node._metadata, resolver_cache={})  # what time it was
    return type(node), repr(metadata), content


@pytest.mark.parametrize(
    ("command", "overrides"),
    [
        ("train", []),
        ("train", ["experiment=smoke", "model=cnn", "model.width=8", "+model.own=${seed}"]),
        # Merged before; order counts.
        ("train", ["+own={a:1,b:2}", "model=cnn", "~own.a", "experiment=smoke", "++own.c=3"]),
        ("train", ["hydra/sweeper=race", "hydra.sweeper.max_seeds=2", "seed=1", "~codecarbon"]),
        ("serve", ["run=x", "placement=cloud", "hydra.job.env_copy=[HOME]", "backend=http"]),
    ],
)
def test_a_cached_configuration_is_not_changed_by_its_users(
    command: str, overrides: list[str]
) -> None:
    expected = whole(composed(config_dir(), command, *overrides))
    with quick_hydra():
        for _ in range(2):
            config = composed(config_dir(), command, *overrides)
            assert whole(config) == expected
            assert whole(copy.deepcopy(config)) == expected
            OmegaConf.set_struct(config, False)
            config.clear()


@pytest.mark.parametrize("overrides", [["lr=1,2"], ["seed=1", "+lr=1", "model=cnn"]])
def test_the_errors_are_those_of_hydra(overrides: list[str]) -> None:
    def error() -> tuple[str, str]:
        with pytest.raises(HydraException) as caught:
            composed(config_dir(), "train", *overrides)
        return str(caught.value), str(caught.value.__cause__)

    expected = error()
    with quick_hydra():
        assert error() == expected


def test_defaults_may_refer_to_chosen_options(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for group in ("first", "second"):
            (tmp_path / group).mkdir(exist_ok=True)
            (tmp_path / group / f"{name}.yaml").write_text(f"name: {name}\n")
    (tmp_path / "own.yaml").write_text("defaults: [first: a, second: '${first}', _self_]\n")
    with quick_hydra():
        assert composed(tmp_path, "own").second.name == "a"
        assert composed(tmp_path, "own", "first=b").second.name == "b"


def test_a_file_that_a_test_made_is_read_again(tmp_path: Path) -> None:
    with quick_hydra():
        for text in ("first", "second"):
            (tmp_path / "own.yaml").write_text(f"text: {text}\n")
            assert composed(tmp_path, "own").text == text
