"""Every option of conf/stream, conf/drift and conf/fault composes, and its keys have a schema."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_object
from omegaconf import OmegaConf

from bench.cli.app import register
from bench.config.maintain import SCHEDULES, DriftConfig, FaultConfig, StreamConfig
from bench.core.checks import KeyGroup
from bench.core.files import config_dir
from bench.drift.streams.build import make_stream
from tests.cli.command import own_modules

GROUPS: dict[str, type[KeyGroup]] = {
    "stream": StreamConfig,
    "drift": DriftConfig,
    "fault": FaultConfig,
}
NEEDS = {
    "stream=csv": [f"stream.source.{key}=a" for key in ("path", "target", "time")],
    "stream=custom": ["stream.source._target_=my_package.my_pool", "+stream.source.any=1"],
}
OPTIONS = [(group, path.stem) for group in GROUPS for path in (config_dir() / group).glob("*.yaml")]


def composed(group: str, option: str, *overrides: str) -> Any:
    register()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        chosen = [f"+{group}={option}", "+seed=7", *overrides]
        config = compose(overrides=chosen)
    values: Any = OmegaConf.to_container(config, resolve=True)
    return GROUPS[group].from_dict(values[group], f"{group}.")


@pytest.mark.parametrize(("group", "option"), sorted(OPTIONS))
def test_an_option_is_in_range(group: str, option: str) -> None:
    config = composed(group, option, *NEEDS.get(f"{group}={option}", []))
    if isinstance(config, (DriftConfig, FaultConfig)):
        assert config.kind == option
    if group == "stream" and option != "custom":
        assert callable(get_object(config.source["_target_"]))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("kind", ["covariate", "label", "concept"])
def test_a_drift_as_configured_suits_the_default_stream(kind: str, schedule: str) -> None:
    drift = composed("drift", kind, f"drift.schedule={schedule}")
    stream = make_stream(composed("stream", "synthetic"), drift, seed=7)
    assert sum(len(stream.samples(window)) for window in range(stream.num_windows)) == 8000


def test_a_stream_of_the_users_own_keeps_its_order_and_the_times_of_its_labels() -> None:
    """examples/my_stream.py, as its first line says."""
    with own_modules(config_dir().parent / "examples"):
        stream = make_stream(
            composed("stream", "custom", "stream.source._target_=my_stream.pump"), DriftConfig(), 0
        )
    ids = np.concatenate([stream.samples(window).ids for window in range(stream.num_windows)])
    assert ids.tolist() == list(range(500, 2500))
    known_after = stream.samples(0).known_after
    assert known_after is not None
    assert known_after[[0, 48, 49, 50]].tolist() == [49, 1, 0, 49]
    assert stream.samples(19).labels.mean() > stream.initial.labels.mean()
