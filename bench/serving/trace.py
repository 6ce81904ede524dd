"""What the MLPerf load generator writes down: its detail log and its trace.

The trace has a line for each sample, in the order of completion, with times in relation to the
moment that the sample was scheduled for. A latency that counts from there includes what the sample
waited because something before it was slow, or because the generator itself was late.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PREFIX = ":::MLLOG "
# The other lines of the trace are not all valid JSON, and there are several for each sample.
_SAMPLE = re.compile(
    rb'"ts":(-?[\d.]+),"args":\{"sample_seq":(\d+),"query_seq":(\d+),"sample_idx":(\d+),'
    rb'"issue_start_ns":(-?\d+),"complete_ns":(-?\d+)\}'
)
# A rate over one query is 0/0, which is written as no JSON reader takes it.
_NOT_A_NUMBER = re.compile(r'("value": )-?(?:nan|inf)\b')


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRows:
    """One row for each sample of a pass, in the order of issue; every column of shape (n,).

    scheduled_s counts from the first sample's scheduled time, the other times from the sample's
    own.
    """

    query: NDArray[np.int64]
    image_index: NDArray[np.int64]
    scheduled_s: NDArray[np.float64]
    issue_delay_ms: NDArray[np.float64]
    latency_ms: NDArray[np.float64]

    @property
    def duration_s(self) -> float:
        """From the first scheduled time to the last completion."""
        return float(np.max(self.scheduled_s + self.latency_ms / 1e3))

    def columns(self) -> dict[str, NDArray[Any]]:
        """All columns by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def read_samples(path: Path) -> SampleRows:
    """The samples of a trace.

    Args:
        path: LoadGen's mlperf_log_trace.json.

    Raises:
        OSError: The file cannot be read.
        ValueError: It holds no sample, or not one line for each.
    """
    times_us = array("d")
    whole = array("q")  # sequence number, query, image, issue delay and completion in nanoseconds
    with path.open("rb") as file:
        for line in file:
            found = _SAMPLE.search(line)
            if found:
                times_us.append(float(found[1]))
                whole.extend(map(int, found.groups()[1:]))
    table = np.frombuffer(whole, dtype=np.int64).reshape(-1, 5)
    order = np.argsort(table[:, 0], kind="stable")
    if not len(order) or not np.array_equal(table[order, 0], np.arange(len(order))):
        raise ValueError(
            f"{path.name}: LoadGen's trace does not hold each sample once ({len(order)} lines); "
            "set scenario.raw_latencies=false to do without it"
        )
    table = table[order]
    scheduled_us = np.frombuffer(times_us, dtype=np.float64)[order]
    return SampleRows(
        query=table[:, 1].copy(),
        image_index=table[:, 2].copy(),
        scheduled_s=(scheduled_us - scheduled_us[0]) / 1e6,
        issue_delay_ms=table[:, 3] / 1e6,
        latency_ms=table[:, 4] / 1e6,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """The values of a detail log by key, and the messages that it marks as errors."""

    values: Mapping[str, Any]
    errors: tuple[str, ...]


def read_detail(path: Path) -> Detail:
    """The values and errors of a detail log.

    Args:
        path: LoadGen's mlperf_log_detail.txt.

    Raises:
        OSError: The file cannot be read.
        ValueError: A line is not what LoadGen writes.
    """
    values: dict[str, Any] = {}
    errors = []
    with path.open() as file:
        for line in file:
            if not line.startswith(_PREFIX):
                raise ValueError(f"{path.name}: not a line of LoadGen's log: {line[:80]!r}")
            entry = json.loads(_NOT_A_NUMBER.sub(r"\1null", line.removeprefix(_PREFIX)))
            values[entry["key"]] = entry["value"]
            if entry["metadata"]["is_error"]:
                errors.append(str(entry["value"]))
    return Detail(values=values, errors=tuple(errors))
