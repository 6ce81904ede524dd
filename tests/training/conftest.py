"""Fixtures of the tests of trainings."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from lightning_fabric.utilities import registry
from pytorch_lightning.trainer.connectors import callback_connector

from bench.core.records.run import RunRecord
from bench.tasks.neutral import unchanged
from tests.training.in_process import Make, make_run


@pytest.fixture(scope="session", autouse=True)
def _callbacks_of_other_packages_are_found_once() -> Iterator[None]:
    """For each Trainer, Lightning reads anew what all installed packages offer: 5 ms."""
    find_once = cache(registry._load_external_callbacks)
    with mock.patch.object(callback_connector, "_load_external_callbacks", find_once):
        yield


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """make_run() in a folder of the test; seeds and random states are put back."""

    def of(configuration: Mapping[str, Any], **changes: Any) -> tuple[RunRecord, Path]:
        return make_run(tmp_path, configuration, changes)

    with mock.patch.dict(os.environ), unchanged([]):
        yield of
