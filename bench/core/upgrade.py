"""Upgrades records of older forms in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from bench.core.qualities import CLASSES
from bench.core.records.run import NOT_STARTED, SCHEMA_VERSION, RunError

_ON_THE_CLOCK = ("train_s", "eval_s", "checkpoint_s", "serve_s", "wall_time_s")


def upgrade_record(raw: dict[str, Any], *, has_begun: bool) -> dict[str, Any]:
    """Bring a record of an older form to the present one.

    Schema 1 wrote 0 for a phase that was absent, and did not distinguish a run that never began
    from one that was interrupted. Early records of schema 2 call the field `health.fit`.

    Args:
        raw: A record as it was read, with a schema_version.
        has_begun: Whether the run's folder shows that its process began.

    Returns:
        The record in the form of SCHEMA_VERSION; an up-to-date one is returned unchanged.
    """
    raw = {**raw, "health": with_comparable(raw.get("health"))}
    if raw["schema_version"] != 1:
        return raw
    phases = raw.get("phases") or {}
    never_began = (
        raw.get("status") == "interrupted" and phases.get("launch_s") is None and not has_begun
    )
    return {
        **raw,
        "schema_version": SCHEMA_VERSION,
        "phases": {**phases, **dict.fromkeys(_absent(raw.get("command"), phases))},
        "error": asdict(not_started()) if never_began else raw.get("error"),
    }


def upgrade_row(fields: Any) -> Any:
    """Bring a row of a curve to the present form: older ones have the qualities beside the rest."""
    if not isinstance(fields, dict) or "quality" in fields:
        return fields
    return {**fields, "quality": {name: fields[name] for name in CLASSES if name in fields}}


def with_comparable(fields: Any) -> Any:
    """Rename `fit`, the earlier name of `comparable`, in the fields of a run's health."""
    if not isinstance(fields, dict) or "fit" not in fields:
        return fields
    return {"comparable" if name == "fit" else name: value for name, value in fields.items()}


def _absent(command: object, phases: Mapping[str, Any]) -> tuple[str, ...]:
    # Only the run's own process knows launch_s. Without it, the times on the clock are unknown.
    if not phases.get("wall_time_s") and phases.get("launch_s") is None:
        return _ON_THE_CLOCK
    return ("train_s", "eval_s", "checkpoint_s") if command == "serve" else ("serve_s",)


def not_started() -> RunError:
    """The error of a run that never began."""
    return RunError(kind=NOT_STARTED, message="interrupted before it began")
