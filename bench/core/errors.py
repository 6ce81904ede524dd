"""Exceptions that decide the status of a run in its record, and texts shared by error messages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from bench.core.printable import printable


class CombinationRefused(ValueError):  # noqa: N818 -- a refusal with its reason, not a fault
    """Model, runtime, device and compression do not work together: the run is `refused`."""


class DivergedError(RuntimeError):
    """The loss is no longer finite. The run has failed, at a cost; a larger budget cannot help."""


class NoMetricsError(ValueError):
    """A module of the user's logged nothing in validation that a target could be judged by."""


class PassFailed(RuntimeError):  # noqa: N818 -- says what happened to the pass
    """The system failed in a pass or when it was first tried; `__cause__` says how."""


class CompressionRefused(CombinationRefused):
    """The runtime would not compute in the requested precision, or cannot run this model at all.

    The message is one line with the reason and, if there is one, the alternative that works.
    """


class LibraryMissing(ValueError):  # noqa: N818 -- says what is missing, as meters do
    """A library of an extra is not installed. The user can install it, so it is not a refusal."""


def first_line(error: BaseException) -> str:
    """The first line of an exception's message; its kind if it has no message."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def kind_and_line(error: BaseException) -> str:
    """The kind of an exception and the first line of its message."""
    kind, line = type(error).__name__, first_line(error)
    return kind if line == kind else f"{kind}: {line}"


def first_error(error: ValidationError) -> str:
    """The first error that pydantic found in data from a file, in one line with its location."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))  # none if the data is not JSON at all
    return printable(": ".join(filter(None, (place, first["msg"]))))


def install_hint(extra: str) -> str:
    """Say how to install an extra of pyproject.toml; the end of a message.

    The package is installed from a checkout or from its repository, so no command that names only
    the package would find it.
    """
    return f"install it with the extra '{extra}' (docs/install.md)"


@contextmanager
def needs_extra(extra: str, what: str, kind: type[Exception]) -> Iterator[None]:
    """Wrap an import, so that a missing library becomes an error that says how to install it.

    Args:
        extra: Name of the extra in pyproject.toml that installs the library.
        what: The key that needs the library, and its name: `recipe=prune: torch_pruning`.
        kind: The exception to raise if the import fails.
    """
    try:
        yield
    except ImportError as error:
        raise kind(f"{what} is not installed; {install_hint(extra)}") from error
