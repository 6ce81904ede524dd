"""What the quantities of the page are called, with their units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

TITLES = {
    "batch_size": "batch size",
    "lr": "learning rate",
    "samples": "samples to target",
    "time_s": "time to target (s)",
    "energy_j": "energy to target (J)",
    "cost_usd": "cost to target (US$)",
    "cpu_frac": "CPU of the run (fraction)",
    "accuracy": "test accuracy",
    "latency_p90_ms": "latency p90 (ms)",
    "throughput_per_s": "throughput (1/s)",
    "size_bytes": "model size (bytes)",
    "time_per_sample_s": "time per sample (s)",
    "energy_per_prediction_j": "energy per prediction (J)",
}


def labels_of(rows: Sequence[dict[str, Any]]) -> list[str]:
    """How the joules of these runs were obtained."""
    return sorted({row["label"] for row in rows} - {None})


def title_of(name: str, rows: Sequence[dict[str, Any]]) -> str:
    """A quantity in words; joules, and what follows from them, with how they were obtained.

    Args:
        name: Of TITLES.
        rows: Of page_rows, of the runs that are drawn.
    """
    title, labels = TITLES[name], labels_of(rows)
    if not name.endswith(("_j", "_usd")) or not labels:
        return title
    how = labels[0] if len(labels) == 1 else "by label"
    return f"{title.removesuffix(')')}, {how})"
