"""Why requests failed, each kind of reason with its count, and when a server is given up."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from bench.core.printable import printable

# Of the body of an answer that is none.
_QUOTED_BYTES = 200
# A server may have as many reasons as there are requests.
_MOST_KINDS = 5
# Where every image is asked for once, the first ones tell.
_FIRST_REQUESTS = 20


class ServerHangs(OSError):  # noqa: N818 -- what happened, as ServerDied
    """A server that is there and does not answer; one line."""


class WrongAnswers(ValueError):  # noqa: N818 -- of the server, not of this program
    """A server none of whose answers is one; one line with the first of them."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a request failed: what such requests have in common, and what this one adds to it."""

    kind: str
    example: str = ""

    @classmethod
    def of_error(cls, error: BaseException) -> Reason:
        """The reason that an exception is."""
        return cls(type(error).__name__, f": {printable(error)}" if str(error) else "")

    @classmethod
    def of_answer(cls, kind: str, content: bytes) -> Reason:
        """The reason that an answer is, with the beginning of its body in one line."""
        text = " ".join(printable(content[:_QUOTED_BYTES].decode(errors="replace")).split())
        return cls(kind, f": {text}" if text else ", with an empty body")


class Failures:
    """The failed requests of a pass."""

    def __init__(self) -> None:
        """There is none yet."""
        self._numbers: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def add(self, reason: Reason) -> None:
        """Count a request that failed."""
        self._numbers[reason.kind] += 1
        self._examples.setdefault(reason.kind, reason.example)

    def lines(self) -> list[str]:
        """One line for each kind, the most frequent first; rare ones together."""
        kinds = self._numbers.most_common()
        lines = [
            f"{_requests(number)} failed: {kind}{self._examples[kind]}"
            for kind, number in kinds[:_MOST_KINDS]
        ]
        rest = sum(number for _, number in kinds[_MOST_KINDS:])
        return [*lines, f"{_requests(rest)} failed for other reasons"] if rest else lines

    def hopeless(self) -> WrongAnswers | None:
        """Why no more need be asked, as no request was answered; None while too few failed."""
        if self._numbers.total() < _FIRST_REQUESTS:
            return None
        return WrongAnswers(
            f"none of the first {self._numbers.total()} requests got its logits, so the others "
            f"are not sent; {'; '.join(self.lines())}"
        )


class Patience:
    """Tells a server that hangs from one that is slow.

    A request that gets no answer in time counts if it was sent after the last answer came, and
    after the last one that counted: those of many connections are in time together, and so count
    once, and no answer has come all the while. At most so many times the limit is lost.
    """

    def __init__(self, max_timeouts: int, timeout_s: float) -> None:
        """Take how many requests in a row may get no answer, and the limit of each in seconds."""
        self._max_timeouts = max_timeouts
        self._timeout_s = timeout_s
        self.begin()

    def begin(self) -> None:
        """Begin anew, with a new pass."""
        self._num_timeouts = 0
        self._quiet_since_s = -math.inf

    def answered(self, now_s: float) -> None:
        """An answer has come, whatever it says."""
        self._num_timeouts = 0
        self._quiet_since_s = now_s

    def timed_out(self, sent_s: float, now_s: float) -> ServerHangs | None:
        """A request got no answer in time; the reason to give up, or None."""
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
