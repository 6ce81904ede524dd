"""The kit itself: how it judges, and how it takes an adapter of anyone."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from benchmarks.energy_accuracy import DOCS
from tests.conformance.adapters import TOOLS, Ours, find_tool
from tests.conformance.cases import CASES
from tests.conformance.judge import judged, outcome
from tests.conformance.known_failures import KNOWN_FAILURES
from tests.conformance.tool import EnergyTool, Machine, Measured, NotRun

CASE = {case.name: case for case in CASES}
CONSTANT = CASE["RAPL, constant 100 W"]
MIG = CASE["MIG, card named"]


@pytest.mark.parametrize(
    ("measured", "if_knowable", "if_unknowable"),
    [
        # Without a bound, a number is held to 1%.
        (Measured(energy_j=101.0), "within", "within"),
        (Measured(energy_j=101.1), "wrong", "wrong"),
        # A bound is held against a tool, and excuses it only where nobody can know better.
        (Measured(energy_j=100.5, bound_j=0.4), "wrong", "wrong"),
        (Measured(energy_j=90.0, bound_j=10.0), "wrong", "within"),
        (Measured(energy_j=89.9, bound_j=10.0), "wrong", "wrong"),
        (Measured(energy_j=89.9, bound_j=10.0, doubts=("gap",)), "marked", "marked"),
        # A bound of everything says nothing, so these 50 J are held to 1%, too.
        (Measured(energy_j=50.0, bound_j=50.0), "wrong", "wrong"),
        (Measured(energy_j=0.0), "wrong", "wrong"),
    ],
)
def test_joules_are_judged_by_what_the_tool_claims_and_the_hardware_shows(
    measured: Measured, if_knowable: str, if_unknowable: str
) -> None:
    known, unknown = judged(CONSTANT, measured, 100.0), judged(MIG, measured, 100.0)
    assert (known.answer, known.conforms) == (if_knowable, if_knowable == "within")
    assert (unknown.answer, unknown.conforms) == (if_unknowable, if_unknowable != "wrong")


def test_the_truth_is_the_integral_of_the_power() -> None:
    # 10 s at 50 W and 20 s at 150 W; 100 W and 300 W together for 30 s; the fourth of eight cards.
    assert CASE["RAPL, step 50 to 150 W"].true_j(1000.0) == pytest.approx(3500.0)
    assert CASE["GPU beside a package"].true_j(1000.0) == pytest.approx(12000.0)
    assert CASE["eight GPUs, one used, all visible"].true_j(1000.0) == pytest.approx(160.0 * 30)


def test_a_tool_that_raises_has_crashed_and_one_that_does_not_fit_is_not_run() -> None:
    class Broken(EnergyTool):
        def open(self, machine: Machine) -> None:
            raise ZeroDivisionError("of what")

    class Elsewhere(EnergyTool):
        def open(self, machine: Machine) -> None:
            raise NotRun("only on Windows")

    crashed, elsewhere = outcome(Broken, MIG), outcome(Elsewhere, MIG)
    assert crashed.complaint.endswith("itself: ZeroDivisionError: of what")
    assert (crashed.answer, crashed.conforms) == ("crashed", False)
    assert (elsewhere.answer, elsewhere.conforms, elsewhere.reason) == (
        ("not run", None, "only on Windows")
    )


def test_a_meter_that_counts_double_does_not_conform() -> None:
    class Double(Ours):
        def stop(self) -> Measured:
            measured = super().stop()
            return replace(measured, energy_j=2 * measured.energy_j)

    found = outcome(Double, CONSTANT)
    # Refreshes of 1 ms may add 0.1 J at each edge. The bound is half of the usual 5%.
    assert found.complaint == (
        "off by +100.01% of 3000 J, with a bound of 2.51% and nothing marked as doubtful"
    )


def test_the_adapter_in_the_docs_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.S)
    names: dict[str, type[EnergyTool]] = {}
    exec(code, names)
    counter = names["PackageCounter"]
    assert outcome(counter, CONSTANT).conforms
    # It knows nothing of wraps: the range is missing in 3000 J of the difference.
    wrapped = outcome(counter, CASE["RAPL, a wrap in the middle"])
    assert wrapped.answer == "wrong"
    assert wrapped.error_frac == pytest.approx(-262143.329 / 3000)
    assert outcome(counter, MIG).reason == "there is no processor package"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("CodeCarbn", "must be MODULE:CLASS, or one of"),
        ("no_such_module:Tool", "No module named 'no_such_module'"),
        ("tests.conformance.adapters:Tool", "has no attribute 'Tool'"),
    ],
)
def test_a_tool_that_cannot_be_found_is_named(name: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{name}: .*{reason}"):
        find_tool(name)


def test_a_tool_is_found_by_its_place_or_its_name() -> None:
    assert find_tool("tests.conformance.adapters:Ours") is Ours
    assert find_tool("ours") is Ours


def test_known_failures_are_of_cases_that_exist() -> None:
    assert all(KNOWN_FAILURES[tool].keys() <= CASE.keys() for tool in KNOWN_FAILURES)
    assert KNOWN_FAILURES.keys() <= TOOLS.keys() - {"ours"}
