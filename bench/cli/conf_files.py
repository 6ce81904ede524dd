"""Reads the files of conf/ with their comments, for --help and for suggestions of keys.

It does not use Hydra, because importing Hydra takes longer than --help should.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from bench.core.files import config_dir
from bench.core.suggest import did_you_mean

_GLOBAL = "# @package _global_"
_INTERNAL = ("_self_", "hydra")
_CONFIG_DIR = ("--config-dir", "-cd")


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key of a file.

    Attributes:
        name: The dotted name within the file.
        value: The default as the file has it; None if the key has further keys below it.
        comment: The comment in one line, or an empty text.
    """

    name: str
    value: str | None
    comment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Default:
    """An entry of a defaults list: `- GROUP@PACKAGE: OPTION`.

    Attributes:
        group: The group; empty if the entry names an option of the file's own group.
        package: The key that the option's keys go below; empty for the name of the group.
        option: The option; None if none is chosen.
        overrides: Whether the entry replaces an option that was chosen elsewhere.
    """

    group: str
    package: str
    option: str | None
    overrides: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfFile:
    """The content of a file.

    Attributes:
        head: The paragraphs of the comment at its beginning. An indented line is a paragraph of its
            own, and so is an empty one.
        is_global: Whether its keys go to the top of the configuration.
        defaults: Its defaults, without the schema, Hydra's own and `_self_`.
        keys: Its keys in order, without Hydra's.
        touches: The first part of every name that it sets, overrides or sweeps.
    """

    head: Sequence[str]
    is_global: bool
    defaults: Sequence[Default]
    keys: Sequence[Key]
    touches: frozenset[str]


def is_global(path: Path) -> bool:
    """Whether the keys of a file go to the top of the configuration."""
    return _GLOBAL in path.read_text(encoding="utf-8", errors="replace").splitlines()


def read_conf(path: Path) -> ConfFile:
    """Read a configuration file of this project or of the user.

    Raises:
        ValueError: The file cannot be read, or is not YAML; the message names it.
    """
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    lines = text.splitlines()
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    entries = [entry for key, node in pairs if key.value == "defaults" for entry in _defaults(node)]
    swept = _nested_pairs(root, "hydra", "sweeper", "params")
    pairs_of_keys = [pair for pair in pairs if pair[0].value not in ("defaults", "hydra")]
    return ConfFile(
        head=_head(lines),
        is_global=_GLOBAL in lines,
        defaults=entries,
        keys=list(_keys(pairs_of_keys, lines, "")),
        touches=frozenset(
            (
                *(entry.group for entry in entries if entry.overrides),
                *(key.value.partition(".")[0] for key, _ in (*pairs_of_keys, *swept)),
            )
        ),
    )


def _nested_pairs(node: Any, *names: str) -> list[Any]:
    """The pairs of a nested mapping; an empty list if there is no such mapping."""
    for name in names:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        node = next((value for key, value in pairs if key.value == name), None)
    return node.value if isinstance(node, yaml.MappingNode) else []


def _head(lines: Sequence[str]) -> list[str]:
    paragraphs: list[str] = []
    for line in lines:
        if line == _GLOBAL:
            continue
        if not line.startswith("#"):
            break
        text = line[1:].removeprefix(" ").rstrip()
        begins = not paragraphs or paragraphs[-1].startswith(" ") or not paragraphs[-1]
        if begins or not text or text.startswith(" "):
            paragraphs.append(text)
        else:
            paragraphs[-1] += f" {text}"
    return paragraphs


def _defaults(node: Any) -> Iterator[Default]:
    for entry in node.value if isinstance(node, yaml.SequenceNode) else []:
        pairs = entry.value if isinstance(entry, yaml.MappingNode) else [(None, entry)]
        for key, value in pairs:
            name, option = "" if key is None else key.value, str(value.value)
            group, _, package = name.split()[-1].partition("@") if name else ("", "", "")
            group = group.strip("/")
            if group.startswith(("schema/", "hydra")) or (not group and _is_internal(option)):
                continue
            yield Default(
                group=group,
                package=package,
                option=None if option in ("null", "~", "") else option,
                overrides=name.startswith("override "),
            )


