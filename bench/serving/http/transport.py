"""Sends requests to a server over connections that are kept, and notes when each was sent.

Everything here runs in one event loop. A connection carries one request at a time.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import SimpleNamespace

import aiohttp
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.serving.http.network import DELAY_HEADER, Delays
from bench.serving.http.stages import SERVER_STAGES, TOTAL, parse_server_timing

_NULL_PATH = "/v2/health/live"
# Longer than any pass, so that no connection is closed between requests.
_KEEP_ALIVE_S = 3600.0
# Four times the outputs of a hundred thousand classes as text.
_MAX_ANSWER_BYTES = 8 * 1024**2
_TIMING_HEADER = "server-timing"

# A connection breaks, is refused or cannot be made; TimeoutError is an OSError, too.
CONNECTION_ERRORS = (aiohttp.ClientError, OSError)


@dataclass(slots=True)
class Request:
    """One sample on its way; times are monotonic seconds, NaN for a step not reached yet."""

    sample_id: int
    index: int
    issued_s: float
    sent_s: float = math.nan
    received_s: float = math.nan
    timing: str = ""
    ok: bool = False
    outputs: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer of any status; location is the target of a redirect."""

    status: int
    content: bytes
    location: str = ""


class Transport:
    """Connections to one address: those of the load, and one for null requests."""

    def __init__(
        self,
        url: str,
        *,
        concurrency: int,
        timeout_s: float,
        null_bytes: int,
        delays: Delays | None,
        clock: Callable[[], float],
    ) -> None:
        """Connect to nothing yet; must be made in the event loop.

        Args:
            url: Address of the server, or of the network in front of it.
            concurrency: Connections of the load.
            timeout_s: Longest time from sending a request until its answer is complete.
            null_bytes: Size of a request of the load; a null request is delayed by as much.
            delays: Delays to request from the network's proxy; None if there is no proxy.
            clock: Monotonic seconds.
        """
        self._url = url
        self._concurrency = concurrency
        self._delays = delays
        self._null_delays = delays.spawn(1) if delays else None
        self._clock = clock
        self._session = self._new_session(concurrency, timeout_s)
        # Null requests need a connection of their own, or they would wait behind the load.
        self._null_session = self._new_session(1, timeout_s)
        self._null_bytes = null_bytes

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()
        await self._null_session.close()

    async def connect(self) -> None:
        """Make all connections, so that no request has to wait for one to be made.

        Raises:
            aiohttp.ClientError, OSError: A connection cannot be made.
        """
        # All are sent before the first can be answered, so that each takes a connection.
        sessions = [*[self._session] * self._concurrency, self._null_session]
        await asyncio.gather(*(self._touch(session) for session in sessions))

    async def ask(self, request: Request, path: str, body: bytes) -> Reply:
        """Send one request and wait for its answer; note the times in the request.

        Raises:
            aiohttp.ClientError, OSError: There was no answer.
        """
        async with self._session.post(
            self._url + path,
            data=body,
            headers=_delay(self._delays, len(body)),
            trace_request_ctx=request,
            allow_redirects=False,  # otherwise another server might answer
        ) as answer:
            reply = await _read(answer)
        request.received_s = self._clock()
        request.timing = ", ".join(answer.headers.getall(_TIMING_HEADER, ()))
        return reply

    async def network_ms(self) -> float:
        """The round trip of a null request, less the time that the server reports.

        The request is delayed as one of the load would be, including the delay for its size. If the
        server reports no time, the time that it takes to answer is included.

        Raises:
            aiohttp.ClientError, OSError: There was no answer.
        """
        request = Request(0, 0, self._clock())
        async with self._null_session.get(
            self._url + _NULL_PATH,
            headers=_delay(self._null_delays, self._null_bytes),
            trace_request_ctx=request,
            allow_redirects=False,
        ) as answer:
            await _read(answer)
        round_trip_ms = (self._clock() - request.sent_s) * 1e3
        reported = parse_server_timing(answer.headers.get(_TIMING_HEADER, ""))
        return round_trip_ms - reported.get(TOTAL, 0.0)

    async def measure_network(self, period_s: float, note: Callable[[float], None]) -> None:
        """Send null requests on a fixed schedule until this is cancelled.

        Args:
            period_s: Time from one to the next.
            note: Takes the round trip of each, in milliseconds; failed ones are left out.
        """
        start_s = self._clock()
        while True:
            # The load itself notices a server that is gone, and counts failures.
            with suppress(*CONNECTION_ERRORS):
                note(await self.network_ms())
            # Skip the ones that are already late.
            elapsed_s = self._clock() - start_s
            due_s = (math.floor(elapsed_s / period_s) + 1) * period_s
            await asyncio.sleep(due_s - elapsed_s)

    def _new_session(self, limit: int, timeout_s: float) -> aiohttp.ClientSession:
        # Only a trace tells when a connection was free: the call itself returns after the answer.
        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(self._note_sent)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=limit, keepalive_timeout=_KEEP_ALIVE_S),
            trace_configs=[trace],
            timeout=aiohttp.ClientTimeout(total=timeout_s),
            headers={"content-type": "application/json"},
        )

    async def _note_sent(
        self, session: aiohttp.ClientSession, context: SimpleNamespace, headers: object
    ) -> None:
        """Note when the client has found a connection and writes to it."""
        if context.trace_request_ctx is not None:
            context.trace_request_ctx.sent_s = self._clock()

    async def _touch(self, session: aiohttp.ClientSession) -> None:
        async with session.get(self._url + _NULL_PATH, allow_redirects=False) as answer:
            await _read(answer)


