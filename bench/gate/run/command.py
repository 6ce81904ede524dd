"""The command lines of the gate, and files that report the outcome however a command ends.

The value of a key that names a revision, a command or a path is taken word for word: Hydra's
grammar has no `HEAD~1`, no `pip install . && make`, no `~/results`, and reads the commit 1234567 as
a number.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.cli.overrides import quote_value
from bench.cli.start import MULTIRUN
from bench.cli.terminal import safe_line
from bench.config.gate import OUTPUTS, JudgeConfig
from bench.config.serve import ServeConfig
from bench.config.train import TrainConfig
from bench.core.checks import keys_of
from bench.core.files import expand_path
from bench.gate.model import Comparison, Exit, Problem, ProblemKind, problem
from bench.gate.report.output import complain, write

Run = Callable[[Mapping[str, Any]], int]

_END = "--"
_WORD_FOR_WORD = ("base", "head", "good", "bad", "ref", "install", "python")
_EXAMPLES = {"ab": "base=origin/main ", "bisect": "good=v1 "}  # keys that a command must have
_INPUTS = ("baseline", "candidate", "noise")
_PATHS = (*_INPUTS, "results", "history", *OUTPUTS)
# bench.ab gives each run its folder and its repeat.
_SET_PER_RUN = ("results", "repeat")
# With these Hydra makes jobs elsewhere, or in another order than that of the two revisions.
_SPREADS = ("hydra/launcher", "hydra.launcher", "hydra/sweeper", "hydra.sweeper")
_HERE = ("basic", "checked")  # options that make the jobs here, one after the other
_NO_VALUE = ("", "null", "???")
# Without = and quotes: such a value means the same with and without quotes.
_PLAIN = re.compile(r"[\w./+-]+", re.ASCII)
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")


def split_arguments(
    arguments: Sequence[str], command: str, keys: Collection[str]
) -> tuple[list[str], list[str]]:
    """Split a command line at `--`: arguments of the command for Hydra, and of the benchmark.

    Args:
        arguments: The command line without the program's name.
        command: `ab`, `bisect` or `noise`.
        keys: Those that the command has.

    Raises:
        ValueError: An argument stands on the wrong side of `--`, or would spread the runs.
    """
    own, theirs = _parted(arguments)
    overrides, program = _parted(theirs)  # bench.measure has a second --, before the program
    _refuse_to_spread(arguments[: len(arguments) - len(program)], command)
    dotted = (*keys_of(TrainConfig), *keys_of(ServeConfig))
    # Of our own benchmarks; a user's module may have any other keys.
    benchmark_keys = {key.partition(".")[0] for key in dotted}
    base = _EXAMPLES.get(command, "")
    for argument in own:
        root = _key(argument).partition(".")[0]
        if argument in MULTIRUN or root in (benchmark_keys | {"experiment"}) - set(keys):
            raise ValueError(
                f"{argument}: is for the benchmark; what it is given goes after --, as in "
                f"python -m bench.{command} {base}-- {argument}"
            )
    for argument in overrides:
        if _key(argument) in _SET_PER_RUN:
            raise ValueError(
                f"{argument}: bench.{command} gives each run its own; leave it out after -- "
                "(results=DIR before it says where all runs go)"
            )
    return word_for_word(own), theirs


def _refuse_to_spread(arguments: Sequence[str], command: str) -> None:
    """Refuse launchers and sweepers: both revisions have to be measured on one machine, in turn.

    Raises:
        ValueError: There is one; the message has the command to give to SLURM instead.
    """
    spreading = [argument for argument in arguments if _spreads(argument)]
    if not spreading:
        return
    kept = [argument for argument in arguments if argument not in spreading]
    job = shlex.join(["python", "-m", f"bench.{command}", *kept])
    raise ValueError(
        f"{spreading[0]}: bench.{command} measures both sides in turn on one machine, since a "
        "difference between machines would look like one between revisions; on SLURM, give the "
        f"whole command to one job: sbatch --exclusive --wrap {shlex.quote(job)}"
    )


def _spreads(argument: str) -> bool:
    key, _, value = argument.lstrip("+~").partition("=")
    group = key.partition("@")[0]
    return group.startswith(_SPREADS) and value not in _HERE


def _parted(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    end = arguments.index(_END) if _END in arguments else len(arguments)
    return list(arguments[:end]), list(arguments[end + 1 :])


def _key(argument: str) -> str:
    """The key of KEY=VALUE; empty for anything else."""
    key, equals, _ = argument.partition("=")
    return key.lstrip("+~") if equals else ""


def word_for_word(arguments: Sequence[str]) -> list[str]:
    """Quote values for Hydra where they are taken word for word; `${` in a path interpolates."""
    return [_word_for_word(argument) for argument in arguments]


def _word_for_word(argument: str) -> str:
    key, _, value = argument.partition("=")
    is_path = key in _PATHS and "${" not in value and not _PLAIN.fullmatch(value)
    # A user who quotes for Hydra knows its grammar.
    is_for_hydra = value in _NO_VALUE or _QUOTED.fullmatch(value)
    if is_for_hydra or not (is_path or key in _WORD_FOR_WORD):
        return argument
    return f"{key}={quote_value(value)}"


def hydra_value(text: str) -> str:
    """Write a text as a value in Hydra's grammar, quoted only where it needs to be."""
    return text if _PLAIN.fullmatch(text) else quote_value(text)


