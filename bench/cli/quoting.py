"""Text as Hydra's grammar takes it, and as a shell takes that: what to type for any value."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

from bench.core.printable import printable

_PLAIN = re.compile(r"[\w/\\+.$%*@?|:\s-]", re.ASCII)  # what the grammar takes outside of quotes
_OF_THE_SHELL = re.compile(r'["$`\\!]')  # what it reads inside of double quotes


def quoted(text: str) -> str:
    """As Hydra's grammar takes any text; `${` is no interpolation."""
    return QuotedString(text=text.replace("${", "\\${"), quote=Quote.single).with_quotes()


def for_shell(argument: str) -> str:
    """An argument as one types it at a shell."""
    return shlex.quote(argument) if _OF_THE_SHELL.search(argument) else f'"{argument}"'


def how_to_quote(key: str, value: str, *, sweeps: bool) -> str:
    """The end of a message: why the grammar does not take a value, and what to type instead.

    Args:
        key: As it stands on the command line, with its `+`.
        value: That is not taken as it stands.
        sweeps: Whether commas part values to be run one after another.
    """
    meant = _quoted_as_meant(value, sweeps=sweeps)
    argument = f"{key}={meant}"
    kept = "" if meant == quoted(value) else "[,]"  # these part its elements
    strange = [each for each in dict.fromkeys(value) if not _PLAIN.match(each) and each not in kept]
    named = [character for character in strange if character.isascii()]
    if len(named) < len(strange):
        named.append("characters beyond ASCII")
    reason = f"Hydra takes {' '.join(named)} in quotes only" if named else "Hydra needs quotes here"
    told = for_shell(argument)
    if not parses(argument) or printable(told) != told:
        return reason
    return f"{reason}: {told}"


def parses(argument: str) -> bool:
    """Whether Hydra's grammar takes an argument of a command line."""
    try:
        OverridesParser.create().parse_override(argument)
    except HydraException:
        return False
    return True


def _quoted_as_meant(value: str, *, sweeps: bool) -> str:
    """Each element of a list or sweep on its own, if that is one, else the whole value."""
    is_list = value.startswith("[") and value.endswith("]")
    for applies, inner, wrap in (
        (is_list, value[1:-1], lambda text: f"[{text}]"),
        (sweeps and "," in value, value, str),
    ):
        if applies and not set("[]{}()'\"") & set(inner):
            parts = [part if parses(f"k={part}") else quoted(part) for part in inner.split(",")]
            made: Callable[[str], str] = wrap
            return made(",".join(parts))
    return quoted(value)
