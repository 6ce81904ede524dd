"""Wall time by phase."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """Wall time by phase: launch_s and init_s before the clock, the others sum to wall_time_s.

    A phase that the command does not have, or whose time is not known, is None: that of a run which
    was killed before its first evaluation, say. 0 is known: the clock never started.
    """

    launch_s: float | None = None
    init_s: float | None = None
    train_s: float | None = None
    eval_s: float | None = None
    checkpoint_s: float | None = None
    serve_s: float | None = None
    wall_time_s: float | None = None
