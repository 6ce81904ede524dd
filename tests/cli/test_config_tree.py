"""Every experiment and every option of every group composes, and its classes can be created."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from hydra._internal.hydra import Hydra
from hydra.utils import instantiate
from torch import nn

from bench.cli.app import _mode_by_flag, register
from bench.cli.conf_files import is_global, read_conf
from bench.cli.help import command_docs
from bench.cli.overrides import plain_values
from bench.config.maintain import MaintainConfig
from bench.config.serve import ServeConfig
from bench.config.train import ProbeConfig, TrainConfig
from bench.core.files import config_dir
from bench.runs.instruments import build_window
from bench.training.plan import check_values, hash_of

CONF = config_dir()
_EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
# Those of bench.maintain say so in their name.
MAINTAINING = [name for name in _EXPERIMENTS if name.startswith("maintain_")]
EXPERIMENTS = [name for name in _EXPERIMENTS if name not in MAINTAINING]
OPTIONAL = ("timm", "transformers")


def rows_of(*groups: str) -> list[tuple[str, ...]]:
    """All options of these groups, each once: one of every group at a time, as long as it has some.

    Options of different groups do not meet in the configuration, so that one composition is enough
    to compose them all.
    """
    columns = ([f"{group}={name}" for name in names_of(group)] for group in groups)
    return [tuple(filter(None, row)) for row in zip_longest(*columns)]


def names_of(group: str) -> list[str]:
    """What needs an optional library comes last, where no other option is skipped with it."""
    names = (path.stem for path in (CONF / group).glob("*.yaml"))
    return sorted(names, key=lambda name: (name in OPTIONAL, name))


# Loggers of extras are refused by name where the extra is missing: tests/cli/test_train_command.py.
GROUPS = (
    "optimizer",
    "schedule",
    "target",
    "trainer",
    "sampler",
    "meter",
    "codecarbon",
    "probe",
    "price",
    "recipe",
)
OPTIONS = [*rows_of("model", "data"), *rows_of(*GROUPS)]
NEEDS = {
    "data=csv": ["data.path=table.csv", "data.target=y"],
    "data=custom": ["data._target_=bench.tasks.data.digits"],
    "model=custom": ["model._target_=tests.cli.broken.Linear"],
    "model=timm": ["model.name=resnet10t"],
    "model=torchvision": ["model.name=mnasnet0_5"],
    "model=transformers": [
        "model.name=vit",
        "+model.config.num_hidden_layers=1",
        "+model.config.patch_size=4",
    ],
    "recipe=distill": ["recipe.teacher=latest"],
    "recipe=prune": ["recipe.run=latest"],
    "optimizer=custom": ["optimizer._target_=torch.optim.RMSprop"],
}
SHAPES = {"digits": (1, 8, 8), "fashion_mnist": (1, 28, 28), "mnist": (1, 28, 28)}
READ_ONCE, IS_GLOBAL = cache(read_conf), cache(is_global)


@pytest.fixture(autouse=True)
def hydra() -> Iterator[None]:
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def values_of(*overrides: str) -> dict[str, Any]:
    values = plain_values(compose("train", overrides=list(overrides)))
    check_values(values)
    return values


def make_all(config: dict[str, Any]) -> nn.Module:
    """Instantiate every part but the data itself, which may not be on this machine."""
    instantiate(config["data"], batch_size=32, seed=0)  # reads nothing before setup()
    name = config["data"]["_target_"].rpartition(".")[2]
    sizes: dict[str, Any] = {"input_shape": SHAPES.get(name, (3, 32, 32)), "num_classes": 10}
    if config["model"]["_target_"] == "bench.tasks.gpt.Gpt":
        sizes = {"input_shape": (16,), "vocabulary_size": 256, "context": 16}
    model: nn.Module = instantiate(config["model"], **sizes)
    optimizer = instantiate(config["optimizer"])(model.parameters(), lr=0.1)
    instantiate(config["schedule"])(optimizer=optimizer, lr=0.1, total_steps=100)
    build_window(TrainConfig.from_dict(config), lambda: None)
    instantiate(config["price"])
    ProbeConfig.from_dict(config["probe"])
    return model


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_and_instantiates(experiment: str) -> None:
    config = values_of(f"experiment={experiment}")
    TrainConfig.from_dict(config)
    model = make_all(config)
    assert sum(parameter.numel() for parameter in model.parameters()) > 0


@pytest.mark.parametrize("experiment", MAINTAINING)
def test_every_experiment_of_maintaining_composes_and_is_in_range(experiment: str) -> None:
    values = plain_values(compose("maintain", overrides=[f"experiment={experiment}"]))
    MaintainConfig.from_dict(values)


MAINTAIN_GROUPS = ("stream", "drift", "fault", "labels", "detector", "policy", "retrain")
# What a user must give besides the option.
MAINTAIN_NEEDS = {
    "stream=custom": ["stream.source._target_=my.pool"],
    "stream=csv": ["stream.source.path=a.csv", "stream.source.target=y", "stream.source.time=t"],
    "detector=custom": ["detector._target_=my.Detector"],
    "policy=custom": ["policy._target_=my.Policy"],
}


@pytest.mark.parametrize("options", rows_of(*MAINTAIN_GROUPS), ids=" ".join)
def test_every_option_of_maintaining_composes_and_is_in_range(options: tuple[str, ...]) -> None:
    overrides = [each for option in options for each in (option, *MAINTAIN_NEEDS.get(option, []))]
    config = MaintainConfig.from_dict(plain_values(compose("maintain", overrides=overrides)))
    for group, _, name in (option.partition("=") for option in options):
        if group in ("drift", "fault", "labels"):
            assert getattr(config, group).kind == name


SERVE_OPTIONS = (*rows_of("backend", "scenario", "compression", "skew"), *rows_of("beside"))
# The field with the name of the option, where it is not `name`.
_NAMED_BY = {"compression": "method", "skew": "kind"}


def serving(*overrides: str) -> ServeConfig:
    composed = compose("serve", overrides=["run=latest", *overrides])
    return ServeConfig.from_dict(plain_values(composed))


@pytest.mark.parametrize("options", SERVE_OPTIONS, ids=" ".join)
def test_every_option_of_serving_composes_and_is_in_range(options: tuple[str, ...]) -> None:
    own = ["backend._target_=my_package.MyBackend"] if "backend=custom" in options else []
    config = serving(*options, *own)
    if own:
        assert own == [f"{config.backend.runtime_key}={config.backend.runtime}"]
    for group, _, name in (option.partition("=") for option in options):
        chosen = getattr(config, group)
        assert name == getattr(chosen, _NAMED_BY.get(group, "name"), "none")


@pytest.mark.parametrize("name", names_of("placement"))
def test_every_placement_composes_and_is_in_range(name: str) -> None:
    assert serving("backend=http", f"placement={name}").placement.name == name


def test_a_cloud_placement_is_rented_unless_a_price_is_given() -> None:
    def price(*overrides: str) -> str:
        config = compose("serve", overrides=["run=latest", "placement=cloud", *overrides])
        return str(config.price.name)

    assert price() == "aws_m7g_large"
    assert price("price=azure_d2s_v5") == "azure_d2s_v5"


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_every_option_composes_and_instantiates(options: tuple[str, ...]) -> None:
    if (library := options[0].removeprefix("model=")) in OPTIONAL:
        pytest.importorskip(library)
    make_all(values_of(*(each for option in options for each in (option, *NEEDS.get(option, [])))))


@pytest.mark.parametrize("command", sorted(path.stem for path in CONF.glob("*.yaml")))
def test_every_option_and_every_key_of_it_has_a_comment(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("conf_files", "help"):  # each option would read most files anew
        monkeypatch.setattr(f"bench.cli.{module}.read_conf", READ_ONCE)
    monkeypatch.setattr("bench.cli.help.is_global", IS_GLOBAL)
    options = command_docs(command, []).options
    chosen = [[], *([f"{group}={each}"] for group, names in options.items() for each in names)]
    for arguments in chosen:
        for part in command_docs(command, arguments).parts:
            assert part.about, part.title
            without = [key.name for key in part.keys if key.value is not None and not key.comment]
            assert not without, (arguments, without)


def test_no_file_decides_whether_hydra_sweeps() -> None:
    """What `_mode_by_flag` relies on."""
    for path in CONF.rglob("*.yaml"):
        content = yaml.safe_load(path.read_text()) or {}
        of_hydra = content if "hydra" in path.relative_to(CONF).parts else content.get("hydra", {})
        assert "mode" not in of_hydra, path


@pytest.mark.parametrize(
    ("arguments", "may_decide"),
    [
        (["lr=0.1"], False),
        (["-m", "lr=0.1,0.2"], False),
        (["-m", "lr=0.1,0.2", "hydra/sweeper=race", "hydra.sweeper.max_seeds=2"], False),
        (["lr=0.1", "hydra.mode=MULTIRUN"], True),
        (["lr=0.1", "hydra/sweeper=race", "hydra.mode=MULTIRUN"], True),
        (["+hydra.searchpath=[pkg://mine]"], True),
        (["--config-dir", "mine"], True),
    ],
)
def test_hydra_composes_to_find_its_mode_where_an_argument_may_decide_it(
    arguments: list[str], may_decide: bool
) -> None:
    as_it_is = Hydra.get_mode
    with _mode_by_flag(arguments):
        assert (Hydra.get_mode is as_it_is) == may_decide
    assert Hydra.get_mode is as_it_is


def test_seed_and_repeat_do_not_change_the_hash_but_batch_size_does() -> None:
    def digest(*overrides: str) -> str:
        return hash_of(compose("train", overrides=list(overrides)))

    plain_digest = digest()
    assert digest("seed=1", "repeat=2", "results=elsewhere", "shared=true") == plain_digest
    assert digest("data=mnist", "data.root=/x") == digest("data=mnist")
    assert digest("price=aws_m7g_large", "grid.country_iso_code=DEU") == plain_digest
    assert digest("batch_size=64") != plain_digest
    assert digest("data.split_seed=1") != plain_digest


def test_an_installed_package_finds_its_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wheel puts conf/ inside bench/; the checkout has it beside."""
    assert config_dir() == Path(__file__).parents[2] / "conf"
    (tmp_path / "conf").mkdir()
    monkeypatch.setattr("bench.__path__", [str(tmp_path)])
    assert config_dir() == tmp_path / "conf"


def test_warm_up_changes_neither_weights_nor_statistics_nor_random_state() -> None:
    from bench.training.parts import build_task_parts

    config = values_of("model=cnn", "trainer=cpu")
    torch.manual_seed(0)
    parts = build_task_parts(TrainConfig.from_dict(config), None)
    before = {name: value.clone() for name, value in parts.module.state_dict().items()}
    state = torch.get_rng_state()
    parts.compile_and_warm_up()
    assert torch.equal(torch.get_rng_state(), state)
    after = parts.module.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert all(parameter.grad is None for parameter in parts.module.parameters())
