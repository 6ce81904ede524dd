"""The names in docs/architecture.md exist."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
NAMES = sorted(set(re.findall(r"`((?:bench|analysis)(?:\.\w+)+)`", PAGE)))
PATHS = sorted(set(re.findall(r"`([\w/]+/(?:\w+\.\w+)?)`", PAGE)))


@pytest.mark.parametrize("name", NAMES)
def test_a_name_can_be_imported(name: str) -> None:
    parts = name.split(".")
    depth = next(n for n in range(len(parts), 0, -1) if _is_module(parts[:n]))
    found = importlib.import_module(".".join(parts[:depth]))
    for part in parts[depth:]:
        found = getattr(found, part)


def _is_module(parts: list[str]) -> bool:
    path = ROOT.joinpath(*parts)
    return path.is_dir() or path.with_suffix(".py").is_file()


@pytest.mark.parametrize("path", PATHS)
def test_a_path_exists(path: str) -> None:
    assert (ROOT / path).exists() or (ROOT / "analysis" / path).exists() or _below(path)


def _below(path: str) -> bool:
    """Named beside the folder that it is in, as `meters/` of bench/measure is."""
    return bool(list(ROOT.glob(f"bench/*/{path}")))


def test_all_packages_are_on_the_map() -> None:
    packages = {f"bench/{path.parent.name}/" for path in ROOT.glob("bench/*/__init__.py")}
    assert [package for package in sorted(packages) if f"`{package}`" not in PAGE] == []
