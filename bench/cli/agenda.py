"""What the sweeper of a command has planned, for its sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(slots=True)
class Agenda:
    """The runs of this command, as its sweeper has planned them.

    Attributes:
        num_runs: Of all jobs together.
        swept: The keys that differ between the jobs.
    """

    num_runs: int = 1
    swept: Sequence[str] = ()


# Hydra makes the sweeper itself, so that there is no other way from there to the sweep.
AGENDA = Agenda()