def run_arguments(overrides: Sequence[str], results: Path, repeat: int) -> list[str]:
    """The arguments of one run of the benchmark.

    Args:
        overrides: What the user gives it.
        results: Where it writes its run folders.
        repeat: Counts the runs of its side.
    """
    keys, program = _parted(overrides)
    given = [*keys, f"results={hydra_value(str(results))}", f"repeat={repeat}"]
    return [*given, _END, *program] if program else given


def compare_line(baseline: str, candidate: str, *others: str) -> str:
    """The command that compares two paths, quoted for a shell and for Hydra.

    Args:
        baseline: A path.
        candidate: Likewise.
        others: More arguments, as Hydra takes them.
    """
    sides = (f"baseline={hydra_value(baseline)}", f"candidate={hydra_value(candidate)}")
    return " ".join(["python -m bench.compare", *map(shlex.quote, (*sides, *others))])


def run_gate_command(
    arguments: Sequence[str], compose: Callable[[Run], int], run: Run, *, has_files: bool = True
) -> int:
    """Run a command of the gate; its files report an early end too, and hold no earlier check.

    Args:
        arguments: The command line, for a configuration that cannot be composed.
        compose: Composes the configuration and calls what it is given with it.
        run: Does the work with the configuration, and returns the exit code.
        has_files: Whether the command has files and the summary of a job to write to.
    """
    _show_all_characters()
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"  # the commands set it later on
    write_end = _write_end if has_files else _write_nothing
    begun = False

    def run_reporting(plain: Mapping[str, Any]) -> int:
        nonlocal begun
        begun = True
        try:
            return run(plain)
        except KeyboardInterrupt:
            write_end(plain, problem("interrupted", "nothing was compared"))
            raise
        except ValueError as error:
            write_end(plain, problem("wrong", str(error)))
            raise ValueError(safe_line(error)) from error
        except Exception as error:
            write_end(plain, problem("broken", describe(error)))
            if wants_traceback or not isinstance(error, OSError):
                raise
            complain(describe(error))
            return Exit.FAILED

    code = compose(run_reporting)
    if code and not begun:
        message = "the command line cannot be read; what the command printed says why"
        kind: ProblemKind = "interrupted" if code == Exit.INTERRUPTED else "wrong"
        write_end(_uncomposed(arguments), Problem(kind=kind, message=message, exit_code=code))
    return code


def _show_all_characters() -> None:
    """Show characters that the terminal's encoding does not have as codes: they end no command."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def describe(error: Exception) -> str:
    """What happened, with the file or folder that it happened to."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def _write_end(plain: Mapping[str, Any], end: Problem) -> None:
    """Write the files of a configuration that was not compared."""
    base, candidate = (
        next((str(plain[key]) for key in keys if key in plain), "?")
        for keys in (("baseline", "base"), ("candidate", "head"))
    )
    alpha = plain.get("alpha")
    nothing = Comparison(
        base_name=base,
        candidate_name=candidate,
        problems=[end],
        alpha=alpha if isinstance(alpha, float) else JudgeConfig.alpha,
    )
    write(nothing, _outputs(plain))


def _write_nothing(plain: Mapping[str, Any], end: Problem) -> None:
    """Of a command without files."""


def _outputs(plain: Mapping[str, Any]) -> dict[str, Path]:
    """The files that may be written, by key: not those that are read, no folder, none twice."""
    taken = {
        os.path.realpath(expand_path(plain[key])) for key in _INPUTS if _is_given(plain.get(key))
    }
    files = {}
    for key in OUTPUTS:
        if _is_given(plain.get(key)):
            path = expand_path(plain[key])
            place = os.path.realpath(path)
            if place not in taken and not os.path.isdir(place):
                files[key] = path
            taken.add(place)
    return files


def _is_given(value: Any) -> bool:
    return isinstance(value, str) and value not in _NO_VALUE


def _uncomposed(arguments: Sequence[str]) -> dict[str, str]:
    """The keys of a command line that Hydra could not compose, with their values as text."""
    # Hydra could not read them, but KEY=VALUE is enough to find the files.
    pairs = (argument.partition("=") for argument in _parted(arguments)[0])
    return {key: value.strip("'\"") for key, equals, value in pairs if equals}
