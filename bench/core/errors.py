"""Errors that decide how a record says its run ended, and messages that are put together once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from bench.core.printable import printable


class CombinationRefused(ValueError):  # noqa: N818 -- a refusal with its reason, not a fault
    """A model, a runtime, a device and a compression do not go together: the run is `refused`."""


class DivergedError(RuntimeError):
    """The loss is not a number any more: a failure with a cost, which no budget would mend."""


class PassFailed(RuntimeError):  # noqa: N818 -- says what happened to the pass
    """The system failed during a pass or when it was first tried; the cause says how."""


class CompressionRefused(CombinationRefused):
    """The runtime would not compute in the precision asked for, or cannot run this model at all.

    The message is one line with the reason and, if there is one, the alternative that works.
    """


class LibraryMissing(ValueError):  # noqa: N818 -- says what is missing, as meters do
    """A library of an extra is not installed. The user can mend that, so it is not a refusal."""


def first_line(error: BaseException) -> str:
    """The first line of an exception's message; its kind if it has no message."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def kind_and_line(error: BaseException) -> str:
    """The kind of an exception and the first line of its message."""
    kind, line = type(error).__name__, first_line(error)
    return kind if line == kind else f"{kind}: {line}"


def first_error(error: ValidationError) -> str:
    """The first complaint of pydantic about data from a file, with its place, in one line."""
    first = error.errors()[0]
    return printable(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")


def install_hint(extra: str) -> str:
    """Say how to install an extra of pyproject.toml; the end of a message.

    The package is installed from a checkout or from its repository, so no command that names only
    the package would find it.
    """
    return f"install it with the extra '{extra}' (docs/install.md)"


@contextmanager
def needs_extra(extra: str, what: str, kind: type[Exception]) -> Iterator[None]:
    """A block that imports what an extra installs.

    Args:
        extra: Name of the extra in pyproject.toml.
        what: The library, after the key that needs it: `recipe=prune: torch_pruning`.
        kind: Raised, with how to install the extra, if the block cannot import the library.
    """
    try:
        yield
    except ImportError as error:
        raise kind(f"{what} is not installed; {install_hint(extra)}") from error
