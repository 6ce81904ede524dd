"""A server as a System: sends the load generator's queries as requests over HTTP.

The generator's thread only hands requests over; an event loop in another thread sends and receives.
The load is open loop: a request that finds no free connection waits in the client, where its wait
is measured, and does not delay the requests after it. At the same time, null requests cross the
same network at a low rate on a connection of their own: their round trip is the network's latency.

A request that is not answered with 200 in time has failed; it is not sent again. The pass is given
up if the server is gone or hangs, or if none of the first inputs gets its outputs. Nothing more is
sent then, and all remaining samples are reported as done, so that the pass ends.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from typing_extensions import override

from bench.serving.http.failures import EndWatch, Failures, Patience, Reason
from bench.serving.http.network import Delays
from bench.serving.http.protocols import RequestProtocol, read_reply
from bench.serving.http.transport import (
    CONNECTION_ERRORS,
    Reply,
    Request,
    Transport,
    request_columns,
)
from bench.serving.system import Done, LoopThread, Sample, System

_log = logging.getLogger(__name__)

_UNAVAILABLE = 503
_NULL_PERIOD_S = 0.1
_GIVEN_UP = Reason("given up, as the pass had failed")


class HttpSystem(System):
    """A System behind an address; open within its `with` block.

    After a pass, network_ms holds the round trip of each of its null requests, in milliseconds.
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
            url: Address of the server, or of the network in front of it: http://HOST:PORT.
            protocol: Writes the requests and reads the answers.
            concurrency: Connections, each with one request at a time.
            request_timeout_s: Longest time from sending a request until its answer is complete.
            max_timeouts: Give up after this many requests in a row without an answer in time.
            delays: Delays to request from the network's proxy; None if there is no proxy.
            gone: Returns why the server or the proxy has ended; None while both run.
            clock: Monotonic seconds.
        """
        self.network_ms: list[float] = []
        self._failures = Failures()
        self._url = url.rstrip("/")
        self._protocol = protocol
        self.concurrency = concurrency
        self._patience = Patience(max_timeouts, request_timeout_s)
        self._timeout_s = request_timeout_s
        self._delays = delays
        self._end_watch = EndWatch(gone)
        self._clock = clock
        self._requests: list[Request] = []
        self._done: Done = lambda ids: None
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

    @override
    def fail(self, error: BaseException | None) -> None:
        """As in System; also give up all requests on their way."""
        super().fail(error)
        if self.failure is not None:
            self._thread.soon(self._give_up)

    @override
    def begin(self, done: Done, *, collect: bool) -> None:
        """Begin a pass; make all connections, so that no request has to wait for one."""
        self.failure = None
        self.num_failed = 0
        self.network_ms = []
        self._failures = Failures()
        self._patience.begin()
        self._requests = []
        self._done = done
        self._collect = collect
        self._some_ok = False
        self._end_watch.begin()
        self._thread.call(self._begin())

    @override
    def issue(self, samples: Sequence[Sample]) -> None:
        """Hand the samples of a query over to the event loop."""
        issued_s = self._clock()
        requests = [Request(sample.id, sample.index, issued_s) for sample in samples]
        self._thread.soon(self._take, requests)

    @override
    def end(self) -> None:
        """End the pass and its null requests."""
        self._thread.call(self._end())

    @override
    def answers(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """As in System; failed requests are left out."""
        # In the order of issue; the caller sorts them by input.
        answers = [
            (each.index, values) for each in self._requests if (values := each.outputs) is not None
        ]
        indices = np.array([index for index, _ in answers], dtype=np.int64)
        outputs = [values for _, values in answers]
        return indices, np.stack(outputs) if outputs else np.empty((0, 0), dtype=np.float32)

    @override
    def columns(self) -> pd.DataFrame:
        """When each request was sent, and where its time went; NaN for unknown values.

        Columns: issued_s, sent_s, received_s (monotonic), client_wait_ms (from the issue until the
        request is sent, including the wait for a connection), round_trip_ms (until the answer is
        complete), network_ms (median of the null requests of the pass), STAGE_ms for each of
        SERVER_STAGES and for the total, as the server reports them, and ok (1 or 0).
        """
        return request_columns(self._requests, self.network_ms)

    @override
    def failure_reasons(self) -> list[str]:
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
        # One for each connection, so a request never waits inside the HTTP library, where its wait
        # could not be measured.
        self._workers = [asyncio.create_task(self._work()) for _ in range(self.concurrency)]
        self._null: asyncio.Task[None] | None = None

    async def _close(self) -> None:
        await self._end()
        self._is_open = False
        await _cancel(self._workers)
        await self._transport.close()

    async def _begin(self) -> None:
        await self._end()  # in case the last pass was broken off
        began_s = self._clock()
        try:
            await self._transport.connect()
        except TimeoutError:
            self._note_timeout(began_s)
        except CONNECTION_ERRORS as error:
            await self._check_server(error)
        if self.failure is None:
            measure = self._transport.measure_network(_NULL_PERIOD_S, self.network_ms.append)
            self._null = asyncio.create_task(measure)

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
        """Send queued requests one after another: there is one such task for each connection."""
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
                    self.fail(self._failures.hopeless())
            # Report last, once a failure is noted: the generator may issue the next one now.
            self._done([request.sample_id])

    async def _ask_until_failure(self, request: Request) -> Reason | None:
        """Send one request and wait for the answer, unless the pass fails in the meantime."""
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
        """Send one request; return why it failed, or None."""
        began_s = self._clock()
        try:
            body = self._protocol.body(request.index)
            reply = await self._transport.ask(request, self._protocol.path, body)
            # Any answer shows that the server does not hang, even one with an error.
            self._patience.answered(request.received_s)
            if reply.status >= 500:
                self.fail(await self._end_watch.reason(waits=reply.status == _UNAVAILABLE))
            return self._read(request, reply)
        except TimeoutError:
            self._note_timeout(began_s)
            return Reason(f"no answer within {self._timeout_s:g} s")
        except CONNECTION_ERRORS as error:
            await self._check_server(error)
            return Reason.from_error(error)
        except Exception as error:
            # It may not reach the load generator, which would wait for ever: see System.
            _log.exception("a request broke the client")
            self.fail(error)
            return Reason.from_error(error)

    def _read(self, request: Request, reply: Reply) -> Reason | None:
        """Read an answer; return why it has no outputs, or None."""
        # Only the accuracy pass needs the outputs; reading them in others would slow the client.
        outputs = read_reply(self._protocol, reply, in_full=self._collect)
        if isinstance(outputs, Reason):
            return outputs
        request.outputs = outputs
        return None

    def _note_timeout(self, began_s: float) -> None:
        """Note that a request got no answer in time; fail the pass if the server seems to hang."""
        self.fail(self._patience.timed_out(began_s, self._clock()))

    def _give_up(self) -> None:
        """Cancel all requests that wait for an answer."""
        for task in (*self._asking, self._null):
            if task is not None:
                task.cancel()

    async def _check_server(self, error: Exception) -> None:
        """After a connection broke or was refused, fail the pass if the server is gone."""
        refused = isinstance(getattr(error, "os_error", error), ConnectionRefusedError)
        self.fail(await self._end_watch.reason(waits=refused))
        if refused and self.failure is None:
            self.fail(ConnectionRefusedError(f"{self._url}: nothing answers there any more"))


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait for their end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
