"""Which optional libraries are installed, and which data sets are there."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from bench.core.files import config_dir
from bench.core.host import PROJECT
from bench.diagnosis.model import Finding
from bench.tasks.sources import ROOT_VARIABLE, find_data

_HOW_TO_INSTALL = "docs/install.md shows how to install an extra"
_DEVELOPMENT = "dev"  # for those who change this project


def extras() -> list[Finding]:
    """One finding for each extra of this project."""
    return [_extra(name, needed) for name, needed in _extras().items() if name != _DEVELOPMENT]


def _extras() -> dict[str, list[Requirement]]:
    """The libraries of each extra that this machine needs.

    From the checkout if there is one: what is known of its installation may be older.
    """
    file = config_dir().parent / "pyproject.toml"
    if file.is_file():
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        lines = project["optional-dependencies"]
    else:
        package = metadata.metadata(PROJECT)
        names = package.get_all("Provides-Extra") or []
        lines = dict.fromkeys(names, metadata.requires(PROJECT) or [])
    return {name: _for_this_machine(lines[name], name) for name in lines}


def _for_this_machine(lines: Iterable[str], extra: str) -> list[Requirement]:
    """Of a package's requirements, those that only this extra has here."""
    needed = [Requirement(line) for line in lines]
    # In a checkout, a line without a marker is of the extra that it stands in.
    return [
        each for each in needed if each.marker is None or each.marker.evaluate({"extra": extra})
    ]


def _extra(name: str, needed: list[Requirement]) -> Finding:
    found = {each.name: _version(each.name) for each in needed}
    missing = [str(each.name) for each in needed if found[each.name] is None]
    old = [
        f"{each.name} {version} ({each.specifier} is needed)"
        for each in needed
        if (version := found[each.name]) is not None
        and not each.specifier.contains(version, prereleases=True)
    ]
    if not missing and not old:
        return Finding(name=name, state="good", text="")
    parts = [f"without {', '.join(missing)}"] if missing else []
    return Finding(
        name=name,
        state="bad" if old else "note",
        text="; ".join([*parts, *old]),
        remedy=_HOW_TO_INSTALL,
    )


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def data_sets() -> list[Finding]:
    """One finding for each data set that is read from files."""
    try:
        found: Mapping[str, Path | None] = find_data()
    except ValueError as error:  # BENCH_DATA_ROOT names no folder
        return [Finding(name=ROOT_VARIABLE, state="bad", text=str(error))]
    return [_data_set(name, folder) for name, folder in found.items()]


def _data_set(name: str, folder: Path | None) -> Finding:
    if folder is not None:
        return Finding(name=name, state="good", text=str(folder))
    return Finding(
        name=name,
        state="note",
        text="not here; the first run that needs it downloads it",
        remedy=f"without a network, set {ROOT_VARIABLE} to a folder that holds it",
    )
