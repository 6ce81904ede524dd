"""The conformance kit as a plugin of pytest: the option --tool, and the tests' tools and cases."""

from __future__ import annotations

import sys

import pytest

from tests.conformance.adapters import TOOLS, find_tool
from tests.conformance.cases import CASES
from tests.conformance.judge import ToolFactory
from tests.conformance.known_failures import KNOWN_FAILURES

_TOOLS = pytest.StashKey[dict[str, ToolFactory]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--tool",
        action="append",
        metavar="MODULE:CLASS",
        help=(
            "run this adapter of an energy tool through the conformance kit, or one of "
            f"{', '.join(TOOLS)}; may be repeated (default: those)"
        ),
    )


def pytest_configure(config: pytest.Config) -> None:
    # In a run of the whole suite, this file is read too late to add an option.
    names = config.getoption("--tool", None)
    if names:
        sys.path.append(str(config.invocation_params.dir))  # as `python -m pytest` does
    try:
        config.stash[_TOOLS] = {name: find_tool(name) for name in names or TOOLS}
    except ValueError as error:
        raise pytest.UsageError(f"--tool {error}") from error


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if not {"tool", "case"} <= set(metafunc.fixturenames):
        return
    params = []
    for name, make_tool in metafunc.config.stash[_TOOLS].items():
        for case in CASES:
            known = KNOWN_FAILURES.get(name, {}).get(case.name)
            # Strict, so that a release that gets it right shows.
            failure = pytest.mark.xfail(
                reason=known or "", strict=True, raises=pytest.fail.Exception
            )
            marks = [failure] if known else []
            params.append(pytest.param(make_tool, case, marks=marks, id=f"{name}: {case.name}"))
    metafunc.parametrize(("tool", "case"), params)
