"""What Hydra's errors wrap."""

from __future__ import annotations

from hydra.errors import InstantiationException


def innermost(error: BaseException) -> BaseException:
    """What went wrong, out of Hydra's wrappers: they say where, their cause says what."""
    while error.__cause__ is not None and (
        isinstance(error, InstantiationException)
        or (isinstance(error, ImportError) and str(error).startswith("Error loading '"))
    ):
        error = error.__cause__
    return error
