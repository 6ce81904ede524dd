"""Files of conf/ with their comments, which are what --help and suggestions know of the keys.

Read without Hydra, of which the import alone takes longer than all of --help may.
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
        name: Dotted, from the top of the file on.
        value: Its default as it is written; None for a key that has further keys below it.
        comment: In one line; empty where there is none.
    """

    name: str
    value: str | None
    comment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Default:
    """An entry of a defaults list: `- GROUP@PACKAGE: OPTION`.

    Attributes:
        group: Empty where only an option is named, of the same group.
        package: Below which its keys lie; empty where that is the group's own name.
        option: None for none.
        overrides: Whether it replaces an option that was chosen elsewhere.
    """

    group: str
    package: str
    option: str | None
    overrides: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfFile:
    """What a file says.

    Attributes:
        head: Paragraphs of the comment that it begins with; a line that is indented in it is one,
            and so is an empty one.
        is_global: Whether its keys stand at the top of the configuration.
        defaults: Without those of the schema, of Hydra and of the file itself.
        keys: In the order of the file, without Hydra's.
        touches: The first parts of all names that it sets, overrides or sweeps.
    """

    head: Sequence[str]
    is_global: bool
    defaults: Sequence[Default]
    keys: Sequence[Key]
    touches: frozenset[str]


def is_global(path: Path) -> bool:
    """Whether the keys of a file stand at the top of the configuration."""
    return _GLOBAL in path.read_text(encoding="utf-8", errors="replace").splitlines()


def read_conf(path: Path) -> ConfFile:
    """Read a file of conf/, or of a folder of the user's own.

    Raises:
        ValueError: It is no YAML, or cannot be read; the message names it.
    """
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    lines = text.splitlines()
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    entries = [entry for key, node in pairs if key.value == "defaults" for entry in _defaults(node)]
    swept = _below(root, "hydra", "sweeper", "params")
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


def _below(node: Any, *names: str) -> list[Any]:
    """The pairs of a nested mapping; none where there is no such one."""
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
            yield Key(name=name, value=_written(value), comment=comment)


def _written(value: Any) -> str:
    """A value as one gives it on a command line."""
    if isinstance(value, yaml.ScalarNode):
        return str(value.value).strip() or "''"
    mark = value.start_mark
    written = mark.buffer[mark.pointer : value.end_mark.pointer] if mark.buffer else ""
    return "".join(written.split())


def _comment(lines: Sequence[str], line: int, value: Any) -> str:
    """What stands behind a key, or else in the lines right above it; not the head of the file."""
    if value.end_mark.line == line:
        behind = lines[line][value.end_mark.column :].strip()
    else:
        behind = lines[line].partition("  #")[2]
    if behind:
        return behind.lstrip("# ")
    first = line
    while first and re.match(r"\s*#", lines[first - 1]):
        first -= 1
    if first == 0:
        return ""
    return " ".join(each.strip().lstrip("#").strip() for each in lines[first:line])


def folders_of(arguments: Sequence[str]) -> list[Path]:
    """Where files of the configuration are looked for: conf/, and what --config-dir adds."""
    added: list[Path] = []
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        flag, equals, value = argument.partition("=")
        if flag in _CONFIG_DIR and (value or following):
            added.append(Path(value if equals else following))
    return [config_dir(), *added]


def options_of(folders: Sequence[Path], group: str) -> list[str]:
    """Names of the options of a group."""
    return sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")})


def file_of(folders: Sequence[Path], group: str, option: str) -> Path:
    """The file of an option, in the first folder that has one.

    Raises:
        ValueError: No folder has it; the message names those that there are.
    """
    for folder in folders:
        if (path := folder / group / f"{option}.yaml").is_file():
            return path
    raise ValueError(no_such_option(group, option, options_of(folders, group)))


def no_such_option(group: str, option: str, known: Sequence[str]) -> str:
    """That a group has no such option, and those that it has."""
    hint = did_you_mean(option, known)
    if option.replace(".", "").isdecimal():  # meant for one of its keys
        hint = f"; {group}.KEY=VALUE sets a key of it, see --help"
    return f"{group}={option}: must be one of {', '.join(known)}{hint}"


def option_keys(folders: Sequence[Path], file: ConfFile, group: str, package: str) -> Iterator[Key]:
    """The keys of an option, those that it takes from other options first."""
    for entry in file.defaults:
        if entry.overrides or entry.option is None:
            continue
        taken = entry.group or group
        below = f"{package}.{entry.package}" if entry.package else package
        path = file_of(folders, taken, entry.option)
        yield from option_keys(folders, read_conf(path), taken, below)
    above = "" if file.is_global else f"{package}."
    for key in file.keys:
        yield replace(key, name=f"{above}{key.name}")
