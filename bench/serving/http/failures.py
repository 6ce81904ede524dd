"""Why requests failed: each kind of reason with its count, and the first example."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

# Of the body of an answer that is none.
_QUOTED_BYTES = 200
# A server may have as many reasons as there are requests.
_MOST_KINDS = 5


@dataclass(frozen=True, slots=True)
class WhyNot:
    """Why a request failed: what such requests have in common, and what this one adds to it."""

    kind: str
    example: str = ""

    @classmethod
    def of_error(cls, error: BaseException) -> WhyNot:
        """The reason that an exception is."""
        return cls(type(error).__name__, f": {error}")

    @classmethod
    def of_answer(cls, kind: str, content: bytes) -> WhyNot:
        """The reason that an answer is, with the beginning of its body in one line."""
        text = " ".join(content[:_QUOTED_BYTES].decode(errors="replace").split())
        return cls(kind, f": {text}" if text else ", with an empty body")


class Failures:
    """The failed requests of a pass."""

    def __init__(self) -> None:
        """There is none yet."""
        self._numbers: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def add(self, why: WhyNot) -> None:
        """Count a request that failed."""
        self._numbers[why.kind] += 1
        self._examples.setdefault(why.kind, why.example)

    def lines(self) -> list[str]:
        """One line for each kind, the most frequent first; rare ones together."""
        kinds = self._numbers.most_common()
        lines = [
            f"{number} requests failed: {kind}{self._examples[kind]}"
            for kind, number in kinds[:_MOST_KINDS]
        ]
        rest = sum(number for _, number in kinds[_MOST_KINDS:])
        return [*lines, f"{rest} requests failed for other reasons"] if rest else lines
