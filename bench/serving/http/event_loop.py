"""An event loop in a thread of its own, and calls into it from others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from bench.serving.system import LASTING_THREADS

_T = TypeVar("_T")


class LoopThread:
    """Runs from start() to stop(), in a thread that outlives every pass."""

    def __init__(self) -> None:
        """Make the loop, the quicker kind where it is installed."""
        self._loop = _new_event_loop()

    def start(self) -> None:
        """Run it."""
        self._running = LASTING_THREADS.submit(self._loop.run_forever)

    def stop(self) -> None:
        """Give the thread back."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._running.result()
        self._loop.close()

    def call(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run something in the loop, from another thread, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def soon(self, function: Callable[..., None], *arguments: object) -> None:
        """Call a function in the loop, from any thread; does nothing while it does not run."""
        if self._loop.is_running():
            self._loop.call_soon_threadsafe(function, *arguments)


async def cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait for their end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