async def _read(answer: aiohttp.ClientResponse) -> Reply:
    """Read an answer to its end.

    Raises:
        aiohttp.ClientError: It broke off, or is larger than any answer of a protocol can be.
    """
    parts: list[bytes] = []
    num_bytes = 0
    async for part in answer.content.iter_any():
        num_bytes += len(part)
        if num_bytes > _MAX_ANSWER_BYTES:
            raise aiohttp.ClientPayloadError(f"an answer of over {_MAX_ANSWER_BYTES} bytes")
        parts.append(part)
    location = answer.headers.get("location", "") if 300 <= answer.status < 400 else ""
    return Reply(status=answer.status, content=b"".join(parts), location=location)


async def _get(url: str, timeout_s: float) -> Reply:
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(url, allow_redirects=False) as answer,
    ):
        return await _read(answer)


def get(url: str, timeout_s: float) -> Reply:
    """Get one page of any status, outside an event loop.

    Raises:
        aiohttp.ClientError, OSError: There was no complete answer in time.
    """
    return asyncio.run(_get(url, timeout_s))


def request_columns(requests: Sequence[Request], network_ms: Sequence[float]) -> pd.DataFrame:
    """A row for each request; see HttpSystem.columns."""
    times = ("issued_s", "sent_s", "received_s")
    columns = pd.DataFrame({name: _floats(requests, name) for name in times})
    columns["client_wait_ms"] = (columns["sent_s"] - columns["issued_s"]) * 1e3
    columns["round_trip_ms"] = (columns["received_s"] - columns["sent_s"]) * 1e3
    columns["network_ms"] = float(np.median(network_ms)) if network_ms else math.nan
    reported = [parse_server_timing(request.timing) for request in requests]
    for name in (*SERVER_STAGES, TOTAL):
        columns[f"{name}_ms"] = [stages.get(name, math.nan) for stages in reported]
    return columns.assign(ok=_floats(requests, "ok"))


def _floats(requests: Iterable[Request], name: str) -> NDArray[np.float64]:
    return np.array([getattr(request, name) for request in requests], dtype=np.float64)


def _delay(delays: Delays | None, num_bytes: int) -> dict[str, str]:
    return {} if delays is None else {DELAY_HEADER: str(delays.draw_ms(num_bytes))}
