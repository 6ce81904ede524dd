"""--help and --version of every command, answered before the libraries are imported.

What is said of a key is its comment in conf/. Without Hydra, rich and torch this takes a tenth of
a second; everything else on a command line goes to Hydra.
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
    file_of,
    folders_of,
    is_global,
    option_keys,
    options_of,
    read_conf,
)
from bench.cli.start import USAGE_ERROR, print_page
from bench.core.files import config_dir

_HELP = ("--help", "-h")
_VERSION = "--version"
_NAME = "operational-metrics-bench"
_NARROWEST, _WIDEST = 40, 110  # columns: longer lines are hard to read
_COLUMN = 30  # where comments begin, if what they explain is not longer
_GROUP_FLAGS = ("--config-dir DIR",)
_FLAGS = {
    "--cfg job": "Show the resulting configuration, and run nothing.",
    "--config-dir DIR": "Also look for options of groups in DIR/GROUP/.",
    "--version": "Show the version of this benchmark.",
    "--hydra-help": "Show all flags of Hydra, which composes the configuration.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Keys that a file brings.

    Attributes:
        title: `GROUP=OPTION`; empty for the primary file.
        about: The first lines of the file.
        keys: With their full names.
    """

    title: str
    about: Sequence[str]
    keys: Sequence[Key]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandDocs:
    """All that conf/ says of a command.

    Attributes:
        options: Names of the options of each of its groups.
        chosen: The option of each group; None for none.
        parts: The primary file first.
    """

    options: Mapping[str, Sequence[str]]
    chosen: Mapping[str, str | None]
    parts: Sequence[Part]

    def names(self) -> list[str]:
        """The full name of every key, and of every group."""
        return [*(key.name for part in self.parts for key in part.keys), *self.chosen]


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
        return print_page(f"{_NAME} {_version()}")
    wanted = {*_HELP, *(f"{key}=help" for key in lists)}
    if not wanted & set(arguments):
        return None
    try:
        docs = document(module.rpartition(".")[2], arguments)
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
    for flag, text in _FLAGS.items():
        if choices or flag not in _GROUP_FLAGS:
            yield from _entry(flag, text, width)


def _part(part: Part, width: int) -> Iterator[str]:
    yield ""
    for number, paragraph in enumerate(part.about or [""]):
        text = f"{part.title}: {paragraph}" if number == 0 else paragraph
        indent = "  " if text.startswith(" ") else ""
        yield from _wrapped(text, width, later=indent)
    if part.keys:
        yield ""
    yield from _keys(part.keys, width)


def _keys(keys: Sequence[Key], width: int) -> Iterator[str]:
    for key in keys:
        named = f"{key.name}.*" if key.value is None else f"{key.name}={key.value}"
        if key.value is not None or key.comment:
            yield from _entry(named, key.comment, width)


def _entry(name: str, text: str, width: int) -> Iterator[str]:
    """A name and, beside or below it, what there is to say of it."""
    head = f"  {name}"
    if len(head) > width:
        head = f"{head[: width - 4]} ..."
    indent = " " * min(_COLUMN, width // 2)
    lines = _wrapped(text, width, first=indent, later=indent)
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
        commit = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "--short=10", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):  # no git, or a copy without its history
        return str(number)
    return f"{number} (commit {commit.stdout.strip()})"


def document(command: str, arguments: Sequence[str]) -> CommandDocs:
    """What conf/ says of a command with the options that its arguments choose.

    Args:
        command: The name of its primary file.
        arguments: Of its command line; of a sweep, the first option counts.

    Raises:
        ValueError: An option does not exist, or a file is no YAML.
    """
    folders = folders_of(arguments)
    primary = read_conf(folders[0] / f"{command}.yaml")
    chosen = {entry.group: entry.option for entry in primary.defaults}
    options_given = _options_given(arguments)
    files: dict[str, ConfFile] = {}
    for group in reversed(chosen):  # what stands later in the list may override what stands before
        chosen[group] = options_given.get(group, chosen[group])
        option = chosen[group]
        if option is None:
            continue
        files[group] = read_conf(file_of(folders, group, option))
        for entry in files[group].defaults:
            if entry.overrides:
                chosen[entry.group] = entry.option
    parts, set_by_all = _parts(folders, primary, chosen, files)
    taken = {*chosen, *(key.name.partition(".")[0] for key in primary.keys)}
    options = {
        group: [name for name in options_of(folders, group) if _fits(folders, group, name, taken)]
        for group in chosen
    }
    return CommandDocs(options=options, chosen=chosen, parts=_settled(parts, set_by_all))


def _parts(
    folders: Sequence[Path],
    primary: ConfFile,
    chosen: Mapping[str, str | None],
    files: Mapping[str, ConfFile],
) -> tuple[list[Part], dict[str, Key]]:
    """The keys of each file, and those that options set at the top of the configuration."""
    parts = [Part(title="", about=primary.head, keys=primary.keys)]
    set_by_all: dict[str, Key] = {}
    for group in (group for group in chosen if group in files):
        keys: dict[str, Key] = {}
        for key in option_keys(folders, files[group], group, group):
            before = keys.get(key.name, key)  # of an option that this one extends
            keys[key.name] = replace(key, comment=key.comment or before.comment)
        if files[group].is_global:
            set_by_all |= keys
        title = f"{group}={chosen[group]}"
        parts.append(Part(title=title, about=files[group].head, keys=list(keys.values())))
    return parts, set_by_all


def keys_of_options(arguments: Sequence[str], group: str) -> dict[str, str]:
    """Every key that some option of a group has, with the first such option."""
    folders = folders_of(arguments)
    found: dict[str, str] = {}
    for option in options_of(folders, group):
        file = read_conf(file_of(folders, group, option))
        for key in option_keys(folders, file, group, group):
            found.setdefault(key.name, option)
    return found


def _options_given(arguments: Sequence[str]) -> dict[str, str]:
    """The first option of KEY=A,B by its key."""
    pairs = (argument.lstrip("+").partition("=") for argument in arguments)
    return {key: value.partition(",")[0] for key, equals, value in pairs if equals}


def _fits(folders: Sequence[Path], group: str, option: str, taken: Collection[str]) -> bool:
    """Whether a command takes all that an option sets: an experiment is of one command."""
    path = file_of(folders, group, option)
    return not is_global(path) or read_conf(path).touches <= set(taken)


def _settled(parts: Sequence[Part], set_by_all: Mapping[str, Key]) -> list[Part]:
    """Each key once, where it is explained, with the value that is set last."""
    explained: dict[str, Key] = {}
    for part in parts:
        for key in part.keys:
            explained.setdefault(key.name, key)
    shown: set[str] = set()
    settled = []
    for part in parts:
        keys = []
        for key in part.keys:
            if key.name not in shown:
                value = set_by_all.get(key.name, key).value
                keys.append(replace(explained[key.name], value=value))
            shown.add(key.name)
        settled.append(replace(part, keys=keys))
    return settled
