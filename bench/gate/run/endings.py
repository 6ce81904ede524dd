"""How the commands of the gate end: whatever happens, the files that are asked for say it.

Without that, those of an earlier check would stay, and look like the outcome of this one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from bench.cli.start import CRASHED, INTERRUPTED, USAGE_ERROR
from bench.cli.terminal import shown
from bench.config.gate import OUTPUTS, JudgeConfig
from bench.core.files import expanded
from bench.gate.model import Comparison, Problem, ProblemKind
from bench.gate.words.output import complain, write

Run = Callable[[Mapping[str, Any]], int]
# What the keys of the two sides are called; none of these files is written over.
_SIDES = (("baseline", "base"), ("candidate", "head"))
_READ = ("baseline", "candidate", "noise")
_NO_VALUE = ("", "null", "???")


def told_in_files(
    arguments: Sequence[str], command: Callable[[Run], int], run: Run, *, has_files: bool = True
) -> int:
    """Run a command of the gate; where it ends early, its files say why. Its exit code.

    Args:
        arguments: Of the command line, for a configuration that cannot be composed.
        command: Composes the configuration and gives it to what it is called with.
        run: What it does with it.
        has_files: Whether its outcome goes to files and to the summary of a job.
    """
    _show_anything()
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    begun = False

    def told(plain: Mapping[str, Any]) -> int:
        nonlocal begun
        begun = True
        try:
            with _endings(plain) if has_files else nullcontext():
                return run(plain)
        except OSError as error:
            if wants_traceback:
                raise
            complain(in_words(error))
            return CRASHED
        except ValueError as error:
            raise ValueError(shown(error)) from error

    code = command(told)
    if code and has_files and not begun:
        told_before = "the command line cannot be read; what the command printed says why"
        kind: ProblemKind = "interrupted" if code == INTERRUPTED else "wrong"
        _write_ending(_given(arguments), kind, told_before, code)
    return code


@contextmanager
def _endings(plain: Mapping[str, Any]) -> Iterator[None]:
    """Write to the files what ends the command before it could."""
    try:
        yield
    except ValueError as error:
        _write_ending(plain, "wrong", str(error), USAGE_ERROR)
        raise
    except KeyboardInterrupt:
        _write_ending(plain, "interrupted", "nothing was compared", INTERRUPTED)
        raise
    except Exception as error:
        _write_ending(plain, "broken", in_words(error), CRASHED)
        raise


def in_words(error: Exception) -> str:
    """What happened, with the file or folder that it happened to."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def _write_ending(plain: Mapping[str, Any], kind: ProblemKind, message: str, code: int) -> None:
    names = [next((str(plain[key]) for key in keys if key in plain), "?") for keys in _SIDES]
    alpha = plain.get("alpha")
    ending = Comparison(
        base_name=names[0],
        candidate_name=names[1],
        rows=[],
        problems=[Problem(kind=kind, message=message, exit_code=code)],
        alpha=alpha if isinstance(alpha, float) else JudgeConfig.alpha,
    )
    write(ending, _outputs(plain))


def _outputs(plain: Mapping[str, Any]) -> dict[str, Path]:
    """The files that may be written, by key: none that is read, and none that is not a file."""
    taken = {os.path.realpath(expanded(plain[key])) for key in _READ if _is_named(plain.get(key))}
    files = {}
    for key in OUTPUTS:
        if _is_named(plain.get(key)):
            path = expanded(plain[key])
            place = os.path.realpath(path)
            if place not in taken and not os.path.isdir(place):
                files[key] = path
            taken.add(place)
    return files


def _is_named(value: Any) -> bool:
    return isinstance(value, str) and value not in _NO_VALUE


def _given(arguments: Sequence[str]) -> dict[str, str]:
    """The keys of a command line that Hydra could not compose, as they stand there."""
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    pairs = (argument.partition("=") for argument in own)
    return {key: value.strip("'\"") for key, equals, value in pairs if equals}


def _show_anything() -> None:
    """What an encoding of the terminal lacks is shown as its code, and ends no command."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
