"""Prints --help and --version of every command, before slow libraries are imported.

The help of a key is its comment in conf/. Without Hydra, rich and torch, a page takes a tenth of a
second. Hydra handles everything else on a command line.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import takewhile
from pathlib import Path

from bench.cli.conf_files import (
    ConfFile,
    Key,
    config_folders,
    is_global,
    list_options,
    option_file,
    option_keys,
    package_of,
    read_conf,
)
from bench.cli.start import USAGE_ERROR, print_page
from bench.core.files import config_dir
from bench.core.host import PROJECT

_HELP = ("--help", "-h")
_VERSION = "--version"
_NARROWEST, _WIDEST = 40, 110  # columns; longer lines are hard to read
# Groups of Hydra's own, with the option that conf/hydra/default.yaml chooses.
_OF_SWEEPS: Mapping[str, str | None] = {"hydra/sweeper": "checked", "hydra/launcher": None}
_ONLY_SWEEPS = "objective"  # the key of every command that can sweep, and of no other
_COLUMN = 30  # comments begin here, unless the key before them is longer
_GROUP_FLAGS = ("--config-dir DIR",)
_FLAGS = {
    "--cfg job": "Show the resulting configuration, and run nothing.",
    "--config-dir DIR": "Also look for options of groups in DIR/GROUP/.",
    "--version": "Show the version of this benchmark.",
    "--hydra-help": "Show all flags of Hydra, which composes the configuration.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The keys of one file.

    Attributes:
        title: `GROUP=OPTION`; empty for the primary file.
        about: The paragraphs at the beginning of the file.
        keys: The keys with their full names.
    """

    title: str
    about: Sequence[str]
    keys: Sequence[Key]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandDocs:
    """The documentation of a command in conf/.

    Attributes:
        options: Names of the options of each group.
        chosen: The chosen option of each group, or None.
        parts: The keys by file, the primary file first.
    """

    options: Mapping[str, Sequence[str]]
    chosen: Mapping[str, str | None]
    parts: Sequence[Part]

    def names(self) -> list[str]:
        """The full name of every key, and of every group."""
        return [*(key.name for part in self.parts for key in part.keys), *self.chosen]


def print_help(
    module: str, *, lists: Mapping[str, Callable[[], Mapping[str, str]]] | None = None
) -> int | None:
    """Print the help page or the version, if the command line asks for it.

    Args:
        module: The command, such as `bench.train`.
        lists: For keys that take a name from a list, functions that return these names with their
            titles. The page shows them, and `KEY=help` prints the page too.

    Returns:
        The exit code; None if the command line asks for neither.
    """
    arguments = list(takewhile(lambda argument: argument != "--", sys.argv[1:]))
    lists = lists or {}
    if _VERSION in arguments:
        return print_page(f"{PROJECT} {_version()}")
    wanted = {*_HELP, *(f"{key}=help" for key in lists)}
    if not wanted & set(arguments):
        return None
    try:
        docs = command_docs(module.rpartition(".")[2], arguments)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE_ERROR
    width = min(max(shutil.get_terminal_size().columns, _NARROWEST), _WIDEST)
    return print_page("\n".join(_page(module, docs, {key: lists[key]() for key in lists}, width)))


def _page(
    module: str, docs: CommandDocs, lists: Mapping[str, Mapping[str, str]], width: int
) -> Iterator[str]:
    """The lines of the help page."""
    primary, *options = docs.parts
    for paragraph in primary.about:
        if paragraph.startswith(" "):  # a command line, to be copied in one piece
            yield paragraph
        else:
            yield from _wrap(paragraph, width) or [""]
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
    for flag, text in _FLAGS.items():
        if choices or flag not in _GROUP_FLAGS:
            yield from _entry(flag, text, width)


def _part(part: Part, width: int) -> Iterator[str]:
    yield ""
    for number, paragraph in enumerate(part.about or [""]):
        text = f"{part.title}: {paragraph}" if number == 0 else paragraph
        indent = "  " if text.startswith(" ") else ""
        yield from _wrap(text, width, later=indent)
    if part.keys:
        yield ""
    yield from _keys(part.keys, width)


def _keys(keys: Sequence[Key], width: int) -> Iterator[str]:
    for key in keys:
        named = f"{key.name}.*" if key.value is None else f"{key.name}={key.value}"
        if key.value is not None or key.comment:
            yield from _entry(named, key.comment, width)


