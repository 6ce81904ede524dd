"""Whether a window is the only one that is measured on its host."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable

from bench.core.lock import LockError, holder_of, lock_path, try_lock


class Alone:
    """Keeps other runs from being measured while it is open, as far as that can be done."""

    def __init__(self, shared: bool | None) -> None:
        """Nothing is held yet.

        Args:
            shared: Whether others may be measured; None to keep them away.
        """
        self._shared = shared
        self._release: Callable[[], None] | None = None

    def open(self) -> bool:
        """Take the host's lock if it is free.

        Returns:
            Whether nobody else measures, as far as the lock tells.

        Warns:
            UserWarning: Another run is being measured, or the lock cannot be used.
        """
        if self._shared is not None:
            return not self._shared
        path = lock_path()
        try:
            self._release = try_lock(path, f"a window of {sys.argv[0] or 'an interactive Python'}")
            reason = f"another run is being measured on this host ({holder_of(path)})"
        except LockError as error:
            reason = str(error)
        if self._release is None:
            warnings.warn(f"{reason}; this one is marked as shared", stacklevel=4)
        return self._release is not None

    def close(self) -> None:
        """Let others measure."""
        if self._release is not None:
            self._release()
            self._release = None
