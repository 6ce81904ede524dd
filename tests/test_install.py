"""Messages and pages are right about installing: no index has the package, and extras exist."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from bench.core.errors import install_hint

ROOT = Path(__file__).parents[1]
FOLDERS = (
    "bench",
    "analysis",
    "hydra_plugins",
    "conf",
    "docs",
    "examples",
    "benchmarks",
    "tools",
    ".github",
)
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def texts() -> Iterator[tuple[Path, str]]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".md", ".yaml", ".yml"):
                yield path, path.read_text()


def test_the_hint_names_the_extra_and_the_page() -> None:
    assert install_hint("zeus") == "install it with the extra 'zeus' (docs/install.md)"
    assert (ROOT / "docs" / "install.md").is_file()


def test_nothing_points_to_an_index_that_has_no_such_package() -> None:
    by_name = re.compile(r"install [^\n]*operational-metrics-bench|'operational-metrics-bench")
    for path, text in texts():
        for line in text.splitlines():
            assert not by_name.search(line) or " @ git+URL" in line, f"{path}: {line}"


def test_every_extra_that_is_named_exists_and_is_explained() -> None:
    named = re.compile(r"""install_hint\(["'](\w+)["']\)|the extra `(\w+)`""")
    found = {(path, a or b) for path, text in texts() for a, b in named.findall(text)}
    assert {"serving", "openvino", "zeus"} <= {extra for _, extra in found}
    for path, extra in found:
        assert extra in EXTRAS, f"{path}: {extra}"
    page = (ROOT / "docs" / "install.md").read_text()
    assert [extra for extra in EXTRAS if f"`{extra}`" not in page] == []
