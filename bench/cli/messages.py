"""Explains an error in a command line in one line: the key, the reason and the remedy."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

import yaml
from hydra.errors import HydraException, InstantiationException, OverrideParseException

from bench.cli.conf_files import keys_of_options, no_such_option, package_of
from bench.cli.help import CommandDocs, command_docs
from bench.cli.overrides import how_to_quote, parses, quote_for_shell, quote_value
from bench.cli.start import MULTIRUN
from bench.core.printable import printable
from bench.core.suggest import did_you_mean

# Of a key inside a mapping, the first line names only the mapping.
_UNKNOWN = re.compile(r"Could not override '([^']+)'(?:.*?full_key: ([^\n]+))?", re.DOTALL)
_NOT_THERE = re.compile(r"Could not delete from config\. '([^']+)'")
_NO_SUCH = re.compile(r"Could not (override|delete)|Key '[^']+' (is )?not in '")
_OPTION = re.compile(r"Could not find '([^']+)/([^'/]*)'")
_NO_TEXT = re.compile(r"Config group override must be a string or a list")
_WRONG_TYPE = re.compile(r"Error merging override ([^\n]*)\n(.*?)(?:\n|$)")
_AMBIGUOUS = re.compile(r"Ambiguous value for argument '([^=]*)=(.*?)'\n", re.DOTALL)
_SWEPT_HYDRA = re.compile(
    r"Sweeping over Hydra's configuration is not supported : '([^=']*)=(.*)'$"
)
_FULL_KEY = re.compile(r"full_key: (\S+)")
# Texts of Hydra and OmegaConf, and what to print instead.
_REWORDED = (
    (r"An item is already at '([^']+)'", "+{}: this key exists already; leave out the +"),
    (r"Key '([^']+)' not in '\w+'", "~{}: the command needs this key; leave this argument out"),
    (r"Missing mandatory value: (\S+)", "{}: must be given"),
    (
        r"()Input config does not have a `_target_` field",
        "hydra/launcher= or hydra/sweeper=: the file has no _target_; begin it with "
        "`defaults: [slurm]`, or with another option of its group{}",
    ),
)
_INTERPOLATIONS = (
    (r"Interpolation key '([^']*)' not found", "there is no key {}"),
    (r"Environment variable '([^']*)' not found", "the environment variable {} is not set"),
    (r"Unsupported interpolation type (\S+)", "there is no resolver {}"),
    (r"()Recursive interpolation detected", "the value refers to itself"),
)
_TYPES = (
    (r"to Integer$", "must be a whole number"),
    (r"to Float$", "must be a number"),
    (r"(to Boolean|is not a valid bool.*)$", "must be true or false"),
    (r"is not Optional$", "must have a value"),
    (r"is not a ListConfig, (TupleConfig, )?list,? or tuple", "must be a list, such as [A,B]"),
    (r"to Dict\[", "must be a mapping, such as {NAME: VALUE}"),
)


def one_line(error: BaseException, config_name: str = "", keys: Sequence[str] = ()) -> str:
    """Explain an error in one line that names the key and the remedy.

    Args:
        error: The error.
        config_name: Name of the command's primary file; needed to explain errors of Hydra.
        keys: Further dotted keys of the command, besides those in conf/.
    """
    if config_name and (message := _explain(error, config_name, keys)) is not None:
        return printable(message)
    if isinstance(error, OSError):  # the text of an OSError begins with a number
        place = f"{error.filename}: " if error.filename else ""
        return printable(f"{place}{error.strerror or error}")
    text = str(error)
    if error.__cause__ is not None and isinstance(error, HydraException):
        text += f"\n{error.__cause__}"
    text = text.partition("Config search path")[0]
    options = ", ".join(line.strip() for line in text.splitlines() if line.startswith("\t"))
    lines = [line.strip() for line in text.splitlines() if line and not line.startswith("\t")]
    # Hydra repeats lines, and names classes that mean nothing to a user.
    kept = dict.fromkeys(
        line for line in lines if not line.startswith(("object_type", "reference"))
    )
    whole = " ".join(filter(None, ["; ".join(kept), options]))
    return printable(whole.replace("full_key: ", "key "))


def _explain(error: BaseException, command: str, keys: Sequence[str] = ()) -> str | None:
    """Explain an error that Hydra raised while composing; None if it is of another kind.

    Hydra has one type of exception for many errors, so they are told apart by their text.

    Args:
        error: The error.
        command: Name of the command's primary file.
        keys: Further keys of the command, besides those in conf/.
    """
    if isinstance(error, OverrideParseException):
        return _unparsable(error.override, command, keys)
    text = f"{error}\n{error.__cause__ or ''}" if isinstance(error, HydraException) else str(error)
    # Hydra names a key or a group of an option that is made for another command.
    if _NO_SUCH.search(text) and (misfit := _no_option(command)):
        return misfit
    if match := _UNKNOWN.search(text):
        return _no_such_key(match[2] or match[1], command, keys)
    if match := _NOT_THERE.search(text):
        return _no_such_key(match[1], command, keys, deletes=True)
    if match := _OPTION.search(text):
        known = _docs_for(command).options.get(match[1])
        if match[1].startswith("hydra/"):  # plugins of Hydra may add options
            lines = text.partition("Config search path")[0].splitlines()
            known = [line.strip() for line in lines if line.startswith("\t")]
        return None if known is None else no_such_option(match[1], match[2], known)
    if _NO_TEXT.search(text):
        return _no_option(command)
    if match := _WRONG_TYPE.search(text):
        reasons = (reason for pattern, reason in _TYPES if re.search(pattern, match[2]))
        return f"{match[1]}: {next(reasons, match[2])}"
    if match := _AMBIGUOUS.search(text):
        key, value = match[1], match[2]
        docs = _docs_for(command)
        if key not in (*keys, *docs.names(), *docs.options):
            return _no_such_key(key, command, keys)
        return f"{key}={value}: {_what_commas_are_for(key, value, docs)}"
    if match := _SWEPT_HYDRA.search(text.strip()):
        argument = f"{match[1]}={quote_value(match[2])}"
        return f"{match[1]}: cannot be swept; one value with commas is {quote_for_shell(argument)}"
    full_key = _FULL_KEY.search(text)
    for pattern, words in _REWORDED:
        if match := re.search(pattern, text):
            return words.format((full_key or match)[1])
    return _unresolved(text)


def _unresolved(text: str) -> str | None:
    """Explain a `${...}` that cannot be resolved; None if the error is of another kind."""
    for pattern, reason in _INTERPOLATIONS:
        if match := re.search(pattern, text):
            # OmegaConf names the key only sometimes, so look for the argument too.
            # The first argument with the name; a default of conf/ may contain it as well.
            typed = [each for each in sys.argv[1:] if "${" in each and match[1] in each]
            key = _FULL_KEY.search(text)
            where = typed[0] if typed else key[1] if key else "${...}"
            return f"{where}: {reason.format(match[1])}"
    return None


def _what_commas_are_for(key: str, value: str, docs: CommandDocs) -> str:
    """Say that commas need a sweep, or the quotes that the type of the key's default suggests."""
    ways = "commas are for a sweep (-m)"
    defaults = {each.name: each.value or "" for part in docs.parts for each in part.keys}
    default = yaml.safe_load(defaults.get(key, ""))
    if isinstance(default, list):
        return f"{ways} or a list ({quote_for_shell(f'{key}=[{value}]')})"
    if isinstance(default, str):
        return f"{ways} or one text ({quote_for_shell(f'{key}={quote_value(value)}')})"
    return ways


