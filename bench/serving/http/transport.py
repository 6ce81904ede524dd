"""Requests on their way to a server and back: connections, when what was sent, and null requests.

Everything here runs in one event loop. A connection carries one request at a time and is kept.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import SimpleNamespace

import aiohttp
import numpy as np
from numpy.typing import NDArray

from bench.serving.http.network import DELAY_HEADER, Delays
from bench.serving.http.stages import SERVER_STAGES, TOTAL, parse_server_timing

_NULL_PATH = "/v2/health/live"
# Longer than any pass: connections are to be kept.
_KEEP_ALIVE_S = 3600.0
# Logits of a hundred thousand classes as text are a quarter of this.
_MAX_ANSWER_BYTES = 8 * 1024**2
_TIMING_HEADER = "server-timing"

# When a connection breaks, is refused or cannot be made; TimeoutError is an OSError.
CONNECTION_ERRORS = (aiohttp.ClientError, OSError)


@dataclass(slots=True)
class Request:
    """One sample on its way; times are monotonic seconds, NaN where it did not get so far."""

    sample_id: int
    index: int
    issued_s: float
    sent_s: float = math.nan
    received_s: float = math.nan
    timing: str = ""
    ok: bool = False
    logits: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back, whatever its status; location is where a redirect leads to."""

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
            url: Where to ask.
            concurrency: Connections of the load.
            timeout_s: From the sending of a request until its answer is there.
            null_bytes: Size of a request of the load, for which a null request is held up.
            delays: What to ask of the network's proxy; None if there is none.
            clock: Monotonic seconds.
        """
        self._url = url
        self._concurrency = concurrency
        self._delays = delays
        self._null_delays = delays.spawn(1) if delays else None
        self._clock = clock
        self._session = self._new_session(concurrency, timeout_s)
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
        # None can be answered before the last one has been sent, so each takes a connection.
        sessions = [*[self._session] * self._concurrency, self._null_session]
        await asyncio.gather(*(self._touch(session) for session in sessions))

    async def ask(self, request: Request, path: str, body: bytes) -> Reply:
        """Send one request and wait for its answer; notes in the request when that was.

        Raises:
            aiohttp.ClientError, OSError: There was no answer.
        """
        async with self._session.post(
            self._url + path,
            data=body,
            headers=_delay(self._delays, len(body)),
            trace_request_ctx=request,
            allow_redirects=False,  # what answers must be what was asked
        ) as answer:
            reply = await _read(answer)
        request.received_s = self._clock()
        request.timing = ", ".join(answer.headers.getall(_TIMING_HEADER, ()))
        return reply

    async def network_ms(self) -> float:
        """The round trip of a null request less the time that the server reports.

        It is held up as a request of the load would be, that of its size included. What a server
        that reports nothing takes to answer it remains in.

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
        """Null requests on an absolute schedule, until it is cancelled.

        Args:
            period_s: From one to the next.
            note: Takes the round trip of each, in milliseconds; those that fail are left out.
        """
        start_s = self._clock()
        while True:
            # The load sees for itself whether the server is gone, and counts what fails.
            with suppress(*CONNECTION_ERRORS):
                note(await self.network_ms())
            # The next one that is due: those that are late already are left out.
            elapsed_s = self._clock() - start_s
            due_s = (math.floor(elapsed_s / period_s) + 1) * period_s
            await asyncio.sleep(due_s - elapsed_s)

    def _new_session(self, limit: int, timeout_s: float) -> aiohttp.ClientSession:
        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(self._sent)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=limit, keepalive_timeout=_KEEP_ALIVE_S),
            trace_configs=[trace],
            timeout=aiohttp.ClientTimeout(total=timeout_s),
            headers={"content-type": "application/json"},
        )

    async def _sent(
        self, session: aiohttp.ClientSession, context: SimpleNamespace, sent: object
    ) -> None:
        """The client has a connection and writes to it."""
        if context.trace_request_ctx is not None:
            context.trace_request_ctx.sent_s = self._clock()

    async def _touch(self, session: aiohttp.ClientSession) -> None:
        async with session.get(self._url + _NULL_PATH, allow_redirects=False) as answer:
            await _read(answer)


async def _read(answer: aiohttp.ClientResponse) -> Reply:
    """Read an answer to its end, unless it has none.

    Raises:
        aiohttp.ClientError: It broke off, or is larger than any answer of this protocol.
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
    """One page, whatever its status, outside an event loop.

    Raises:
        aiohttp.ClientError, OSError: There was no answer, or not the whole of it in time.
    """
    return asyncio.run(_get(url, timeout_s))


def request_columns(
    requests: Sequence[Request], network_ms: Sequence[float]
) -> dict[str, list[float]]:
    """One value of each column for each request; see HttpSystem.columns."""
    times = {
        name: np.array([getattr(request, name) for request in requests])
        for name in ("issued_s", "sent_s", "received_s")
    }
    median_ms = float(np.median(network_ms)) if network_ms else math.nan
    reported = [parse_server_timing(request.timing) for request in requests]
    columns: dict[str, NDArray[np.float64]] = {
        **times,
        "client_wait_ms": (times["sent_s"] - times["issued_s"]) * 1e3,
        "round_trip_ms": (times["received_s"] - times["sent_s"]) * 1e3,
        "network_ms": np.full(len(requests), median_ms),
        **{
            f"{name}_ms": np.array([stages.get(name, math.nan) for stages in reported])
            for name in (*SERVER_STAGES, TOTAL)
        },
        "ok": np.array([float(request.ok) for request in requests]),
    }
    return {name: values.tolist() for name, values in columns.items()}


def _delay(delays: Delays | None, num_bytes: int) -> dict[str, str]:
    return {} if delays is None else {DELAY_HEADER: str(delays.draw_ms(num_bytes))}
