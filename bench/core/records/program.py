"""A program of any kind that bench.measure has run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What was run, and how it ended.

    Attributes:
        arguments: The command line: the program and its arguments; bytes that are no UTF-8 are
            escaped.
        exit_code: Its exit code; as in shells, 128 and the number of the signal that ended it.
        cpu_time_s: CPU time of its process and of all below it, in the kernel and outside.
            Processes that outlive it are not counted.
        num_left: How many processes that it started outlived it. None in older records.
    """

    arguments: list[str]
    exit_code: int
    cpu_time_s: float
    num_left: int | None = None
