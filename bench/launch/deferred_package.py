"""Makes modules of a package importable without running the code of the package itself.

Python runs the `__init__` of a package before any module in it. That of some packages imports all
modules, with every optional library that happens to be installed.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Mapping
from functools import cache
from importlib.abc import InspectLoader
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any, cast


class _Deferred(ModuleType):
    """A package that runs its own code when it is asked for a name that this may define."""

    def __getattr__(self, name: str) -> Any:
        spec = cast("ModuleSpec", self.__spec__)
        homes: Mapping[str, str] = spec.loader_state
        if name in homes:
            return getattr(importlib.import_module(homes[name]), name)
        # Python asks every module for names with "__", and pickle for those of objects that do not
        # know their module, such as torch.channels_last.
        if name.startswith("__") or not _may_define(spec, name):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name)
        assert spec.loader is not None
        self.__class__ = ModuleType  # type: ignore[assignment]
        try:
            spec.loader.exec_module(self)
        except BaseException:
            self.__class__ = _Deferred
            raise
        return getattr(self, name)


def _may_define(spec: ModuleSpec, name: str) -> bool:
    """Whether a name is in the package's own code, if that can be read."""
    assert isinstance(spec.loader, InspectLoader)
    words = _words(spec.loader, spec.name)
    return words is None or name in words


@cache
def _words(loader: InspectLoader, package: str) -> frozenset[str] | None:
    source = loader.get_source(package)
    return None if source is None else frozenset(re.findall(r"\w+", source))


def defer(package: str, homes: Mapping[str, str]) -> ModuleType:
    """Have a package run its own code only if a name of it is used that has no other home.

    Modules of the package can be imported as usual. If it has been imported, nothing changes.
    Names that it gets by `import *` are not found.

    Args:
        package: Its full name. The package that it is part of, if any, is imported.
        homes: Names that are often used, with the modules of the package that define them.

    Returns:
        The package. Names can be set in it that these modules need of it.

    Raises:
        ModuleNotFoundError: There is no such package.
    """
    if package in sys.modules:
        return sys.modules[package]
    spec = find_spec(package)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    module = module_from_spec(spec)
    module.__class__ = _Deferred
    spec.loader_state = homes
    sys.modules[package] = module
    parent, _, name = package.rpartition(".")
    if parent:
        setattr(sys.modules[parent], name, module)
    return module


def forget(package: str) -> None:
    """Have a package and all of its modules imported anew when they are needed."""
    for name in [*sys.modules]:
        if name == package or name.startswith(f"{package}."):
            del sys.modules[name]
