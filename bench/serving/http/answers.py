"""What an answer of a server is: logits, or the reason why it is none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.core.printable import printable
from bench.serving.http.failures import WhyNot
from bench.serving.http.protocols import BadAnswer, RequestProtocol
from bench.serving.http.transport import Reply


def read_reply(
    protocol: RequestProtocol, reply: Reply, *, in_full: bool
) -> NDArray[np.float32] | WhyNot | None:
    """Read an answer.

    Args:
        protocol: By which it was asked for.
        reply: What came.
        in_full: Whether to read the logits; else an answer that seems to have some is one.

    Returns:
        Logits, shape (num_classes,), None for an answer that was not read, or why it is none.
    """
    if reply.status != 200:
        where = f", redirected to {printable(reply.location)}" if reply.location else ""
        return WhyNot.of_answer(f"HTTP {reply.status}{where}", reply.content)
    if not in_full and protocol.key in reply.content:
        return None
    try:
        logits = protocol.logits(reply.content)
    except BadAnswer as error:
        return WhyNot.of_answer(f"HTTP 200, {error}", reply.content)
    return logits if in_full else None
