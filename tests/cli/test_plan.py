"""What is refused before anything starts, as the command tells it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from bench.cli.app import one_line
from tests.cli.planning import plan


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("target.valeu=0.9", "target.valeu: no such key; did you mean target.value"),
        ("batch_size=big", "batch_size"),
        ("batch_size=0", "batch_size=0: must be at least 1"),
        ("lr=-0.1", "lr=-0.1: must be a positive number"),
        ("target.value=1.5", "target.value=1.5: accuracy lies between 0 and 1"),
        ("target.metric=auc", "target.metric=auc: must be one of accuracy"),
        ("model.width=wide", "model.width"),
        ("model.widht=1", "model.widht"),
        ("model=custom", "model._target_"),
        ("+target.goal=1", "target.goal: no such key"),
        ("price.usd_per_hour=dear", "price.usd_per_hour"),
        ("meter.idle_s=-1", "meter.idle_s=-1.0: must be at least 0"),
    ],
)
def test_what_cannot_be_planned_is_one_line_that_names_the_key(
    argument: str, words: str, tmp_path: Path
) -> None:
    """The command prints it and ends with 2: see test_train_command.py."""
    with pytest.raises((HydraException, OmegaConfBaseException, ValueError)) as caught:
        plan(tmp_path, argument)
    told = one_line(caught.value)
    assert words in told
    assert "\n" not in told
