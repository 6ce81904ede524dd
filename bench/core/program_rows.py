"""The rows of the catalogue for programs of any kind, which bench.measure runs."""

from __future__ import annotations

from bench.core.metric import ON_THE_CLOCK, Topic, measured_row, shown_rows

_TOPICS: tuple[Topic, ...] = ("program",)

PROGRAM_ROWS = (
    measured_row("phases.run_s", 0.05, title="time of a program", topics=_TOPICS),
    measured_row(
        "phase_energy.run_j",
        0.05,
        title="energy of a program",
        topics=_TOPICS,
        joules=ON_THE_CLOCK,
        error="phase_energy.run_error_frac",
    ),
    measured_row("program.cpu_time_s", 0.05, title="CPU time of a program", topics=_TOPICS),
    *shown_rows(None, "program.", "exit_code", "num_left"),
)
