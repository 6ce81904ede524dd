"""The record of a user's fit, from what was measured of it."""

from __future__ import annotations

from dataclasses import replace

from bench.core.host import host_facts
from bench.core.outcome import outcome_record, without_doubtful_joules
from bench.core.records.run import RunError, RunRecord, Status
from bench.measure.window import Window
from bench.tasks.threads import thread_facts
from bench.training.own_run import OwnRun
from bench.training.profiler import TargetProfiler, phases_of


def fit_record(
    run: OwnRun,
    profiler: TargetProfiler,
    window: Window,
    *,
    opened_s: float,
    status: Status,
    error: RunError | None,
) -> RunRecord:
    """Everything that is known of a fit.

    Args:
        run: Its identity and configuration.
        profiler: After stop().
        window: What it was measured with, closed.
        opened_s: On the window's clock, when the callback began to open meters.
        status: How the fit ended.
        error: Why, where it did not end as ok.
    """
    record = outcome_record(
        run.identity,
        run.config,
        profiler.rows,
        status=status,
        error=error,
        host={**host_facts(), **thread_facts(), "gpus": window.devices},
        phases=phases_of(
            profiler.times,
            init_s=window.clock.started_s - opened_s if profiler.started else None,
        ),
        spent=profiler.spent,
        phase_energy=profiler.phase_energy,
        finished=profiler.finished,
    )
    return without_doubtful_joules(replace(record, **window.record_fields()))
