"""Wall time by phase."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """Wall time by phase: launch_s and init_s before the clock, the others sum to wall_time_s.

    A phase that the command does not have, or whose time is not known, is None: that of a run which
    was killed before its first evaluation, say. 0 is known: the clock never started.

    Attributes:
        launch_s: Time from the launch of the job's process (after waiting for the host's lock) to
            its first line; before the clock.
        init_s: Time from there to the start of the clock, or to the end of a run that never reached
            it: opening meters, reading data into memory, building the model, the check of data and
            model, compilation, warm-up; before the clock.
        train_s: Fetching batches, forward, backward, optimizer, and what PyTorch Lightning does
            around them.
        eval_s: Evaluations on the validation split, metrics included.
        checkpoint_s: Writing rows to the curve and to a logger, and saving the model.
        serve_s: Window around the performance pass of `bench.serve`, in which LoadGen also prepares
            its queries (`serving.duration_s` is the pass alone).
        wall_time_s: Sum of the phases on the clock that the command has.
    """

    launch_s: float | None = None
    init_s: float | None = None
    train_s: float | None = None
    eval_s: float | None = None
    checkpoint_s: float | None = None
    serve_s: float | None = None
    wall_time_s: float | None = None
