"""One run counts once: which of several runs of the same configuration, seed and repeat counts.

A run can be measured again: after a crash, after Ctrl-C, or to confirm a figure. The gate and the
analysis take one run per place, by the rule of `counted`, so that a repetition never passes for one
more independent sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bench.core.records.run import NOT_STARTED

# Ended by itself: its time, its miss or its failure is a result of its configuration.
_FINISHED = frozenset({"ok", "failed", "out_of_memory", "refused"})


class Ended(NamedTuple):
    """How and when one of several runs of the same configuration, seed and repeat ended."""

    status: str
    error_kind: str | None
    started_utc: str
    run_id: str


def start_order(run_id: str, started_utc: str = "") -> tuple[str, str, str, str]:
    """The sort key that puts runs in the order in which they were started.

    A start stamp tells seconds only, and several short runs start within one; the last part of a
    run id begins with the fraction of the second.

    Args:
        run_id: Of the run, or the name of its folder.
        started_utc: The stamp of its record; without it, that of the run id counts.
    """
    stamp, _, rest = run_id.partition("-")
    return started_utc, stamp, rest.rpartition("-")[2], run_id


def began(run: Ended) -> bool:
    """Whether the process of the run began; a run that never began counts nowhere at all."""
    return run.error_kind != NOT_STARTED


def finished(run: Ended) -> bool:
    """Whether the run ended by itself, in success or in failure; nothing outside cut it off."""
    return began(run) and run.status in _FINISHED


def counted(runs: Sequence[Ended]) -> int | None:
    """Choose the run that counts among runs of one configuration, seed and repeat.

    The latest finished run counts (`ok`, `failed`, `out_of_memory`, `refused`). A `killed` one
    counts where none finished: something outside ended it, so it says less about the configuration.
    Interrupted runs, and runs that never began, count never.

    Args:
        runs: In any order.

    Returns:
        The index of the run that counts, or None where none of them does.
    """
    places = [index for index, run in enumerate(runs) if finished(run)]
    if not places:
        places = [n for n, run in enumerate(runs) if began(run) and run.status == "killed"]
    return max(places, key=lambda n: start_order(runs[n].run_id, runs[n].started_utc), default=None)
