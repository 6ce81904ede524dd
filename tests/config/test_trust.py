"""Which names of a stored configuration are allowed; tests/runs/test_trained.py calls them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from bench.config.nodes import NODES
from bench.config.trust import (
    BUILT_IN,
    ModuleName,
    list_targets,
    require_defined,
    require_trusted,
)
from bench.core.identity import config_hash

OURS = {
    "data": {"_target_": "bench.tasks.data.digits", "batch_size": 32},
    "model": {"_target_": "bench.tasks.models.Mlp", "width": 4},
}


def refused(config: dict[str, Any], *trust: str) -> str | None:
    try:
        require_trusted(config, Path("runs/theirs"), trust)
    except ValueError as error:
        reason = str(error)
    else:
        return None
    assert len(reason.splitlines()) == 1
    assert len(reason) < 600
    return reason


def test_targets_of_this_projects_options_need_no_trust() -> None:
    assert len(BUILT_IN) == 14
    for part in ("data", "model"):
        for node in NODES[part].values():
            assert refused({**OURS, part: {"_target_": vars(node)["_target_"]}}) is None


def test_trust_covers_a_module_and_everything_below_it_only() -> None:
    def model(target: object) -> dict[str, Any]:
        return {**OURS, "model": {"_target_": target}}

    assert refused(model("mine.nets.Net"), "mine") is None
    assert refused(model("mine.nets.Net"), "mine.nets") is None
    assert refused(model("mine.nets.Net"), "mine.nets.Net") is None
    for trust in ("mine.net", "min", "mine.nets.Net.make", "other"):
        assert refused(model("mine.nets.Net"), trust) == (
            "runs/theirs: its model._target_=mine.nets.Net is neither code of this project "
            "nor code that you trust, and somebody else may have written this folder; if you know "
            "that code, allow it with trust=[mine]"
        )
    for odd in (
        None,
        3,
        ["mine.Net"],
        {"_target_": "mine.Net"},
        "",
        "mine..Net",
        "mine.Net\n",
    ):
        assert "do not use this run" in str(refused(model(odd), "mine"))


def test_targets_at_every_depth_are_checked() -> None:
    for node in (
        {"_target_": "evil.f"},
        {"a": {"b": [1, {"c": {"_target_": "evil.f"}}]}},
        [[[{"_target_": "evil.f", "_partial_": True}]]],
    ):
        assert "_target_=evil.f" in str(refused({**OURS, "data": {**OURS["data"], "x": node}}))
    deep: Any = {"_target_": "evil.f"}
    for _ in range(5000):
        deep = [deep]
    assert "nested too deeply" in str(refused({**OURS, "model": {**OURS["model"], "x": deep}}))
    for text in ("${oc.env:HOME}", ["${oc.decode:x}"], "a${b}"):
        assert "interpolation" in str(refused({**OURS, "model": {**OURS["model"], "x": text}}))
    assert "interpolation" in str(refused({**OURS, "model": {**OURS["model"], "${x}": 1}}))


def test_a_missing_part_is_named() -> None:
    for config in ({}, {"data": OURS["data"]}, {**OURS, "model": []}, {**OURS, "model": {"a": 1}}):
        assert "has no " in str(refused(config))


def test_foreign_text_is_shortened_to_one_line() -> None:
    target = "evil." + "x" * 10_000
    assert "evil.xxx" in str(refused({**OURS, "model": {"_target_": target}}))
    assert "\x1b" not in str(refused({**OURS, "model": {"_target_": "\x1b[2J"}}))


def test_an_imported_object_needs_its_full_name_in_trust() -> None:
    folder = Path("runs/theirs")
    require_defined("tests.core.Path", Path, folder, ["tests.core.Path"])
    require_defined("bench.tasks.data.digits", None, folder, [])
    strange: list[object] = [Path, print, "".join, 3, Path("x")]
    for found in strange:
        with pytest.raises(ValueError, match=r"mine\.found, .*trust=\[mine\.found\]"):
            require_defined("mine.found", found, folder, ["mine"])


def test_trust_takes_names_of_modules_and_is_not_hashed() -> None:
    trusting = TypeAdapter(ModuleName)
    for name in ("my_package", "my_package.nets", "größe"):
        assert trusting.validate_python(name) == name
    for wrong in ("*", "", "a/b.py", "a.", "1a", "a b"):
        with pytest.raises(ValueError, match=r"such as trust=\[my_package\]"):
            trusting.validate_python(wrong)
    assert config_hash({**OURS, "trust": ["a"]}) == config_hash(OURS)


def test_targets_of_a_configuration_are_listed() -> None:
    nested = {**OURS, "model": {"_target_": "mine.Net", "body": {"_target_": "mine.Body"}}}
    assert sorted(list_targets(nested)) == ["bench.tasks.data.digits", "mine.Body", "mine.Net"]