def _entry(name: str, text: str, width: int) -> Iterator[str]:
    """Lay out a name and its explanation, side by side or one below the other."""
    head = f"  {name}"
    if len(head) > width:
        head = f"{head[: width - 4]} ..."
    indent = " " * min(_COLUMN, width // 2)
    lines = _wrap(text, width, first=indent, later=indent)
    if lines and len(head) + 2 <= len(indent):
        lines[0] = f"{head:<{len(indent)}}{lines[0].strip()}"
    else:
        yield head
    yield from lines


def _wrap(text: str, width: int, *, first: str = "", later: str = "") -> list[str]:
    """Wrap a paragraph; names with hyphens stay in one piece."""
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=later, break_on_hyphens=False
    )


def _version() -> str:
    """The version of the checkout with its commit, or of the installed package."""
    folder = config_dir().parent
    project = folder / "pyproject.toml"
    if not project.is_file():
        return version(PROJECT)
    number = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"]
    try:
        commit = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "--short=10", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):  # git is missing, or this is not a repository
        return str(number)
    return f"{number} (commit {commit.stdout.strip()})"


def command_docs(command: str, arguments: Sequence[str]) -> CommandDocs:
    """Read the documentation of a command, with the options that its arguments choose.

    Args:
        command: The name of its primary file.
        arguments: The command line; if it sweeps a group, the first option counts.

    Raises:
        ValueError: An option does not exist, or a file is not YAML.
    """
    folders = config_folders(arguments)
    primary = read_conf(folders[0] / f"{command}.yaml")
    chosen = {entry.group: entry.option for entry in primary.defaults}
    if any(key.name == _ONLY_SWEEPS for key in primary.keys):
        chosen |= _OF_SWEEPS
    options_given = _options_given(arguments)
    files: dict[str, ConfFile] = {}
    # Backwards, because the options of later groups may override the choice of earlier ones.
    for group in reversed(list(chosen)):
        chosen[group] = options_given.get(group, chosen[group])
        option = chosen[group]
        if option is None:
            continue
        if group in _OF_SWEEPS and option not in list_options(folders, group):
            chosen[group] = None  # a plugin of Hydra, which conf/ has no file of
            continue
        files[group] = read_conf(option_file(folders, group, option))
        for entry in files[group].defaults:
            if entry.overrides and entry.group in chosen:
                chosen[entry.group] = entry.option
    parts, overridden = _parts(folders, primary, chosen, files)
    known = {*chosen, *(key.name.partition(".")[0] for key in primary.keys)}
    options = {
        group: [name for name in list_options(folders, group) if _fits(folders, group, name, known)]
        for group in chosen
    }
    return CommandDocs(options=options, chosen=chosen, parts=_list_keys_once(parts, overridden))


def _parts(
    folders: Sequence[Path],
    primary: ConfFile,
    chosen: Mapping[str, str | None],
    files: Mapping[str, ConfFile],
) -> tuple[list[Part], dict[str, Key]]:
    """The keys by file, and the keys that global options (experiments) set.

    The latter replace the defaults of other files, so their values are the ones to show.
    """
    parts = [Part(title="", about=primary.head, keys=primary.keys)]
    overridden: dict[str, Key] = {}
    for group in (group for group in chosen if group in files):
        keys: dict[str, Key] = {}
        for key in option_keys(folders, files[group], group, package_of(group)):
            # An option that extends another one may leave the comment of a key to that one.
            inherited = keys.get(key.name, key).comment
            keys[key.name] = replace(key, comment=key.comment or inherited)
        if files[group].is_global:
            overridden |= keys
        title = f"{group}={chosen[group]}"
        parts.append(Part(title=title, about=files[group].head, keys=list(keys.values())))
    return parts, overridden


def _options_given(arguments: Sequence[str]) -> dict[str, str]:
    """The arguments KEY=A,B of a command line: by key, the first value."""
    pairs = (argument.lstrip("+").partition("=") for argument in arguments)
    return {key: value.partition(",")[0] for key, equals, value in pairs if equals}


def _fits(folders: Sequence[Path], group: str, option: str, known: Collection[str]) -> bool:
    """Whether a command has every key that an option sets.

    Experiments of all commands lie in one folder, but each is for one command only.
    """
    path = option_file(folders, group, option)
    return not is_global(path) or read_conf(path).touches <= set(known)


def _list_keys_once(parts: Sequence[Part], overridden: Mapping[str, Key]) -> list[Part]:
    """Keep each key in the first part that has it, with the value that a global option sets."""
    listed: set[str] = set()
    result = []
    for part in parts:
        keys = []
        for key in part.keys:
            if key.name not in listed:
                keys.append(replace(key, value=overridden.get(key.name, key).value))
                listed.add(key.name)
        result.append(replace(part, keys=keys))
    return result
