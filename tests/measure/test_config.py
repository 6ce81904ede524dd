"""The groups meter, grid and price: each option composes and instantiates; mistakes are refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from bench.cli.app import register
from bench.measure.carbon import CodeCarbonTracker
from bench.measure.cost import Price
from bench.measure.meters.auto import auto_meters

CONF = Path(__file__).parents[2] / "conf"
BASE = (
    "+grid=country",
    "+meter=auto",
    "+codecarbon=default",
    "+price=this_machine",
)


@pytest.fixture(autouse=True)
def _hydra() -> Iterator[None]:
    register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def composed(*overrides: str) -> DictConfig:
    return compose(overrides=[*BASE, *overrides])


def test_the_defaults_instantiate() -> None:
    config = composed()
    made = {name: type(instantiate(node)) for name, node in config.meter.sources.items()}
    # What the library takes by default is what the configuration names.
    assert made == {name: type(meter) for name, meter in auto_meters().items()}
    assert isinstance(instantiate(config.codecarbon), CodeCarbonTracker)
    assert config.codecarbon.country_iso_code == "USA"


@pytest.mark.parametrize("path", sorted(CONF.glob("price/*.yaml")), ids=lambda path: path.stem)
def test_every_price_instantiates_and_says_its_source(path: Path) -> None:
    config = compose(overrides=[f"+price={path.stem}"])
    price = instantiate(config.price)
    assert isinstance(price, Price)
    assert price.name == path.stem
    assert re.fullmatch(r"20\d\d-[01]\d(-[0-3]\d)?", price.date), "a month or a day"
    assert price.source


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("meter.sources.cpu_model.idel_w=3", "idel_w"),
        ("meter.sources.cpu_model.full_w=a lot", "full_w"),
        ("codecarbon.tracking=process", "tracking"),
        ("grid.country=DEU", "country"),
        ("price.usd_per_hour=cheap", "usd_per_hour"),
    ],
)
def test_a_wrong_key_or_type_is_refused_by_name(override: str, message: str) -> None:
    with pytest.raises(HydraException) as refused:
        composed(override)
    assert message in f"{refused.value} {refused.value.__cause__}"


@pytest.mark.parametrize("path", sorted(CONF.glob("meter/*.yaml")), ids=lambda path: path.stem)
def test_every_meter_composes_and_those_named_are_required(path: Path) -> None:
    config = composed(f"meter={path.stem}")
    for node in config.meter.sources.values():
        instantiate(node)
    assert config.meter.required == (path.stem not in {"auto", "none"})
    assert (path.stem == "none") == (not config.meter.sources)


def test_a_country_reaches_codecarbon() -> None:
    config = composed("grid.country_iso_code=DEU")
    assert OmegaConf.to_container(config.codecarbon, resolve=True) == {
        "_target_": "bench.measure.carbon.CodeCarbonTracker",
        "country_iso_code": "DEU",
        "measure_period_s": 15.0,
        "tracking_mode": "machine",
    }