def _unparsable(override: str, command: str, keys: Sequence[str]) -> str:
    key, equals, value = override.partition("=")
    if not equals:
        return f'{override}: is not KEY=VALUE; a value with spaces needs quotes, as in "KEY=A B"'
    if not parses(f"{key}=1"):
        return _no_such_key(key, command, keys)
    sweeps = bool(MULTIRUN & set(sys.argv[1:]))
    return f"{override}: {how_to_quote(key, value, sweeps=sweeps)}"


def _no_such_key(key: str, command: str, keys: Sequence[str], *, deletes: bool = False) -> str:
    docs = _docs_for(command)
    if deletes and key in (*keys, *docs.names()):
        return f"~{key}: has no value that could be left out"
    groups = (each for each in docs.options if key.startswith(f"{package_of(each)}."))
    group = next(groups, key.partition(".")[0])
    others = keys_of_options(sys.argv[1:], group) if group in docs.options else {}
    if key in others and docs.chosen[group] == others[key]:  # a later option of a sweep lacks it
        return f"{key}: some options of {group} in this sweep have no such key; sweep them apart"
    if key in others:  # another option of the group has this key
        return f"{key}: no such key of {group}={docs.chosen[group]}; {group}={others[key]} has it"
    # The group that a key is in exists, but is not what was meant.
    known = [name for name in (*keys, *docs.names(), *others) if not key.startswith(f"{name}.")]
    return f"{key}: no such key{did_you_mean(key, known) or '; --help shows all keys'}"


def _no_option(command: str) -> str | None:
    """Find the argument that gives a group a value which is not the name of an option."""
    options = _docs_for(command).options
    for argument in sys.argv[1:]:
        key, equals, value = argument.partition("=")
        if equals and not key:
            return f"{argument}: is not KEY=VALUE"
        swept = value.split(",") if MULTIRUN & set(sys.argv[1:]) else [value]
        wrong = [each for each in swept if each.strip() not in options.get(key, swept)]
        if equals and key in options and wrong:
            return no_such_option(key, wrong[0], options[key])
    return None


def _docs_for(command: str) -> CommandDocs:
    """Read the documentation for the chosen options; for the defaults if a choice is wrong."""
    arguments = sys.argv[1:]
    try:
        return command_docs(command, arguments)
    except ValueError:
        flags = [each for each in arguments if each.startswith("-") or "=" not in each]
        return command_docs(command, flags)  # keep --config-dir


def root_cause(error: BaseException) -> BaseException:
    """Unwrap an error of Hydra: the wrapper says where it happened, the cause says what."""
    while error.__cause__ is not None and (
        isinstance(error, InstantiationException)
        or (isinstance(error, ImportError) and str(error).startswith("Error loading '"))
    ):
        error = error.__cause__
    return error
