"""Keeps the meters of several nodes in step, and adds up what they read at each evaluation."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from bench.core.nodes import NodeReading, reading_of, with_joules_of_nodes
from bench.core.records.curve import CurveRow
from bench.measure.phase_window import PhaseWindow
from bench.training.batches import gather


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSum:
    """The part of one rank in the sums over all nodes; every rank of the training has one.

    Attributes:
        node: Rank of the node.
        has_meters: Whether this rank reads the meters of its node: only the first one does.
    """

    node: int
    has_meters: bool

    def wait(self) -> None:
        """Wait for all ranks, so that the meters of all nodes cover the same time."""
        torch.distributed.barrier()

    def add_up(self, row: CurveRow, window: PhaseWindow) -> tuple[CurveRow, str | None]:
        """Put the joules of all nodes into a row; every rank calls this.

        Args:
            row: The row of this rank.
            window: The window of this rank.

        Returns:
            The row, and why the joules of some node are lost for good; None while they are not.
        """
        own = reading_of(row, self._why_lost(window)) if self.has_meters else None
        readings: list[NodeReading] = [each for each in gather(own) if each is not None]
        lost = [each.why_lost for each in readings if each.why_lost is not None]
        return with_joules_of_nodes(row, readings), lost[0] if lost else None

    def _why_lost(self, window: PhaseWindow) -> str | None:
        if window.meters.complete:
            return None
        reasons = "; ".join(f"{one.meter}: {one.reason}" for one in window.unavailable)
        return f"node{self.node}: {reasons}"
