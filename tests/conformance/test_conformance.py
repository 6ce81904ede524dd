"""Every tool in every case. Run your own with `--tool MODULE:CLASS` (docs/conformance.md)."""

from __future__ import annotations

from functools import cache

import pytest

from benchmarks.energy_accuracy import DOCS, Outcomes, failures, rendered
from tests.conformance.adapters import TOOLS
from tests.conformance.case import Case
from tests.conformance.cases import CASES
from tests.conformance.judge import ToolFactory, outcome

_outcome = cache(outcome)


def test_conforms(tool: ToolFactory, case: Case) -> None:
    found = _outcome(tool, case)
    if found.conforms is None:
        pytest.skip(found.reason)
    if not found.conforms:
        pytest.fail(found.complaint, pytrace=False)


@pytest.fixture
def outcomes(request: pytest.FixtureRequest) -> Outcomes:
    """What the tools of the kit made of each case."""
    if request.config.getoption("--tool", None):
        pytest.skip("this is about the tools of the kit")
    return {
        name: [_outcome(make_tool, case) for case in CASES] for name, make_tool in TOOLS.items()
    }


def test_ours_is_exact_where_it_can_be_and_never_worse_than_the_others(outcomes: Outcomes) -> None:
    assert failures(outcomes) == []


def test_the_docs_have_the_table_of_today(outcomes: Outcomes) -> None:
    if outcomes["Zeus"][0].answer == "not run":
        pytest.skip(outcomes["Zeus"][0].reason)
    page = DOCS.read_text()
    assert rendered(page, outcomes) == page, "run `python -m benchmarks.energy_accuracy --docs`"
