"""Every tool in every case. Run your own with `--tool MODULE:CLASS` (docs/conformance.md)."""

from __future__ import annotations

from functools import cache

import pytest

from benchmarks.energy_accuracy import DOCS, rendered
from tests.conformance.adapters import TOOLS
from tests.conformance.cases import CASES, Case
from tests.conformance.judge import ToolFactory, outcome

_outcome = cache(outcome)


def test_conforms(tool: ToolFactory, case: Case) -> None:
    found = _outcome(tool, case)
    if found.conforms is None:
        pytest.skip(found.reason)
    if not found.conforms:
        pytest.fail(found.complaint, pytrace=False)


def test_the_docs_have_the_table_of_today(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--tool", None):
        pytest.skip("the table is of the tools of the kit")
    outcomes = {
        name: [_outcome(make_tool, case) for case in CASES] for name, make_tool in TOOLS.items()
    }
    if any(one.answer == "not run" for one in outcomes["Zeus"][:1]):
        pytest.skip(outcomes["Zeus"][0].reason)
    page = DOCS.read_text()
    assert rendered(page, outcomes) == page, "run `python -m benchmarks.energy_accuracy --docs`"
