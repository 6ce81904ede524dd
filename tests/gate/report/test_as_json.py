"""A comparison as JSON: all of it, in words that every parser knows."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.gate.model import Comparison, GateRow
from bench.gate.report.writers import FORMAT_VERSION, as_json
from tests.gate.made_rows import FAILED, REGRESSED, UNCHANGED, comparison, ratio


def refuse(token: str) -> float:
    raise AssertionError(f"{token} is not JSON")


def read(made: Comparison) -> dict[str, Any]:
    """As a strict parser does: NaN and Infinity are an error."""
    read: dict[str, Any] = json.loads(as_json(made), parse_constant=refuse)
    return read


def test_everything_is_there_with_the_verdict_and_the_exit_code() -> None:
    content = read(comparison([UNCHANGED, REGRESSED], [FAILED], ["drifted"]))
    assert content["format_version"] == FORMAT_VERSION == 2
    assert content["exit_code"] == 5
    assert content["verdict"].startswith("A RUN FAILED: ")
    assert {field.name for field in fields(Comparison)} < set(content)
    assert content["problems"] == [{"kind": "failed", "message": FAILED.message, "exit_code": 5}]
    assert content["remarks"] == ["drifted"]
    assert content["provenance"]["base"]["commits"] == ["a" * 40]
    row = content["rows"][1]
    assert set(row) == {field.name for field in fields(GateRow)}
    assert row["metric"]["name"] == "time_to_target_s"
    assert row["ratio"]["high"] == 1.163
    assert row["verdict"] == "regression"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float64("nan")])
def test_a_number_that_is_not_finite_is_null(value: float) -> None:
    odd = replace(REGRESSED, base=value, p=value, ratio=ratio(value, 1.0, None))
    (row,) = read(comparison([odd], provenance={"base": {"load": [value]}}))["rows"]
    assert (row["base"], row["p"], row["ratio"]["value"]) == (None, None, None)


def test_numbers_of_numpy_are_numbers_and_paths_are_texts() -> None:
    odd = {"base": {"runs": np.int64(8), "load": (np.float32(0.5),), "at": Path("results")}}
    content = read(comparison([REGRESSED], provenance=odd))
    assert content["provenance"] == {"base": {"runs": 8, "load": [0.5], "at": "results"}}


def test_halves_of_characters_are_shown_as_their_codes() -> None:
    """A strict reader refuses them, even escaped."""
    text = as_json(comparison([REGRESSED], remarks=["a \ud800 b"]))
    assert r"\\ud800" in text
    assert read(comparison([REGRESSED], remarks=["a \ud800 b"]))["remarks"] == [r"a \ud800 b"]
