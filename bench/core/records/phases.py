"""Wall time by phase."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

# The phases on the clock. Each command has some of them.
TrainingPhase = Literal["train", "eval", "checkpoint"]
MaintenancePhase = Literal["serve", "detect", "decide", "retrain", "promote", "observe"]
ProgramPhase = Literal["run"]
Phase = TrainingPhase | MaintenancePhase | ProgramPhase
TRAINING_PHASES: tuple[Phase, ...] = get_args(TrainingPhase)
MAINTENANCE_PHASES: tuple[Phase, ...] = get_args(MaintenancePhase)
PROGRAM_PHASES: tuple[Phase, ...] = get_args(ProgramPhase)
SERVING_PHASES: tuple[Phase, ...] = ("serve",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """Wall time by phase: two phases before the clock; the others add up to wall_time_s.

    A phase is None if the command does not have it or its time is unknown, as in a run that was
    killed before its first evaluation. 0 means that the clock never started.

    Attributes:
        launch_s: Time from the launch of the job's process, after waiting for the host's lock, to
            its first line. Before the clock.
        init_s: Time from there to the start of the clock, or to the end of a run that never started
            it: opening meters, reading data into memory, building the model, checking data and
            model, compilation, warm-up. Before the clock.
        train_s: Fetching batches, forward, backward, optimizer, and PyTorch Lightning's work around
            them.
        eval_s: Evaluations on the validation split, metrics included.
        checkpoint_s: Writing rows to the curve and to a logger, and saving the model.
        serve_s: `bench.serve`: window around the performance pass; LoadGen also prepares its
            queries in it. `serving.duration_s` is the pass alone. `bench.maintain`: preprocessing
            and predictions of the deployed model.
        detect_s: The drift detector. This and the next four are phases of `bench.maintain`.
        decide_s: Opening labels that have become known, and deciding whether to retrain.
        retrain_s: Retrainings: choosing their samples, set-up, training.
        promote_s: Comparing a new model with the deployed one, and replacing it.
        observe_s: Work that only the benchmark needs: computing the true accuracy, writing rows.
        run_s: `bench.measure`: the program, from before its process is started until it has ended.
        wall_time_s: Sum of the command's phases on the clock.
    """

    launch_s: float | None = None
    init_s: float | None = None
    train_s: float | None = None
    eval_s: float | None = None
    checkpoint_s: float | None = None
    serve_s: float | None = None
    detect_s: float | None = None
    decide_s: float | None = None
    retrain_s: float | None = None
    promote_s: float | None = None
    observe_s: float | None = None
    run_s: float | None = None
    wall_time_s: float | None = None
