"""Each option of conf/detector makes the detector of that name."""

from __future__ import annotations

from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException
from hydra.utils import instantiate

from bench.cli.app import register
from bench.config.nodes import NODES
from bench.core.files import config_dir
from bench.drift.detectors.base import Detector

CONF = config_dir()
OPTIONS = sorted(path.stem for path in (CONF / "detector").glob("*.yaml"))


def made(*overrides: str) -> Any:
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return instantiate(compose(overrides=list(overrides)).detector)


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_makes_the_detector_of_its_name(option: str) -> None:
    if option == "none":
        assert made("+detector=none") == {}
        return
    own = ["detector._target_=bench.drift.detectors.two_sample.TwoSample"]
    detector = made(f"+detector={option}", *(own if option == "custom" else []))
    assert isinstance(detector, Detector)
    assert detector.name == ("two_sample" if option == "custom" else option)
    assert detector.library == ("river" if not detector.is_controlled else None)


def test_options_and_schema_are_the_same() -> None:
    assert sorted([*NODES["detector"], "none", "custom"]) == OPTIONS


def test_a_misspelt_key_is_refused() -> None:
    with pytest.raises(ConfigCompositionException):
        made("+detector=error_eprocess", "detector.tolerances=0.1")
