"""experiment=fashion_mnist_90_fast: its keys can be swept, are checked, and lead to a training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from bench.cli.messages import one_line
from bench.config.train import TrainConfig
from bench.core.files import config_dir
from bench.tasks.patches import WhitenedPatches
from bench.training.parts import task_parts_on
from tests.cli.planning import plan

pytestmark = pytest.mark.xdist_group("jobs")  # one worker, so that one server forks them

FAST = "experiment=fashion_mnist_90_fast"
TEXTBOOK = "experiment=fashion_mnist_90"
# For each key of the recipe: another value, and a wrong one.
OTHER_VALUES = {
    "batch_size": ("512", "0"),
    "lr": ("0.1", "-1"),
    "lr_reference_batch_size": ("512", "0"),
    "model.width": ("32", "0"),
    "model.depth": ("1", "0"),
    "model.growth": ("2", "0"),
    "model.patch_size": ("0", "-1"),
    "model.patch_stride": ("4", "0"),
    "model.whitening": ("false", "some"),
    "model.early_pooling": ("false", "some"),
    "schedule.warmup_frac": ("0.3", "1"),
    "schedule.anneal_strategy": ("cos", "cosine"),
    "target.value": ("0.91", "90"),
    "target.eval_every_samples": ("6400", "0"),
    "target.ladder": ("[0.9]", "[90]"),
    "budget.max_epochs": ("1", "0"),
    "trainer.channels_last": ("false", "some"),
}


def leaves(node: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}"


@pytest.fixture(autouse=True)
def _no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of Fashion-MNIST need not be on this machine to plan a run."""
    monkeypatch.setattr("bench.training.plan.require", lambda _: None)


@cache
def own_digest() -> str:
    """Of the recipe as it is; the results folder is no part of it."""
    return plan(Path("results"), FAST).digest


def test_each_key_of_the_recipe_is_tried_below() -> None:
    path = config_dir() / "experiment" / "fashion_mnist_90_fast.yaml"
    recipe = yaml.safe_load(path.read_text())
    assert set(leaves(recipe)) - {"defaults"} == OTHER_VALUES.keys()


@pytest.mark.parametrize("key", OTHER_VALUES)
def test_each_key_can_be_swept_and_is_checked(key: str, tmp_path: Path) -> None:
    other, wrong = OTHER_VALUES[key]
    assert plan(tmp_path, FAST, f"{key}={other}").digest != own_digest()
    with pytest.raises(Exception) as caught:  # noqa: PT011 -- Hydra's, OmegaConf's or ours
        plan(tmp_path, FAST, f"{key}={wrong}")
    message = one_line(caught.value, "train")
    assert message.startswith(key)
    assert "\n" not in message


def test_both_recipes_have_the_same_data_and_the_same_target(tmp_path: Path) -> None:
    fast, textbook = (plan(tmp_path, each).config for each in (FAST, TEXTBOOK))
    assert fast["data"] == textbook["data"]
    assert fast["target"] == textbook["target"]
    assert fast["target"]["rule"] == "first"


class Images:
    """A few random images of the shape of Fashion-MNIST's."""

    input_shape = (1, 28, 28)
    num_classes = 10
    num_train_samples = 512


def test_the_recipe_makes_what_its_keys_say(tmp_path: Path) -> None:
    config = TrainConfig.from_dict(plan(tmp_path, FAST, "label_smoothing=0.2").config)
    parts = task_parts_on(config, Images(), None)
    stem, *_ = parts.module.network.children()
    assert isinstance(stem, WhitenedPatches)
    assert stem(torch.rand(2, 1, 28, 28)).shape == (2, 32, 9, 9)
    # By hand: all probabilities are 1/10, and so are the smoothed targets on average.
    loss = parts.task.loss(torch.zeros(1, 10), torch.tensor([3]))
    assert loss.item() == pytest.approx(2.302585)
    confident = parts.task.loss(torch.tensor([[0.0] * 9 + [100.0]]), torch.tensor([9]))
    # 0.2 of the target lies evenly on ten classes, nine of which have a logit of 0, not 100.
    assert confident.item() == pytest.approx(0.2 * 0.9 * 100)
