"""What is wrong with a command line, in one line: the key, the reason and the remedy."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

import yaml
from hydra.errors import HydraException, InstantiationException, OverrideParseException

from bench.cli.conf_files import no_such_option
from bench.cli.help import CommandDocs, document, keys_of_options
from bench.cli.overrides import MULTIRUN, for_shell, how_to_quote, parses, quoted
from bench.core.printable import printable
from bench.core.suggest import did_you_mean

_UNKNOWN = re.compile(r"Could not override '([^']+)'")
_NOT_THERE = re.compile(r"Could not delete from config\. '([^']+)'")
_OPTION = re.compile(r"Could not find '([^']+)/([^'/]+)'")
_NO_TEXT = re.compile(r"Config group override must be a string or a list")
_WRONG_TYPE = re.compile(r"Error merging override ([^\n]*)\n(.*?)(?:\n|$)")
_AMBIGUOUS = re.compile(r"Ambiguous value for argument '([^=]*)=(.*?)'\n", re.DOTALL)


def one_line(error: BaseException, config_name: str = "", keys: Sequence[str] = ()) -> str:
    """The message of an error in one line, with the key that it is about and a remedy.

    Args:
        error: Any error; one of Hydra's needs the name of the primary file.
        config_name: As run_app takes it.
        keys: As run_app takes them.
    """
    if config_name and (message := _explained(error, config_name, keys)) is not None:
        return printable(message)
    if isinstance(error, OSError):  # a file that cannot be read, a folder that cannot be made
        place = f"{error.filename}: " if error.filename else ""
        return printable(f"{place}{error.strerror or error}")
    text = str(error)
    if error.__cause__ is not None and isinstance(error, HydraException):
        text += f"\n{error.__cause__}"
    text = text.partition("Config search path")[0]
    options = ", ".join(line.strip() for line in text.splitlines() if line.startswith("\t"))
    lines = [line.strip() for line in text.splitlines() if line and not line.startswith("\t")]
    # Hydra repeats itself, and names classes that say nothing to a user.
    kept = dict.fromkeys(
        line for line in lines if not line.startswith(("object_type", "reference"))
    )
    whole = " ".join(filter(None, ["; ".join(kept), options]))
    return printable(whole.replace("full_key: ", "key "))


def _explained(error: BaseException, command: str, keys: Sequence[str] = ()) -> str | None:
    """What an error of Hydra's means, in a line; None if no key, option or value is misspelt.

    Args:
        error: Raised while a configuration was composed.
        command: Name of its primary file.
        keys: Keys that the command takes besides those in conf/.
    """
    if isinstance(error, OverrideParseException):
        return _unparsable(error.override, command, keys)
    text = f"{error}\n{error.__cause__ or ''}" if isinstance(error, HydraException) else str(error)
    if found := _UNKNOWN.search(text) or _NOT_THERE.search(text):
        return _no_such_key(found[1], command, keys)
    if found := _OPTION.search(text):
        known = _documented(command).options.get(found[1])
        return None if known is None else no_such_option(found[1], found[2], known)
    if _NO_TEXT.search(text):
        return _no_option(command)
    if found := _WRONG_TYPE.search(text):
        return f"{found[1]}: {found[2]}"
    if found := _AMBIGUOUS.search(text):
        key, value = found[1], found[2]
        docs = _documented(command)
        if key not in (*keys, *docs.names(), *docs.options):
            return _no_such_key(key, command, keys)
        return f"{key}={value}: {_what_commas_are_for(key, value, docs)}"
    return None


def _what_commas_are_for(key: str, value: str, docs: CommandDocs) -> str:
    """A sweep, and what else the key takes, where its default shows that."""
    ways = "commas are for a sweep (-m)"
    defaults = {one.name: one.value or "" for part in docs.parts for one in part.keys}
    default = yaml.safe_load(defaults.get(key, ""))
    if isinstance(default, list):
        return f"{ways} or a list ({for_shell(f'{key}=[{value}]')})"
    if isinstance(default, str):
        return f"{ways} or one text ({for_shell(f'{key}={quoted(value)}')})"
    return ways


def _unparsable(override: str, command: str, keys: Sequence[str]) -> str:
    key, equals, value = override.partition("=")
    if not equals:
        return f'{override}: is no KEY=VALUE; a value with spaces needs quotes, as in "KEY=A B"'
    if not parses(f"{key}=1"):
        return _no_such_key(key, command, keys)
    sweeps = bool(MULTIRUN & set(sys.argv[1:]))
    return f"{override}: {how_to_quote(key, value, sweeps=sweeps)}"


def _no_such_key(key: str, command: str, keys: Sequence[str]) -> str:
    docs = _documented(command)
    group = key.partition(".")[0]
    others = keys_of_options(sys.argv[1:], group) if group in docs.options else {}
    if key in others:  # and not with the option that is chosen
        return f"{key}: no such key of {group}={docs.chosen[group]}; {group}={others[key]} has it"
    known = [*keys, *docs.names(), *others]
    return f"{key}: no such key{did_you_mean(key, known) or '; --help shows all keys'}"


def _no_option(command: str) -> str | None:
    """Which argument gives a group something that is not the name of an option."""
    options = _documented(command).options
    for argument in sys.argv[1:]:
        key, equals, value = argument.partition("=")
        if equals and not key:
            return f"{argument}: is no KEY=VALUE"
        if equals and key in options and value not in options[key]:
            return no_such_option(key, value, options[key])
    return None


def _documented(command: str) -> CommandDocs:
    """With the options that were chosen, or, where one of these is what is wrong, the defaults."""
    arguments = sys.argv[1:]
    try:
        return document(command, arguments)
    except ValueError:
        flags = [each for each in arguments if each.startswith("-") or "=" not in each]
        return document(command, flags)  # --config-dir among them


def innermost(error: BaseException) -> BaseException:
    """What went wrong, out of Hydra's wrappers: they say where, their cause says what."""
    while error.__cause__ is not None and (
        isinstance(error, InstantiationException)
        or (isinstance(error, ImportError) and str(error).startswith("Error loading '"))
    ):
        error = error.__cause__
    return error
