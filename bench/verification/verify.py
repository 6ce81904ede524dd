"""Verifies one run: recomputes from its raw data whatever can be recomputed."""

from __future__ import annotations

from pathlib import Path

from bench.core.records.run import RunRecord
from bench.measure.raw_files import raw_names
from bench.verification.energy import verify_energy
from bench.verification.machine import verify_machine
from bench.verification.maintenance import verify_maintenance
from bench.verification.model import Findings
from bench.verification.outcome import (
    verify_charges,
    verify_identity,
    verify_parts,
    verify_phases,
    verify_target,
)
from bench.verification.raw import RawRun
from bench.verification.serving import verify_serving

_ALL = (
    *(verify_identity, verify_parts, verify_phases, verify_target, verify_charges),
    *(verify_energy, verify_machine, verify_serving, verify_maintenance),
)
# Parts of a record that nothing in the run's folder can show.
_WITHOUT_RAW = {
    "quality": "needs the model and its data",
    "quality_test": "needs the model and its data",
    "model": "needs the model",
    "compression": "needs both models",
    "skew": "needs the model and its data",
    "stages": "times of the parts of a request are not kept",
    "recipe": "needs the run that it builds on",
    "program": "the kernel's CPU time of a process is not kept",
    "codecarbon_energy_j": "CodeCarbon's own estimate",
    "codecarbon_emissions_gco2e": "CodeCarbon's own estimate",
    "trained": "needs the run that was served",
}


def verify_run(folder: Path) -> Findings:
    """Verify the record of a run; what it says of itself is never taken for an answer.

    Args:
        folder: The folder of the run.

    Raises:
        StoreError: The record, or a file beside it, cannot be read.
    """
    run = RawRun(folder)
    found = Findings()
    for verify in _ALL:
        verify(run, found)
    for name, reason in _WITHOUT_RAW.items():
        if _is_filled(run.record, name):
            found.cannot(name, reason)
    if run.record.phases.wall_time_s is not None:  # its clock had started
        found.missing = [name for name in raw_names() if not (folder / name).exists()]
    return found


def _is_filled(record: RunRecord, name: str) -> bool:
    return getattr(record, name) not in (None, [])
