"""A comparison as JUnit XML, valid by the schema of Jenkins' xUnit plugin.

junit.xsd is that plugin's junit-10.xsd, as the source distribution of pytest 9.1.1 carries it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import xmlschema

from bench.gate.model import Comparison, Problem
from bench.gate.report.writers import junit_xml
from tests.gate.made_rows import (
    EXACT,
    FAILED,
    IMPROVED,
    MODELLED,
    OTHER_HOST,
    REGRESSED,
    UNCHANGED,
    UNDERPOWERED,
    comparison,
)

SCHEMA = xmlschema.XMLSchema(Path(__file__).with_name("junit.xsd"))
EVERYTHING = comparison(
    [UNCHANGED, REGRESSED, EXACT, UNDERPOWERED, IMPROVED, MODELLED],
    [OTHER_HOST, FAILED],
    ["the candidate drifted"],
)


def suite_of(made: Comparison) -> ElementTree.Element:
    """The one test suite of a valid file."""
    text = junit_xml(made)
    root = ElementTree.fromstring(text)
    SCHEMA.validate(root)
    (suite,) = root
    assert (root.tag, suite.tag) == ("testsuites", "testsuite")
    return suite


def outcomes(suite: ElementTree.Element) -> dict[str, list[str]]:
    """What each test case holds, by its name."""
    return {case.attrib["name"]: [each.tag for each in case] for case in suite.iter("testcase")}


def test_each_row_is_a_test_case_and_each_problem_an_error() -> None:
    suite = suite_of(EVERYTHING)
    assert outcomes(suite) == {
        "1: incomparable": ["error"],
        "2: failed": ["error"],
        "latency_p50_ms": ["system-out"],
        "time_to_target_s": ["failure"],
        "samples_to_target": ["system-out"],
        "latency_p99_ms": ["skipped"],
        "throughput_per_s": ["system-out"],
        "energy_to_target_j": ["skipped"],
    }
    counts = {name: suite.attrib[name] for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "8", "failures": "1", "errors": "2", "skipped": "2"}


def test_a_failure_says_what_the_table_says() -> None:
    (case,) = suite_of(comparison([REGRESSED])).iter("testcase")
    assert case.attrib["classname"] == "train.batch_size=32"
    (failure,) = case
    assert failure.attrib == {
        "type": "regression",
        "message": "455 -> 510 ms, +12% [+8%, +16%]: regression: counts from +5%",
    }
    assert failure.text is not None
    assert "p: 0.0012" in failure.text.splitlines()


def test_a_configuration_without_a_name_has_a_class_all_the_same() -> None:
    (case,) = suite_of(comparison([replace(REGRESSED, configuration="")])).iter("testcase")
    assert case.attrib["classname"] == "train.defaults"


def test_properties_name_the_origin_of_both_sides() -> None:
    properties = {
        each.attrib["name"]: each.attrib["value"] for each in suite_of(EVERYTHING).iter("property")
    }
    assert properties["verdict"].startswith("INCOMPARABLE: ")
    assert properties["exit_code"] == "4"
    assert properties["base"] == "perf/baseline.json"
    assert properties["base.commits"] == f'["{"a" * 40}"]'
    assert properties["candidate.num_runs"] == "8"
    assert properties["remark.1"] == "the candidate drifted"


@pytest.mark.parametrize("odd", ['<&>"\n]]>', "null \x00 escape \x1b[31m", "half \ud800", "é 🙂"])
def test_whatever_a_message_holds_the_file_is_valid(odd: str) -> None:
    problem = Problem(kind="failed", message=odd, exit_code=5)
    suite = suite_of(
        comparison([replace(REGRESSED, configuration=odd, note=odd)], [problem], [odd])
    )
    assert outcomes(suite) == {"1: failed": ["error"], "time_to_target_s": ["failure"]}


def test_a_comparison_without_rows_is_a_valid_file() -> None:
    assert outcomes(suite_of(comparison([], [FAILED]))) == {"1: failed": ["error"]}


def test_the_schema_refuses_what_is_not_junit() -> None:
    root = ElementTree.fromstring(junit_xml(EVERYTHING))
    ElementTree.SubElement(root[0], "verdict")
    with pytest.raises(xmlschema.XMLSchemaValidationError):
        SCHEMA.validate(root)
