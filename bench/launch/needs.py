"""Checks what runs need from this machine, in another process and before any run starts.

Only libraries can tell whether a class, a device or the files of a data set exist. They are
imported in another process, so that this one imports neither torch nor the user's modules.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.core.files import last_lines
from bench.launch.isolation import ForkServer
from bench.launch.server import NotStarted


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that a run needs.

    Attributes:
        check: `module:function`, which raises ValueError or OSError if the need is not met.
        arguments: The arguments of that function; the first two are a key and its value.
    """

    check: str
    arguments: tuple[Any, ...]


# This command does not check these needs again.
_met: set[Need] = set()


def forget() -> None:
    """Check every need again, as a new command does."""
    _met.clear()


_on_check: ContextVar[Callable[[], None] | None] = ContextVar("_on_check", default=None)


@contextmanager
def announcing(say: Callable[[], None] | None) -> Iterator[None]:
    """Call `say` before needs are checked in the block, which may have to wait for imports."""
    token = _on_check.set(say)
    try:
        yield
    finally:
        _on_check.reset(token)


def require(needs: Iterable[Need]) -> None:
    """Refuse runs whose needs are not met, before anything is measured.

    Raises:
        ValueError: A need is not met; the message names the key and the remedy.
    """
    unseen = [need for need in dict.fromkeys(needs) if need not in _met]
    if not unseen:
        return
    if (say := _on_check.get()) is not None:
        say()
    for need, refusal in zip(unseen, _refusals(unseen), strict=True):
        if refusal is not None:
            raise ValueError(refusal)
        _met.add(need)


def _refusals(needs: Sequence[Need]) -> list[str | None]:
    """Check needs in another process: for each, why it is not met, or None."""
    answers: list[str | None] = []
    with TemporaryDirectory(prefix="bench-needs-") as folder:
        log = Path(folder) / "log.txt"
        server = ForkServer(preload=())
        try:
            ending = server.run("bench.launch.needs:run", needs, log=log, on_message=answers.append)
        except NotStarted as error:
            raise ValueError(str(error)) from error
        if len(answers) < len(needs):  # a check has crashed its process
            key, value = needs[len(answers)].arguments[:2]
            how = ending.signal_name or f"exit code {ending.exit_code}"
            last_words = " ".join(last_lines(log, 3, most_bytes=1000))
            answers.append(f"{key}={value}: the check ended by {how} ({last_words or 'no output'})")
    return answers + [None] * (len(needs) - len(answers))


def run(needs: Sequence[Need], send: Callable[[str | None], None], launched_s: float) -> None:
    """Send, for each need in order, why it is not met, or None."""
    for need in needs:
        send(refusal(need))


def refusal(need: Need) -> str | None:
    """Why a need is not met, in one line; None if it is met."""
    module, _, function = need.check.partition(":")
    try:
        getattr(importlib.import_module(module), function)(*need.arguments)
    except (ValueError, OSError) as error:
        return " ".join(str(error).split())
    return None
