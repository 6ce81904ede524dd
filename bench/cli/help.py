"""--help and --version of every command, answered before the libraries are imported.

What is said of a key is its comment in conf/. Without Hydra, rich and torch this takes a tenth of
a second; everything else on a command line goes to Hydra.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import takewhile

from bench.cli.conf_files import Key, config_dir
from bench.cli.key_docs import CommandDocs, Part, document
from bench.cli.start import USAGE_ERROR

_HELP = ("--help", "-h")
_VERSION = "--version"
_NAME = "operational-metrics-bench"
_NARROWEST, _WIDEST = 40, 110  # columns: longer lines are hard to read
_COLUMN = 30  # where comments begin, if what they explain is not longer
_FLAGS_OF_GROUPS = ("--config-dir DIR",)
_FLAGS = {
    "--cfg job": "Show the resulting configuration, and run nothing.",
    "--config-dir DIR": "Also look for options of groups in DIR/GROUP/.",
    "--version": "Show the version of this benchmark.",
    "--hydra-help": "Show all flags of Hydra, which composes the configuration.",
}


def answered(
    module: str, *, lists: Mapping[str, Callable[[], Mapping[str, str]]] | None = None
) -> int | None:
    """Print what --help or --version asks for.

    Args:
        module: The command, such as `bench.train`.
        lists: Names with their titles that a key of the command takes, by that key: `KEY=help`
            asks for help, too.

    Returns:
        The exit code; None where the command line asks for something else.
    """
    arguments = list(takewhile(lambda argument: argument != "--", sys.argv[1:]))
    lists = lists or {}
    if _VERSION in arguments:
        return _print(f"{_NAME} {_version()}")
    asked = {*_HELP, *(f"{key}=help" for key in lists)}
    if not asked & set(arguments):
        return None
    try:
        docs = document(module.rpartition(".")[2], arguments)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE_ERROR
    width = min(max(shutil.get_terminal_size().columns, _NARROWEST), _WIDEST)
    return _print("\n".join(_page(module, docs, {key: lists[key]() for key in lists}, width)))


def _page(
    module: str, docs: CommandDocs, lists: Mapping[str, Mapping[str, str]], width: int
) -> Iterator[str]:
    """The lines of the help page."""
    primary, *options = docs.parts
    for paragraph in primary.about:
        if paragraph.startswith(" "):  # a command line stays in one piece, to be copied
            yield paragraph
        else:
            yield from _wrapped(paragraph, width) or [""]
    yield from ("", f"Keys of {module} with their defaults (??? must be given):", "")
    yield from _keys(primary.keys, width)
    for key, names in lists.items():
        yield from ("", f"{key}= takes:", "")
        for name, title in names.items():
            yield from _entry(name, title, width)
    choices = {group: names for group, names in docs.options.items() if len(names) > 1}
    if choices:
        yield from ("", "Groups: GROUP=OPTION chooses an option with all its keys", "")
    for group, known in choices.items():
        option = docs.chosen[group]
        yield from _entry(f"{group}={option or 'null'}", ", ".join(known), width)
    for part in options:
        yield from _part(part, width)
    yield from ("", "Flags:", "")
    for flag, told in _FLAGS.items():
        if choices or flag not in _FLAGS_OF_GROUPS:
            yield from _entry(flag, told, width)


def _part(part: Part, width: int) -> Iterator[str]:
    yield ""
    for number, paragraph in enumerate(part.about or [""]):
        told = f"{part.title}: {paragraph}" if number == 0 else paragraph
        indent = "  " if told.startswith(" ") else ""
        yield from _wrapped(told, width, later=indent)
    if part.keys:
        yield ""
    yield from _keys(part.keys, width)


def _keys(keys: Sequence[Key], width: int) -> Iterator[str]:
    for key in keys:
        named = f"{key.name}.*" if key.value is None else f"{key.name}={key.value}"
        if key.value is not None or key.comment:
            yield from _entry(named, key.comment, width)


def _entry(name: str, told: str, width: int) -> Iterator[str]:
    """A name and, beside or below it, what there is to say of it."""
    head = f"  {name}"
    if len(head) > width:
        head = f"{head[: width - 4]} ..."
    indent = " " * min(_COLUMN, width // 2)
    lines = _wrapped(told, width, first=indent, later=indent)
    if lines and len(head) + 2 <= len(indent):
        lines[0] = f"{head:<{len(indent)}}{lines[0].strip()}"
    else:
        yield head
    yield from lines


def _wrapped(text: str, width: int, *, first: str = "", later: str = "") -> list[str]:
    """Lines; names with hyphens stay in one piece."""
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=later, break_on_hyphens=False
    )


def _version() -> str:
    """Of the checkout, with its commit, or of the installed package."""
    folder = config_dir().parent
    project = folder / "pyproject.toml"
    if not project.is_file():
        return version(_NAME)
    number = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"]
    try:
        told = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "--short=10", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):  # no git, or a copy without its history
        return str(number)
    return f"{number} (commit {told.stdout.strip()})"


def _print(text: str) -> int:
    """Print it; the exit code."""
    try:
        print(text, flush=True)
    except OSError as error:
        # What is left in the buffer would fail once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # `| head` has read enough
            return 0
        print(f"error: standard output: {error.strerror}", file=sys.stderr)
        return USAGE_ERROR
    return 0
