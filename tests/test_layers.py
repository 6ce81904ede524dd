"""Imports follow the direction in CONTRIBUTING.md, and there is no cycle."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Which packages each may import, itself aside: parts, then what is built on several of them, then
# flows, then commands. Flows never import one another, but `drift` imports `training`, and
# `diagnosis` imports `gate`.
_PARTS = {"core", "config", "measure", "tasks", "compression", "launch", "search"}
_SHARED = {"cli", "runs"}
_FLOWS = {"training", "serving", "gate", "programs"}
ALLOWED: dict[str, set[str]] = {
    "core": set(),
    "config": {"core"},
    "launch": {"core"},
    "measure": {"core", "config"},
    "tasks": {"core", "config"},
    "compression": {"core", "config", "measure", "tasks"},
    "search": {"core", "config"},
    "cli": {"core", "config", "launch", "search"},
    "runs": _PARTS | {"cli"},
    **dict.fromkeys(_FLOWS, _PARTS | _SHARED),
    "gate": _PARTS | _SHARED | {"verification"},
    # Maintaining a model contains retraining it, so this flow is built on another one.
    "drift": _PARTS | _SHARED | {"training"},
    # It repeats the arithmetic of records; the gate may ask for it.
    "verification": _PARTS | _SHARED,
    # It judges a short step as the gate does.
    "diagnosis": _PARTS | _SHARED | {"gate"},
    "command": {"core"} | _SHARED | _FLOWS | {"drift", "diagnosis", "verification"},
    "plugin": _PARTS | _SHARED | _FLOWS | {"drift"},
    "analysis": {"core", "config"},
    "analysis command": {"core", "config", "cli", "analysis"},
}
ANALYSIS_COMMANDS = ("export", "plot", "report")
# Third parties that only some packages may import.
CONFINED = {
    "torch": {"tasks", "compression", "runs", "training", "serving", "drift", "diagnosis"},
    "pytorch_lightning": {"tasks", "compression", "runs", "training", "serving", "drift"},
    # Flows make the parts that a configuration names.
    "hydra": {
        *("cli", "runs", "training", "serving", "drift", "diagnosis"),
        *("command", "analysis command", "plugin"),
    },
    "omegaconf": {
        *("cli", "training", "serving", "drift"),
        *("command", "analysis command", "plugin"),
    },
    "pynvml": {"measure"},
    "codecarbon": {"measure"},
    "psutil": {"measure"},
    "optuna": {"search"},
}


def package_of(path: Path) -> str:
    parts = path.relative_to(ROOT).parts
    if parts[0] == "analysis":
        is_command = len(parts) == 2 and path.stem in ANALYSIS_COMMANDS
        return "analysis command" if is_command else "analysis"
    if parts[0] == "hydra_plugins":
        return "plugin"  # Hydra's own place for what is a part of the command line
    if path.name == "__main__.py":
        return "command"
    return parts[1] if len(parts) > 2 else "command"


@cache
def imports_of(path: Path) -> list[str]:
    return list(_imports_in(path))


def _imports_in(path: Path) -> Iterator[str]:
    for node in _statements(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _statements(above: ast.AST) -> Iterator[ast.AST]:
    """All statements below a node; the expressions in them, most of all nodes, import nothing."""
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        for node in getattr(above, field, ()):
            yield node
            yield from _statements(node)


FOLDERS = ("bench", "analysis", "hydra_plugins")
SOURCES = sorted(path for folder in FOLDERS for path in ROOT.glob(f"{folder}/**/*.py"))
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in SOURCES
}


def breaches(path: Path) -> Iterator[str]:
    """What a file imports and may not."""
    package = package_of(path)
    for name in imports_of(path):
        head, *rest = name.split(".")
        other = None
        if head in ("bench", "analysis") and rest and name in MODULES:
            other = package_of(MODULES[name])
        if package not in CONFINED.get(head, {package}) or (
            other not in (None, package, "command") and other not in ALLOWED[package]
        ):
            yield f"{path.relative_to(ROOT)}: {package} may not import {name}"


def test_imports_point_one_way() -> None:
    found = [breach for path in SOURCES for breach in breaches(path)]
    assert not found, "\n".join(found)


OWNERS = {"pynvml": r"gpu(_\w+)?\.py", "codecarbon": r"carbon\.py", "psutil": r"system\.py"}


@pytest.mark.parametrize("library", OWNERS)
def test_a_hardware_library_has_one_owner(library: str) -> None:
    owners = [
        path.name
        for path in SOURCES
        if any(name.split(".")[0] == library for name in imports_of(path))
    ]
    assert owners
    assert all(re.fullmatch(OWNERS[library], name) for name in owners), owners


def test_there_is_no_cycle_of_imports() -> None:
    graph = {
        module: {name for name in imports_of(path) if name in MODULES and name != module}
        for module, path in MODULES.items()
    }
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join([*trail, module])
        if module not in done:
            for name in sorted(graph[module]):
                visit(name, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_commands_are_thin_and_files_stay_readable() -> None:
    for path in SOURCES:
        lines = len(path.read_text().splitlines())
        most = 60 if package_of(path).endswith("command") else 300
        assert lines <= most, f"{path}: {lines} lines"