def _is_internal(option: str) -> bool:
    return option in _INTERNAL or option.endswith("_schema")


def _keys(pairs: Sequence[Any], lines: Sequence[str], above: str) -> Iterator[Key]:
    for key, value in pairs:
        name = f"{above}{key.value}"
        comment = _comment(lines, key.start_mark.line, value)
        if isinstance(value, yaml.MappingNode) and value.value:
            yield Key(name=name, value=None, comment=comment)
            yield from _keys(value.value, lines, f"{name}.")
        else:
            yield Key(name=name, value=_source_text(value), comment=comment)


def _source_text(value: Any) -> str:
    """A value in the form that a command line takes: without spaces and line breaks."""
    if isinstance(value, yaml.ScalarNode):
        return str(value.value).strip() or "''"
    mark = value.start_mark
    written = mark.buffer[mark.pointer : value.end_mark.pointer] if mark.buffer else ""
    return "".join(written.split())


def _comment(lines: Sequence[str], line: int, value: Any) -> str:
    """The comment after a key on its line, or else in the lines right above it.

    Comments at the beginning of the file describe the file and not its first key.
    """
    if value.end_mark.line == line:
        comment = lines[line][value.end_mark.column :].strip()
    else:
        comment = lines[line].partition("  #")[2]
    if comment:
        return comment.lstrip("# ")
    first = line
    while first and re.match(r"\s*#", lines[first - 1]):
        first -= 1
    if first == 0:
        return ""
    return " ".join(each.strip().lstrip("#").strip() for each in lines[first:line])


def config_folders(arguments: Sequence[str]) -> list[Path]:
    """The folders to search for configuration files: conf/, and those that --config-dir adds."""
    added: list[Path] = []
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        flag, equals, value = argument.partition("=")
        if flag in _CONFIG_DIR and (value or following):
            added.append(Path(value if equals else following))
    return [config_dir(), *added]


def list_options(folders: Sequence[Path], group: str) -> list[str]:
    """The names of the options of a group."""
    return sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")})


def option_file(folders: Sequence[Path], group: str, option: str) -> Path:
    """The file of an option, from the first folder that has it.

    Raises:
        ValueError: No folder has it; the message lists the options of the group.
    """
    for folder in folders:
        if (path := folder / group / f"{option}.yaml").is_file():
            return path
    raise ValueError(no_such_option(group, option, list_options(folders, group)))


def no_such_option(group: str, option: str, known: Sequence[str]) -> str:
    """The message for an option that a group does not have."""
    if not known:
        return f"{group}={option}: this command has no option of {group}; leave it out"
    hint = did_you_mean(option, known)
    # target=0.9 means target.value=0.9, but the group needs one of its options.
    if option.replace(".", "").isdecimal():  # a number is meant for a key of the group
        hint = f"; {group}.KEY=VALUE sets a key of it, see --help"
    return f"{group}={option}: must be one of {', '.join(known)}{hint}"


def option_keys(folders: Sequence[Path], file: ConfFile, group: str, package: str) -> Iterator[Key]:
    """The full names of an option's keys, after the keys of the options that it extends."""
    for entry in file.defaults:
        if entry.overrides or entry.option is None:
            continue
        base_group = entry.group or group
        base_package = f"{package}.{entry.package}" if entry.package else package
        base = read_conf(option_file(folders, base_group, entry.option))
        yield from option_keys(folders, base, base_group, base_package)
    above = "" if file.is_global else f"{package}."
    for key in file.keys:
        yield replace(key, name=f"{above}{key.name}")


def package_of(group: str) -> str:
    """What the keys of a group begin with: `hydra.sweeper` for `hydra/sweeper`."""
    return group.replace("/", ".")


def keys_of_options(arguments: Sequence[str], group: str) -> dict[str, str]:
    """Every key of every option of a group, with the first option that has it."""
    folders = config_folders(arguments)
    option_by_key: dict[str, str] = {}
    for option in list_options(folders, group):
        file = read_conf(option_file(folders, group, option))
        for key in option_keys(folders, file, group, package_of(group)):
            option_by_key.setdefault(key.name, option)
    return option_by_key
