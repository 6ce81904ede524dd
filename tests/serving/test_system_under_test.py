"""The facts recorded about a system under test, and the complaints about its passes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from typing_extensions import override

from bench.core.records.placement import Placement
from bench.serving.system import System
from bench.serving.system_under_test import UnderTest
from tests.serving.fakes import FakeBackend, InstantSystem
from tests.serving.made_passes import result


class CompilingBackend(FakeBackend):
    """Has compiled for so many seconds."""

    seconds = 2.0

    @property
    @override
    def compile_s(self) -> float | None:
        return self.seconds


class FailingSystem(InstantSystem):
    @override
    def failure_reasons(self) -> list[str]:
        return ["3 requests failed: HTTP 500: no room"]


def under_test(system: System | None = None, **more: Any) -> UnderTest:
    return UnderTest(
        system=system or InstantSystem(),
        runtime="fake",
        max_batch_size=1,
        answers_at_once=True,
        placement=Placement(name="local"),
        **more,
    )


def test_nothing_speaks_against_an_ordinary_pass() -> None:
    assert under_test(backend=CompilingBackend()).complaints(result()) == []


def test_compiling_speaks_against_the_pass_in_which_it_happened_and_no_other() -> None:
    backend = CompilingBackend()
    found = under_test(backend=backend)
    backend.seconds = 3.0
    (complaint,) = found.complaints(result())
    assert "compiled for a new batch size in the middle" in complaint
    assert found.complaints(result()) == []


def test_failed_requests_are_reported_with_their_reason() -> None:
    found = under_test(FailingSystem())
    assert found.complaints(result()) == ["3 requests failed: HTTP 500: no room"]


@pytest.mark.parametrize(
    ("facts", "gpus"),
    [({"device": "cuda", "gpu_uuid": "GPU-1"}, ["GPU-1"]), ({"device": "cpu"}, []), ({}, [])],
)
def test_the_gpus_of_a_run_are_those_that_its_model_runs_on(
    facts: Mapping[str, str], gpus: list[str]
) -> None:
    assert under_test(facts=facts).gpus == gpus
