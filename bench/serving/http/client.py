"""A server as a System: queries of the load generator become requests over HTTP.

The generator's thread only hands over; an event loop in a thread of its own sends and receives.
Load is open loop: what finds no free connection waits in the client, where it is counted, and does
not hold up what comes after it in the schedule. Beside the load, null requests go the same way on a
connection of their own, at a low rate: what they take is the network.

A request that is not answered with 200 in time has failed; it is not sent again. Once the server is
gone, nothing is sent any more and all that comes is told to be done, so that the pass ends.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from bench.serving.http.delays import Delays
from bench.serving.http.failures import Failures, WhyNot
from bench.serving.http.protocols import BadAnswer, RequestProtocol
from bench.serving.http.transport import (
    CONNECTION_ERRORS,
    Reply,
    Request,
    Transport,
    request_columns,
)
from bench.serving.system import Done, Sample
from bench.serving.threads import LASTING_THREADS

_T = TypeVar("_T")

_log = logging.getLogger(__name__)

# A server that has just been killed may refuse connections before its end can be seen.
_DEATH_TRIES = 20
_DEATH_WAIT_S = 0.05
_NOT_SENT = WhyNot("not sent: the server is gone")


class HttpSystem:
    """A System behind an address; open from `with` to the end of its block.

    After a pass, network_ms holds what each null request of it took, in milliseconds.
    """

    failure: BaseException | None
    num_failed: int

    def __init__(
        self,
        url: str,
        protocol: RequestProtocol,
        *,
        concurrency: int = 64,
        request_timeout_s: float = 30.0,
        delays: Delays | None = None,
        gone: Callable[[], BaseException | None] = lambda: None,
        null_rate_per_s: float = 10.0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Connect to nothing yet.

        Args:
            url: Where to ask, http://HOST:PORT: of the server, or of the network before it.
            protocol: How to ask.
            concurrency: Connections, each with one request at a time.
            request_timeout_s: From when a request is sent until its answer is there.
            delays: What to ask of the network's proxy; None if there is none.
            gone: Tells why the server, or what lies before it, has ended; None while it has not.
            null_rate_per_s: Null requests per second.
            clock: Monotonic seconds.
        """
        self.failure = None
        self.num_failed = 0
        self.network_ms: list[float] = []
        self._failures = Failures()
        self._url = url.rstrip("/")
        self._protocol = protocol
        self._concurrency = concurrency
        self._timeout_s = request_timeout_s
        self._delays = delays
        self._gone = gone
        self._null_period_s = 1 / null_rate_per_s
        self._clock = clock
        self._requests: list[Request] = []
        self._done: Done = _nobody
        self._collect = False
        self._loop = _new_event_loop()

    def __enter__(self) -> Self:
        """Start the event loop in a thread."""
        self._running = LASTING_THREADS.submit(self._loop.run_forever)
        self._call(self._open())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close all connections and give the thread back."""
        try:
            self._call(self._close())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._running.result()
            self._loop.close()

    def begin(self, done: Done, *, collect: bool) -> None:
        """As in System; makes the connections, so that no request of the pass has to."""
        self.failure = None
        self.num_failed = 0
        self.network_ms = []
        self._failures = Failures()
        self._requests = []
        self._done = done
        self._collect = collect
        self._call(self._begin())

    def issue(self, samples: Sequence[Sample]) -> None:
        """As in System; returns at once."""
        issued_s = self._clock()
        requests = [Request(sample.id, sample.index, issued_s) for sample in samples]
        self._loop.call_soon_threadsafe(self._take, requests)

    def flush(self) -> None:
        """As in System; nothing waits for more."""

    def end(self) -> None:
        """As in System; ends the null requests."""
        self._call(self._end())

    def answers(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """As in System; requests that failed are left out."""
        found = [request for request in self._requests if request.logits is not None]
        indices = np.array([request.index for request in found], dtype=np.int64)
        logits = [request.logits for request in found if request.logits is not None]
        return indices, np.stack(logits) if logits else np.empty((0, 0), dtype=np.float32)

    def columns(self) -> Mapping[str, Sequence[float]]:
        """As in System: when, how long, and where; NaN for what is not known of a request.

        Keys: issued_s, sent_s, received_s (monotonic), client_wait_ms (from the issue until the
        request is sent, waiting for a connection included), round_trip_ms (until the answer is
        there), network_ms (median of the null requests of the pass), STAGE_ms for each of
        SERVER_STAGES and for the total, as the server tells them, and ok (1 or 0).
        """
        return request_columns(self._requests, self.network_ms)

    def failed_because(self) -> list[str]:
        """As in System."""
        return self._failures.lines()

    def _call(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run something in the event loop, from another thread, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _open(self) -> None:
        self._queue: asyncio.Queue[Request] = asyncio.Queue()
        self._transport = Transport(
            self._url,
            concurrency=self._concurrency,
            timeout_s=self._timeout_s,
            null_bytes=self._protocol.typical_bytes,
            delays=self._delays,
            clock=self._clock,
        )
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._concurrency)]
        self._null: asyncio.Task[None] | None = None

    async def _close(self) -> None:
        await self._end()
        await _cancel(self._workers)
        await self._transport.close()

    async def _begin(self) -> None:
        await self._end()  # of a pass that was broken off
        try:
            await self._transport.connect()
        except CONNECTION_ERRORS as error:
            await self._look_for_the_server(error)
        if self.failure is None:
            self._null = asyncio.create_task(self._measure_network())

    async def _end(self) -> None:
        if self._null is not None:
            await _cancel([self._null])
            self._null = None

    def _take(self, requests: list[Request]) -> None:
        """Queue new requests, in the order of issue."""
        self._requests += requests
        for request in requests:
            self._queue.put_nowait(request)

    async def _work(self) -> None:
        """One connection's worth of requests, one after another."""
        while True:
            request = await self._queue.get()
            why_not = _NOT_SENT if self.failure is not None else await self._ask(request)
            if why_not is None:
                request.ok = True
            else:
                self.num_failed += 1
                self._failures.add(why_not)
            # Last, when it is known whether the server is gone: the next one may be issued now.
            self._done([request.sample_id])

    async def _ask(self, request: Request) -> WhyNot | None:
        """Send one request; why it failed, or None."""
        try:
            body = self._protocol.body(request.index)
            reply = await self._transport.ask(request, self._protocol.path, body)
            return self._read(request, reply)
        except TimeoutError:
            return WhyNot(f"no answer within {self._timeout_s:g} s")
        except CONNECTION_ERRORS as error:
            await self._look_for_the_server(error)
            return WhyNot.of_error(error)
        except Exception as error:
            # Nothing may reach the load generator, nor may it wait for ever: see System.
            _log.exception("a request broke the client")
            self.failure = error
            return WhyNot.of_error(error)

    def _read(self, request: Request, reply: Reply) -> WhyNot | None:
        """Read an answer; why it is none, or None."""
        kind = f"HTTP {reply.status}"
        if reply.status == 200:
            # Outside the accuracy pass, answers are not read in full: that would slow the client.
            if not self._collect and self._protocol.key in reply.content:
                return None
            try:
                logits = self._protocol.logits(reply.content)
            except BadAnswer as error:
                return WhyNot.of_answer(f"{kind}, {error}", reply.content)
            request.logits = logits if self._collect else None
            return None
        if reply.status >= 500:
            # What lies before a server answers in its place when it is gone.
            self.failure = self.failure or self._gone()
        return WhyNot.of_answer(kind, reply.content)

    async def _look_for_the_server(self, error: Exception) -> None:
        """After a connection broke or was refused: keep why, if the server is gone."""
        refused = isinstance(getattr(error, "os_error", error), ConnectionRefusedError)
        for _ in range(_DEATH_TRIES if refused else 1):
            self.failure = self.failure or self._gone()
            if self.failure is not None:
                return
            if refused:
                await asyncio.sleep(_DEATH_WAIT_S)
        if refused:
            self.failure = ConnectionRefusedError(f"{self._url}: nothing answers there any more")

    async def _measure_network(self) -> None:
        """Null requests on an absolute schedule, until the pass or the server ends."""
        start_s = self._loop.time()
        while self.failure is None:
            try:
                self.network_ms.append(await self._transport.network_ms())
            except CONNECTION_ERRORS as error:
                # The load sees for itself whether the server is gone, and counts what fails.
                _log.debug("a null request failed: %s", error)
            # The next one that is due: those that are late already are left out.
            elapsed_s = self._loop.time() - start_s
            due_s = (math.floor(elapsed_s / self._null_period_s) + 1) * self._null_period_s
            await asyncio.sleep(due_s - elapsed_s)


def _nobody(samples: Sequence[int]) -> None:
    """Before the first pass nobody waits for an answer."""


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _new_event_loop() -> asyncio.AbstractEventLoop:
    """The quicker one where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
