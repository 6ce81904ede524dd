"""The record of a run that was measured: what it came to, the machine, and what its window read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from bench.core.outcome import outcome_record, without_doubtful_joules
from bench.core.records.curve import CurveRow
from bench.core.records.run import RunIdentity, RunRecord
from bench.measure.window import Window


def measured_record(
    identity: RunIdentity,
    config: Mapping[str, Any],
    rows: Sequence[CurveRow],
    window: Window | None,
    *,
    host: Mapping[str, Any],
    fields: Mapping[str, Any] | None = None,
    **ending: Any,
) -> RunRecord:
    """Everything that is known of a run, without joules that a health flag speaks against.

    Args:
        identity: What names the run.
        config: The resolved configuration.
        rows: The evaluations that were completed.
        window: What it was measured with; None where it did not get so far.
        host: Facts of the machine, and of what ran on it.
        fields: More fields of the record.
        **ending: As outcome_record has it.
    """
    # Threads as they were, whoever decided their number: of one operator, and of operators at once.
    facts = {
        **host,
        "num_threads": torch.get_num_threads(),
        "num_interop_threads": torch.get_num_interop_threads(),
        "gpus": window.devices if window else [],
    }
    record = outcome_record(identity, config, rows, host=facts, **ending)
    measured = window.record_fields() if window else {}
    return without_doubtful_joules(replace(record, **measured, **(fields or {})))
