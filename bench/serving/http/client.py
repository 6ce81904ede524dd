"""A server as a System: queries of the load generator become requests over HTTP.

The generator's thread only hands over; an event loop in a thread of its own sends and receives.
Load is open loop: what finds no free connection waits in the client, where it is counted, and does
not hold up what comes after it in the schedule. Beside the load, null requests go the same way on a
connection of their own, at a low rate: what they take is the network.

A request that is not answered with 200 in time has failed; it is not sent again. Once the server is
gone or hangs, or none of the first images gets its logits, what is on its way is given up, nothing
is sent any more, and all further samples are reported as done, so that the pass ends.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bench.serving.http.event_loop import LoopThread, cancel
from bench.serving.http.failures import Failures, Patience, Reason
from bench.serving.http.network import Delays
from bench.serving.http.protocols import RequestProtocol, read_reply
from bench.serving.http.transport import (
    CONNECTION_ERRORS,
    Reply,
    Request,
    Transport,
    request_columns,
)
from bench.serving.system import Done, Sample

_log = logging.getLogger(__name__)

# A server that has just been killed may refuse connections before its end can be seen.
_DEATH_TRIES = 20
_DEATH_WAIT_S = 0.05
_NULL_PERIOD_S = 0.1
_GIVEN_UP = Reason("given up, as the pass had failed")


class HttpSystem:
    """A System behind an address; open from `with` to the end of its block.

    After a pass, network_ms holds what each null request of it took, in milliseconds.
    """

    def __init__(
        self,
        url: str,
        protocol: RequestProtocol,
        *,
        concurrency: int = 64,
        request_timeout_s: float = 30.0,
        max_timeouts: int = 3,
        delays: Delays | None = None,
        gone: Callable[[], BaseException | None] = lambda: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Connect to nothing yet.

        Args:
            url: Where to ask, http://HOST:PORT: of the server, or of the network before it.
            protocol: How to ask.
            concurrency: Connections, each with one request at a time.
            request_timeout_s: From when a request is sent until its answer is there.
            max_timeouts: Requests in a row without an answer in time, after which it is given up.
            delays: What to ask of the network's proxy; None if there is none.
            gone: Tells why the server, or what lies before it, has ended; None while it has not.
            clock: Monotonic seconds.
        """
        self._failure: BaseException | None = None
        self.num_failed = 0
        self.network_ms: list[float] = []
        self._failures = Failures()
        self._url = url.rstrip("/")
        self._protocol = protocol
        self.concurrency = concurrency
        self._patience = Patience(max_timeouts, request_timeout_s)
        self._timeout_s = request_timeout_s
        self._delays = delays
        self._gone = gone
        self._clock = clock
        self._requests: list[Request] = []
        self._done: Done = _nobody
        self._collect = False
        self._thread = LoopThread()

    def __enter__(self) -> Self:
        """Start the event loop in a thread."""
        self._thread.start()
        self._thread.call(self._open())
        return self

    def __exit__(self, *exception: object) -> None:
        """Close all connections and give the thread back."""
        try:
            self._thread.call(self._close())
        finally:
            self._thread.stop()

    @property
    def failure(self) -> BaseException | None:
        """As in System; once there is one, nothing is waited for any more."""
        return self._failure

    @failure.setter
    def failure(self, error: BaseException | None) -> None:
        self._failure = error
        if error is not None:
            self._thread.soon(self._give_up)

    def begin(self, done: Done, *, collect: bool) -> None:
        """As in System; makes the connections, so that no request of the pass has to."""
        self.failure = None
        self.num_failed = 0
        self.network_ms = []
        self._failures = Failures()
        self._patience.begin()
        self._requests = []
        self._done = done
        self._collect = collect
        self._some_ok = False
        self._thread.call(self._begin())

    def issue(self, samples: Sequence[Sample]) -> None:
        """As in System; returns at once."""
        issued_s = self._clock()
        requests = [Request(sample.id, sample.index, issued_s) for sample in samples]
        self._thread.soon(self._take, requests)

    def flush(self) -> None:
        """As in System; nothing waits for more."""

    def end(self) -> None:
        """As in System; ends the null requests."""
        self._thread.call(self._end())

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

    async def _open(self) -> None:
        self._queue: asyncio.Queue[Request] = asyncio.Queue()
        self._transport = Transport(
            self._url,
            concurrency=self.concurrency,
            timeout_s=self._timeout_s,
            null_bytes=self._protocol.typical_bytes,
            delays=self._delays,
            clock=self._clock,
        )
        self._is_open = True
        self._asking: set[asyncio.Task[None] | None] = set()
        self._workers = [asyncio.create_task(self._work()) for _ in range(self.concurrency)]
        self._null: asyncio.Task[None] | None = None

    async def _close(self) -> None:
        await self._end()
        self._is_open = False
        await cancel(self._workers)
        await self._transport.close()

    async def _begin(self) -> None:
        await self._end()  # of a pass that was broken off
        began_s = self._clock()
        try:
            await self._transport.connect()
        except TimeoutError:
            self._note_timeout(began_s)
        except CONNECTION_ERRORS as error:
            await self._look_for_the_server(error)
        if self.failure is None:
            measure = self._transport.measure_network(_NULL_PERIOD_S, self.network_ms.append)
            self._null = asyncio.create_task(measure)

    async def _end(self) -> None:
        if self._null is not None:
            await cancel([self._null])
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
            reason = (
                _GIVEN_UP if self.failure is not None else await self._ask_until_failure(request)
            )
            if reason is None:
                request.ok = self._some_ok = True
            else:
                self.num_failed += 1
                self._failures.add(reason)
                if self._collect and not self._some_ok:
                    self.failure = self.failure or self._failures.hopeless()
            # Last, when it is known whether the server is gone: the next one may be issued now.
            self._done([request.sample_id])

    async def _ask_until_failure(self, request: Request) -> Reason | None:
        """Send one request, and wait for the answer unless the pass fails meanwhile."""
        task = asyncio.current_task()
        self._asking.add(task)
        try:
            return await self._ask(request)
        except asyncio.CancelledError:
            if not self._is_open:
                raise
            return _GIVEN_UP
        finally:
            self._asking.discard(task)

    async def _ask(self, request: Request) -> Reason | None:
        """Send one request; why it failed, or None."""
        began_s = self._clock()
        try:
            body = self._protocol.body(request.index)
            reply = await self._transport.ask(request, self._protocol.path, body)
            self._patience.answered(request.received_s)
            return self._read(request, reply)
        except TimeoutError:
            self._note_timeout(began_s)
            return Reason(f"no answer within {self._timeout_s:g} s")
        except CONNECTION_ERRORS as error:
            await self._look_for_the_server(error)
            return Reason.of_error(error)
        except Exception as error:
            # Nothing may reach the load generator, nor may it wait for ever: see System.
            _log.exception("a request broke the client")
            self.failure = error
            return Reason.of_error(error)

    def _read(self, request: Request, reply: Reply) -> Reason | None:
        """Read an answer; why it is none, or None."""
        if reply.status >= 500:
            # What lies before a server answers in its place when it is gone.
            self.failure = self.failure or self._gone()
        # Outside the accuracy pass, answers are not read in full: that would slow the client.
        found = read_reply(self._protocol, reply, in_full=self._collect)
        if isinstance(found, Reason):
            return found
        request.logits = found
        return None

    def _note_timeout(self, began_s: float) -> None:
        """A request that began then got no answer in time: the server may hang."""
        self.failure = self.failure or self._patience.timed_out(began_s, self._clock())

    def _give_up(self) -> None:
        """Wait for no answer any more."""
        for task in (*self._asking, self._null):
            if task is not None:
                task.cancel()

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


def _nobody(samples: Sequence[int]) -> None:
    """Before the first pass nobody waits for an answer."""
