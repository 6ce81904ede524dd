"""Decides which of several runs of the same configuration, seed and repeat counts.

A run can be measured again after a crash, after Ctrl-C, or to confirm a number. The gate and the
analysis use only the run that `choose_run` returns, because repetitions of the same seed are not
independent samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bench.core.records.run import NOT_STARTED

# The run ended by itself: its time, its miss or its failure is a result of its configuration.
_FINISHED = frozenset({"ok", "failed", "out_of_memory", "refused"})


class Ended(NamedTuple):
    """How a run ended, when it started, and whether a search stopped it before its own budget."""

    status: str
    error_kind: str | None
    started_utc: str
    run_id: str
    cut_off: bool = False


def start_order(run_id: str, started_utc: str = "") -> tuple[str, str, str, str]:
    """Sort key that puts runs in the order in which they were started.

    A start stamp has whole seconds, and several short runs can start within one. The last part of a
    run id therefore begins with the fraction of the second. Runs of versions before 0.1 have random
    digits there, so their order within a second is arbitrary but always the same.

    Args:
        run_id: Id of the run, or the name of its folder.
        started_utc: The stamp in the record; without it, the stamp in the run id counts.
    """
    stamp, _, rest = run_id.partition("-")
    return started_utc, stamp, rest.rpartition("-")[2], run_id


def has_begun(run: Ended) -> bool:
    """Whether the process of the run began; a run that never began counts nowhere at all."""
    return run.error_kind != NOT_STARTED


def has_finished(run: Ended) -> bool:
    """Whether the run ended by itself, in success or in failure; nothing outside cut it off."""
    return has_begun(run) and run.status in _FINISHED


def choose_run(runs: Sequence[Ended]) -> int | None:
    """Choose the run that counts among runs of one configuration, seed and repeat.

    The latest finished run counts (`ok`, `failed`, `out_of_memory`, `refused`). If none finished,
    the latest `killed` run counts; something outside ended it, so it says less about the
    configuration. Interrupted runs, and runs that never began, never count. A run that a search has
    stopped counts only if no other run finished: it says less than one with its whole budget.

    Args:
        runs: The runs, in any order.

    Returns:
        The index of the run that counts, or None if none does.
    """
    finished = [index for index, run in enumerate(runs) if has_finished(run)]
    places = [index for index in finished if not runs[index].cut_off] or finished
    if not places:
        places = [n for n, run in enumerate(runs) if has_begun(run) and run.status == "killed"]
    return max(places, key=lambda n: start_order(runs[n].run_id, runs[n].started_utc), default=None)
