"""The command lines of the gate: their own keys, `--`, and what the benchmark takes.

What a key of theirs is given is taken word for word where it is a revision, a command or a path:
Hydra's grammar has no `HEAD~1`, no `pip install . && make`, no `~/results`, and reads the commit
1234567 as a number.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from bench.cli.overrides import MULTIRUN, quoted
from bench.config.gate import OUTPUTS
from bench.config.serve import ServeConfig
from bench.config.train import TrainConfig
from bench.core.checks import keys_of

_END = "--"
_WORD_FOR_WORD = ("base", "head", "ref", "install", "python")
_PATHS = ("baseline", "candidate", "results", "noise", *OUTPUTS)
_GIVEN_BY_US = ("results", "repeat")
_PLAIN = re.compile(r"[\w./+-]+", re.ASCII)
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")


def split_arguments(
    arguments: Sequence[str], command: str, keys: Collection[str]
) -> tuple[list[str], list[str]]:
    """Arguments of the command, as Hydra takes them, and those of the benchmark, as they are.

    Args:
        arguments: All of the command line but the program's name.
        command: `ab` or `noise`.
        keys: That the command has.

    Raises:
        ValueError: One stands on the wrong side of `--`.
    """
    own, theirs = list(arguments), []
    if _END in own:
        end = own.index(_END)
        own, theirs = own[:end], own[end + 1 :]
    theirs_too = (*keys_of(TrainConfig), *keys_of(ServeConfig))
    benchmark_keys = {key.partition(".")[0] for key in theirs_too}
    for argument in own:
        root = _key(argument).partition(".")[0]
        if argument in MULTIRUN or root in (benchmark_keys | {"experiment"}) - set(keys):
            raise ValueError(
                f"{argument}: is for the benchmark; what it is given goes after --, as in "
                f"python -m bench.{command} {_example(command)}-- {argument}"
            )
    for argument in theirs:
        if _key(argument) in _GIVEN_BY_US:
            raise ValueError(
                f"{argument}: bench.{command} gives each run its own; leave it out after -- "
                "(results=DIR before it says where all runs go)"
            )
    return word_for_word(own), theirs


def word_for_word(arguments: Sequence[str]) -> list[str]:
    """Arguments of a command as Hydra takes them; in a path, `${` is an interpolation all the same.

    Args:
        arguments: Those of the command itself.
    """
    return [_word_for_word(argument) for argument in arguments]


def run_arguments(overrides: Sequence[str], results: Path, repeat: int) -> list[str]:
    """The arguments of one run of the benchmark.

    Args:
        overrides: What the user gives it.
        results: Where it is to put its run folders.
        repeat: Counts the runs of its side.
    """
    text = str(results)
    return [
        *overrides,
        f"results={text if _PLAIN.fullmatch(text) else quoted(text)}",
        f"repeat={repeat}",
    ]


def _key(argument: str) -> str:
    """The key of KEY=VALUE; empty for anything else."""
    key, equals, _ = argument.partition("=")
    return key.lstrip("+~") if equals else ""


def _example(command: str) -> str:
    return "base=origin/main " if command == "ab" else ""


def _word_for_word(argument: str) -> str:
    key, _, value = argument.partition("=")
    is_path = key in _PATHS and "${" not in value and not _PLAIN.fullmatch(value)
    is_taken = value in ("", "null", "???") or _QUOTED.fullmatch(value)
    if is_taken or not (is_path or key in _WORD_FOR_WORD):
        return argument
    return f"{key}={quoted(value)}"
