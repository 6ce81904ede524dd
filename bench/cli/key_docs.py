"""The keys of a command and what they mean, put together from conf/ as its defaults list says."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.cli.conf_files import ConfFile, Key, config_dir, is_global, read_conf
from bench.core.suggest import did_you_mean

_CONFIG_DIR = ("--config-dir", "-cd")


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


def folders_of(arguments: Sequence[str]) -> list[Path]:
    """Where files of the configuration are looked for: conf/, and what --config-dir adds."""
    added: list[Path] = []
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        flag, equals, value = argument.partition("=")
        if flag in _CONFIG_DIR and (value or following):
            added.append(Path(value if equals else following))
    return [config_dir(), *added]


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
    given = _given(arguments)
    files: dict[str, ConfFile] = {}
    for group in reversed(chosen):  # what stands later in the list may override what stands before
        chosen[group] = given.get(group, chosen[group])
        option = chosen[group]
        if option is None:
            continue
        files[group] = read_conf(_file_of(folders, group, option))
        for entry in files[group].defaults:
            if entry.overrides:
                chosen[entry.group] = entry.option
    parts = [Part(title="", about=primary.head, keys=primary.keys)]
    set_by_all: dict[str, Key] = {}
    for group in (group for group in chosen if group in files):
        keys: dict[str, Key] = {}
        for key in _keys(folders, files[group], group, group):
            before = keys.get(key.name, key)  # of an option that this one extends
            keys[key.name] = replace(key, comment=key.comment or before.comment)
        if files[group].is_global:
            set_by_all |= keys
        title = f"{group}={chosen[group]}"
        parts.append(Part(title=title, about=files[group].head, keys=list(keys.values())))
    taken = {*chosen, *(key.name.partition(".")[0] for key in primary.keys)}
    options = {
        group: [name for name in options_of(folders, group) if _fits(folders, group, name, taken)]
        for group in chosen
    }
    return CommandDocs(options=options, chosen=chosen, parts=_settled(parts, set_by_all))


def options_of(folders: Sequence[Path], group: str) -> list[str]:
    """Names of the options of a group."""
    return sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")})


def keys_of_options(arguments: Sequence[str], group: str) -> dict[str, str]:
    """Every key that some option of a group has, with the first such option."""
    folders = folders_of(arguments)
    found: dict[str, str] = {}
    for option in options_of(folders, group):
        file = read_conf(_file_of(folders, group, option))
        for key in _keys(folders, file, group, group):
            found.setdefault(key.name, option)
    return found


def _given(arguments: Sequence[str]) -> dict[str, str]:
    """The first option of KEY=A,B by its key."""
    pairs = (argument.lstrip("+").partition("=") for argument in arguments)
    return {key: value.partition(",")[0] for key, equals, value in pairs if equals}


def _fits(folders: Sequence[Path], group: str, option: str, taken: Collection[str]) -> bool:
    """Whether a command takes all that an option sets: an experiment is of one command."""
    path = _file_of(folders, group, option)
    return not is_global(path) or read_conf(path).touches <= set(taken)


def _file_of(folders: Sequence[Path], group: str, option: str) -> Path:
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


def _keys(folders: Sequence[Path], file: ConfFile, group: str, package: str) -> Iterator[Key]:
    """The keys of an option, those that it takes from other options first."""
    for entry in file.defaults:
        if entry.overrides or entry.option is None:
            continue
        taken = entry.group or group
        below = f"{package}.{entry.package}" if entry.package else package
        path = _file_of(folders, taken, entry.option)
        yield from _keys(folders, read_conf(path), taken, below)
    above = "" if file.is_global else f"{package}."
    for key in file.keys:
        yield replace(key, name=f"{above}{key.name}")


def _settled(parts: Sequence[Part], set_by_all: Mapping[str, Key]) -> list[Part]:
    """Each key once, where it is explained, with the value that is set last."""
    explained: dict[str, Key] = {}
    for part in parts:
        for key in part.keys:
            explained.setdefault(key.name, key)
    told: set[str] = set()
    settled = []
    for part in parts:
        keys = []
        for key in part.keys:
            if key.name not in told:
                value = set_by_all.get(key.name, key).value
                keys.append(replace(explained[key.name], value=value))
            told.add(key.name)
        settled.append(replace(part, keys=keys))
    return settled
