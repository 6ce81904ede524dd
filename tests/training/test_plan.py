"""What the command refuses before anything starts, and its messages."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from bench.cli.messages import one_line
from bench.core.identity import UNHASHED
from bench.training.parts import model_name
from tests.cli.planning import plan

pytestmark = pytest.mark.xdist_group("jobs")  # one worker, so that one server forks them


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("target.valeu=0.9", "target.valeu: no such key; did you mean target.value"),
        ("batch_size=big", "batch_size"),
        ("batch_size=0", "batch_size=0: must be at least 1"),
        ("batch_size=99999999999999999999", "must be at most 2147483647"),
        ("seed=4294967296", "seed=4294967296: must be at most 4294967295"),
        ("repeat=99999999999999999999", "repeat=99999999999999999999: must be at most 2147483647"),
        ("trainer.num_threads=99999", "trainer.num_threads=99999: must be at most 1024"),
        ("lr=-0.1", "lr=-0.1: must be a positive number"),
        ("target.value=1.5", "target.value=1.5: accuracy lies between 0 and 1"),
        ("target.metric=auc", "target.metric=auc: must be one of loss, accuracy"),
        ("model.width=wide", "model.width"),
        ("model.widht=1", "model.widht"),
        ("model=custom", "model._target_"),
        ("+target.goal=1", "target.goal: no such key"),
        ("price.usd_per_hour=dear", "price.usd_per_hour"),
        ("meter.idle_s=-1", "meter.idle_s=-1.0: must be at least 0"),
        ("data.batch_size=64", "data.batch_size: no such key; did you mean batch_size or "),
        ("+data.batch_size=64", "data.batch_size=64: would be ignored, because batch_size decides"),
        ("+data.seed=0", "data.seed=0: would be ignored, because seed decides it"),
        ("+optimizer.lr=0.5", "optimizer.lr=0.5: contradicts lr=0.003; give only lr"),
        ("+optimizer.lr=0.003", "optimizer.lr=0.003: would be ignored, because lr decides it"),
        ("+optimizer.params=[]", "optimizer.params=[]: would be ignored, because model decides"),
        ("+schedule.lr=5", "schedule.lr=5: contradicts lr=0.003; give only lr"),
        ("+schedule.lr=null", "schedule.lr=None: would be ignored, because lr decides it"),
        ("+schedule.optimizer=1", "schedule.optimizer=1: would be ignored, because optimizer"),
        ("+schedule.total_steps=5", "would be ignored, because budget.max_epochs decides it"),
        ("+logger.save_dir=/tmp", "logger.save_dir=/tmp: would be ignored, because results"),
        (
            "codecarbon.country_iso_code=DEU",
            "codecarbon.country_iso_code=DEU: contradicts grid.country_iso_code=USA",
        ),
    ],
)
def test_what_cannot_be_planned_is_one_line_that_names_the_key(
    argument: str, words: str, tmp_path: Path
) -> None:
    """The command prints it and ends with 2: see test_train_command.py."""
    with pytest.raises((HydraException, OmegaConfBaseException, ValueError)) as caught:
        plan(tmp_path, argument)
    told = one_line(caught.value, "train")
    assert words in told
    assert "\n" not in told


def test_a_budget_of_joules_needs_a_meter(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"budget\.max_energy_j=5: nothing would check it with"):
        plan(tmp_path, "budget.max_energy_j=5", "meter=none")
    plan(tmp_path, "budget.max_energy_j=5", "meter=cpu_model")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PL_TRAINER_FAST_DEV_RUN", "1", "PL_TRAINER_FAST_DEV_RUN=1: Lightning would train by it"),
        ("TORCHDYNAMO_DISABLE", "1", "trainer.compile=true: TORCHDYNAMO_DISABLE=1 lets"),
    ],
)
def test_an_environment_that_makes_the_configuration_untrue_is_refused(
    name: str, value: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=words):
        plan(tmp_path, "trainer.compile=true")


def test_the_options_are_kept_as_they_were_chosen(tmp_path: Path) -> None:
    planned = plan(tmp_path, "model=cnn", "optimizer=adamw")
    choices = planned.config["choices"]
    assert (choices["model"], choices["optimizer"], choices["data"]) == ("cnn", "adamw", "digits")
    assert choices.keys() <= planned.config.keys()
    assert model_name(planned.config) == "cnn"


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        (["model=resnet18"], "resnet18"),
        (["model=torchvision", "model.name=densenet121"], "densenet121"),
        (["model=custom", "model._target_=tests.cli.broken.Linear"], "Linear"),
    ],
)
def test_a_model_is_called_what_the_user_calls_it(
    overrides: list[str], name: str, tmp_path: Path
) -> None:
    assert model_name(plan(tmp_path, *overrides).config) == name


def test_what_the_parts_are_called_does_not_change_the_hash(tmp_path: Path) -> None:
    planned = plan(tmp_path)
    assert "choices" in UNHASHED
    assert planned.digest == plan(tmp_path, "data=digits", "model=mlp").digest
