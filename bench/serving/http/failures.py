"""Why requests failed, counted by kind of reason, and when to give a server up."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from bench.core.printable import printable

# How much of the body of a wrong answer a message quotes.
_QUOTED_BYTES = 200
# A server may give a different reason for each request: report only the most frequent ones.
_MAX_KINDS = 5
_END_TRIES = 40
_END_WAIT_S = 0.05
# In the accuracy pass, if this many requests fail and none succeeds, the rest would fail, too.
_FIRST_REQUESTS = 20


class ServerHangs(OSError):  # noqa: N818 -- named for what happened, like ServerDied
    """A server is there but does not answer; one line."""


class WrongAnswers(ValueError):  # noqa: N818 -- the server's error, not this program's
    """A server gives no usable answer at all; one line with the first of its answers."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a request failed: the kind, by which reasons are counted, and this request's details."""

    kind: str
    example: str = ""

    @classmethod
    def from_error(cls, error: BaseException) -> Reason:
        """The reason for a request that ended with an exception."""
        return cls(type(error).__name__, f": {printable(error)}" if str(error) else "")

    @classmethod
    def from_answer(cls, kind: str, content: bytes) -> Reason:
        """The reason for a wrong answer, with the beginning of its body in one line."""
        text = " ".join(printable(content[:_QUOTED_BYTES].decode(errors="replace")).split())
        return cls(kind, f": {text}" if text else ", with an empty body")


class Failures:
    """The failed requests of a pass."""

    def __init__(self) -> None:
        """Begin with none."""
        self._numbers: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def add(self, reason: Reason) -> None:
        """Count a failed request."""
        self._numbers[reason.kind] += 1
        self._examples.setdefault(reason.kind, reason.example)

    def lines(self) -> list[str]:
        """One line for each kind, the most frequent first; the rarest share a line."""
        kinds = self._numbers.most_common()
        lines = [
            f"{_requests(number)} failed: {kind}{self._examples[kind]}"
            for kind, number in kinds[:_MAX_KINDS]
        ]
        rest = sum(number for _, number in kinds[_MAX_KINDS:])
        return [*lines, f"{_requests(rest)} failed for other reasons"] if rest else lines

    def hopeless(self) -> WrongAnswers | None:
        """The reason to send no more, if no request was answered; None if too few failed so far."""
        if self._numbers.total() < _FIRST_REQUESTS:
            return None
        return WrongAnswers(
            f"none of the first {self._numbers.total()} requests got its outputs, so the others "
            f"are not sent; {'; '.join(self.lines())}"
        )


class EndWatch:
    """Looks whether the server has ended; in each pass, it waits for that once.

    A server that ends refuses connections, or its proxy answers 503, before its process has ended:
    after SIGTERM, it first closes its model.
    """

    def __init__(self, gone: Callable[[], BaseException | None]) -> None:
        """Take a function that returns why the server has ended, or None while it runs."""
        self._gone = gone
        self._lock = asyncio.Lock()
        self.begin()

    def begin(self) -> None:
        """Start again for a new pass."""
        self._has_waited = False

    async def reason(self, *, waits: bool) -> BaseException | None:
        """Return why the server has ended; None if it runs.

        Args:
            waits: Wait a little for its end. Only one request of a pass does, and those that fail
                meanwhile wait for its answer; so an overloaded server that answers 503 costs
                little.
        """
        async with self._lock:
            for _ in range(_END_TRIES if waits and not self._has_waited else 1):
                if (died := self._gone()) is not None:
                    return died
                if waits and not self._has_waited:
                    await asyncio.sleep(_END_WAIT_S)
            self._has_waited |= waits
        return None


class Patience:
    """Tells a server that hangs from one that is slow.

    A timeout counts only if its request was sent after the last answer came and after the last
    timeout that counted. Requests on many connections, which time out together, thus count once,
    and max_timeouts in a row mean that no answer came all that time. A server that hangs costs at
    most max_timeouts times the timeout.
    """

    def __init__(self, max_timeouts: int, timeout_s: float) -> None:
        """Take how many timeouts in a row to accept, and the timeout of a request in seconds."""
        self._max_timeouts = max_timeouts
        self._timeout_s = timeout_s
        self.begin()

    def begin(self) -> None:
        """Start again for a new pass."""
        self._num_timeouts = 0
        self._quiet_since_s = -math.inf

    def answered(self, now_s: float) -> None:
        """Note that an answer has come, even an error."""
        self._num_timeouts = 0
        self._quiet_since_s = now_s

    def timed_out(self, sent_s: float, now_s: float) -> ServerHangs | None:
        """Note that a request got no answer in time; return the reason to give up, or None."""
        if sent_s >= self._quiet_since_s:
            self._num_timeouts += 1
            self._quiet_since_s = now_s
        if self._num_timeouts < self._max_timeouts:
            return None
        return ServerHangs(
            f"no answer to {_requests(self._num_timeouts)} in a row within {self._timeout_s:g} s "
            "each: the server hangs or is overloaded; see its log, or raise "
            "backend.http.request_timeout_s"
        )


def _requests(number: int) -> str:
    return "1 request" if number == 1 else f"{number} requests"
