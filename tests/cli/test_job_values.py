"""The values planned for the jobs of a sweep equal those that Hydra composes for each job."""

from __future__ import annotations

import copy
import itertools
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bench.cli.app import register
from bench.cli.job_values import JobValues
from bench.cli.overrides import resolved_values
from bench.core.files import config_dir

# What a sweep may give each key: right and wrong types, nulls, lists, quotes and interpolations.
CHOICES: dict[str, list[str]] = {
    "seed": ["0", "7", "-3", "007", "1_000", "x", "null", "1.5", "true", "'4'", "${repeat}"],
    "repeat": ["1", "2"],
    "batch_size": ["16", "64", "0x10"],
    "lr": ["1", "1e-3", ".5", "inf", "nan", "'0.1'", "null"],
    "results": ["r", "'a b'", '"it\\\'s"', "~/x", "$HOME", "''", "a=b", "'???'", "'${seed}'"],
    "data.split_seed": ["3", "${seed}", "${..repeat}", "null"],
    "data.in_memory": ["null", "true", "yes", "1"],
    "data": ["digits", "custom", "mnist"],
    "model": ["mlp", "cnn", "nosuch"],
    "model.width": ["8", "${batch_size}", "wide"],
    "+model.own": ["1", "null", "[1,2]", "{a:1}", "'{a:1}'", "${seed}", "text"],
    "++model.depth": ["2", "3"],
    "+model.deep.er": ["1", "[]"],
    "~model.dropout": ["", "0.0"],
    "target.ladder": ["[]", "[0.5,0.9]", "[1]", "0.5", "null", "[x]", "[${lr}]", "[0.5,[1]]"],
    "target.eval_every_samples": ["null", "64"],
    "grid.country_iso_code": ["DEU", "FRA", "null", "???"],
    "codecarbon.country_iso_code": ["AUT", "${grid.country_iso_code}"],
    "precision": ["32", "'32'", "bf16-mixed"],
    "trainer": ["auto", "cpu", "{devices:2}"],
    "trainer.devices": ["1", "2"],
    "target": ["default", "{value:0.5}"],
    "experiment": ["smoke", "null"],
    "nosuch": ["1"],
    "meter.sources": ["{}", "null"],
}


@pytest.fixture(scope="module")
def loader() -> Iterator[ConfigLoader]:
    register()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        yield hydra.config_loader


class Ways:
    """JobValues beside Hydra, with a count of the configurations that Hydra composed."""

    def __init__(self, loader: ConfigLoader) -> None:
        self.num_composed = 0
        self._loader = loader
        values = JobValues(self.compose, self._is_group)
        self.find, self.derive = values.find, values.compose

    def compose(self, overrides: list[str]) -> DictConfig:
        self.num_composed += 1
        return self._loader.load_configuration("train", overrides, run_mode=RunMode.RUN)

    def _is_group(self, name: str) -> bool:
        return bool(self._loader.get_group_options(name, results_filter=None))


def swept(given: dict[str, list[str]]) -> list[list[str]]:
    columns = [
        [key if key.startswith("~") and not value else f"{key}={value}" for value in values]
        for key, values in given.items()
    ]
    return [list(job) for job in itertools.product(*columns)]


def same(first: Any, second: Any) -> bool:
    """Also of the same types: 1 is not 1.0, and NaN is what it is."""
    return repr(first) == repr(second)


def whole(config: DictConfig | None) -> Any:
    """A configuration before it is resolved, with Hydra's own part and the types of its nodes."""
    assert config is not None
    plain = OmegaConf.to_container(config)
    return plain, {key: type(config._get_node(key)) for key in config}, OmegaConf.is_struct(config)


@given(st.data())
@settings(
    max_examples=int(os.environ.get("JOB_VALUES_EXAMPLES", "5")),
    deadline=None,
    phases=[Phase.generate],  # shrinking would compose for minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_job_values_equal_those_of_hydra(loader: ConfigLoader, data: st.DataObject) -> None:
    keys = data.draw(st.lists(st.sampled_from(sorted(CHOICES)), max_size=4, unique=True))
    jobs = swept(
        {
            key: data.draw(st.lists(st.sampled_from(CHOICES[key]), min_size=1, max_size=3))
            for key in keys
        }
    )
    ways = Ways(loader)
    for job in jobs[:4]:
        values = copy.deepcopy(ways.find(job))
        if values is not None:
            composed, derived = ways.compose(job), ways.derive(job)
            assert same(values, resolved_values(composed)), job
            assert same(whole(derived), whole(composed)), job


def test_jobs_that_differ_in_plain_values_are_composed_once_for_each_choice(
    loader: ConfigLoader,
) -> None:
    ways = Ways(loader)
    jobs = swept(
        {
            "model": ["mlp", "cnn"],
            "+optimizer.own": ["1", "2"],
            "lr": ["0.1", "1"],
            "target.ladder": ["[]", "[0.5]"],
            "results": ["'a b'", "c"],
            "grid.country_iso_code": ["DEU", "FRA"],  # of which CodeCarbon has a copy
        }
    )
    seen = [copy.deepcopy(ways.find(job)) for job in jobs]
    assert ways.num_composed == 2
    for job, values in list(zip(jobs, seen, strict=True))[::31]:
        assert values is not None
        assert same(values, resolved_values(ways.compose(job)))
    last = seen[-1]
    assert last is not None
    assert last["codecarbon"]["country_iso_code"] == last["grid"]["country_iso_code"] == "FRA"
    assert last["lr"] == 1.0


@pytest.mark.parametrize(
    "job",
    [
        ["seed=many"],
        ["seed=null"],
        ["nosuch=1"],
        ["model=nosuch"],
        ["+model.width=1"],
        ["grid.country_iso_code=???"],
        ["seed=${nosuch}"],
    ],
)
def test_hydra_reports_wrong_jobs(loader: ConfigLoader, job: list[str]) -> None:
    ways = Ways(loader)
    assert ways.find(["seed=1", "model.width=8"]) is not None
    assert ways.find(job) is None
    with pytest.raises((HydraException, OmegaConfBaseException)):
        resolved_values(ways.compose(job))


def test_a_wrong_value_leaves_nothing_behind(loader: ConfigLoader) -> None:
    ways = Ways(loader)
    jobs = [[f"lr={lr}", f"seed={seed}"] for lr, seed in [("0.1", 1), ("0.2", "x"), ("0.1", 2)]]
    first = copy.deepcopy(ways.find(jobs[0]))
    assert first is not None
    assert ways.find(jobs[1]) is None
    assert same(ways.find(jobs[2]), {**first, "seed": 2})


@pytest.mark.parametrize(
    "jobs",
    [
        [["model.width=1", "model={width:2}"], ["model.width=3", "model={width:2}"]],
        [["~model.dropout=0.0", "model.depth=1"], ["~model.dropout=0.0", "model.depth=2"]],
        [["results='${hydra.job.override_dirname}'", "seed=1"]],
    ],
)
def test_hydra_composes_jobs_that_depend_on_other_keys(
    loader: ConfigLoader, jobs: list[list[str]]
) -> None:
    ways = Ways(loader)
    assert [ways.find(job) for job in jobs] == [None] * len(jobs)
