"""Packages whose own code runs only when it is needed."""

from __future__ import annotations

import importlib
import pickle
import sys
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

from bench.launch.deferred_package import defer, forget

_NAME = "package_of_the_tests"
_INIT = f"""
import {_NAME}.slow
from {_NAME}.light import light
other = "other"
ran.append(__name__)
"""


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What has run of a package with a light and a slow module."""
    found: list[str] = []
    folder = tmp_path / _NAME
    folder.mkdir()
    monkeypatch.setattr("builtins.ran", found, raising=False)
    for name, text in {
        "__init__": _INIT,
        "light": "light = 1\nran.append(__name__)",
        "slow": "ran.append(__name__)",
    }.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield found
    forget(_NAME)


def _deferred() -> ModuleType:
    return defer(_NAME, {"light": f"{_NAME}.light"})


def test_a_module_is_imported_without_its_package(ran: list[str]) -> None:
    _deferred()
    assert importlib.import_module(f"{_NAME}.light").light == 1
    assert ran == [f"{_NAME}.light"]


def test_a_name_with_a_home_needs_only_that_module(ran: list[str]) -> None:
    assert _deferred().light == 1
    assert ran == [f"{_NAME}.light"]
    assert not hasattr(sys.modules[_NAME], "__wrapped__")  # inspect asks for it
    assert ran == [f"{_NAME}.light"]


def test_any_other_name_runs_the_package_once(ran: list[str]) -> None:
    module = _deferred()
    assert module.other == "other"
    assert ran == [f"{_NAME}.slow", f"{_NAME}.light", _NAME]
    with pytest.raises(AttributeError, match="has no attribute 'missing'"):
        _ = module.missing
    assert module.light == 1
    assert len(ran) == 3


class _Nameless:
    """Pickled by its name, which pickle looks for in every module, because this has none."""

    __module__ = None  # type: ignore[assignment]

    def __reduce__(self) -> str:
        return "a_name_that_no_module_has"


def test_a_name_that_the_package_does_not_contain_runs_nothing(ran: list[str]) -> None:
    module = _deferred()
    with pytest.raises(AttributeError, match="has no attribute 'missing'"):
        _ = module.missing
    with pytest.raises(pickle.PicklingError):
        pickle.dumps(_Nameless())
    assert ran == []


def test_a_package_without_source_may_define_any_name(
    ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SourceFileLoader, "get_source", lambda loader, name: None)
    assert not hasattr(_deferred(), "missing")
    assert _NAME in ran


def test_a_package_that_fails_can_be_tried_again(ran: list[str], tmp_path: Path) -> None:
    module = _deferred()
    (tmp_path / _NAME / "slow.py").write_text("raise ImportError('no such library')")
    importlib.invalidate_caches()
    for _ in range(2):
        with pytest.raises(ImportError, match="no such library"):
            _ = module.other


def test_what_is_imported_stays_as_it_is(ran: list[str]) -> None:
    module = importlib.import_module(_NAME)
    assert _deferred() is module
    assert type(module) is ModuleType
    forget(_NAME)
    assert not {name for name in sys.modules if name.startswith(_NAME)}


def test_a_package_must_exist() -> None:
    with pytest.raises(ModuleNotFoundError, match="No module named 'no_such_package'"):
        defer("no_such_package", {})
