"""Reads the two logs of the MLPerf load generator: its detail log and its trace.

The trace has a line for each sample, in the order of completion. Its times count from the moment
for which the sample was scheduled. A latency that counts from there includes the time that a sample
waited because something before it was slow, or because the generator itself was late.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

_PREFIX = ":::MLLOG "
# A regular expression, because the other lines of the trace are not all valid JSON, and there are
# several of them for each sample.
_SAMPLE = re.compile(
    rb'"ts":(-?[\d.]+),"args":\{"sample_seq":(\d+),"query_seq":(\d+),"sample_idx":(\d+),'
    rb'"issue_start_ns":(-?\d+),"complete_ns":(-?\d+)\}'
)
# LoadGen writes a rate over one query, which is 0/0, in a form that no JSON reader accepts.
_NOT_A_NUMBER = re.compile(r'("value": )-?(?:nan|inf)\b')


def read_samples(path: Path) -> pd.DataFrame:
    """The samples of a trace, one row each, in the order of issue.

    Args:
        path: LoadGen's mlperf_log_trace.json.

    Returns:
        Columns query, input_index, scheduled_s (from the scheduled time of the first sample),
        issue_delay_ms and latency_ms (both from the sample's own scheduled time).

    Raises:
        OSError: The file cannot be read.
        ValueError: It does not hold exactly one line for each sample.
    """
    times_us = array("d")
    integers = array("q")  # sequence number, query, input, issue delay and completion in ns
    with path.open("rb") as file:
        for line in file:
            match = _SAMPLE.search(line)
            if match:
                times_us.append(float(match[1]))
                integers.extend(map(int, match.groups()[1:]))
    table = np.frombuffer(integers, dtype=np.int64).reshape(-1, 5)
    order = np.argsort(table[:, 0], kind="stable")
    if not len(order) or not np.array_equal(table[order, 0], np.arange(len(order))):
        raise ValueError(
            f"{path.name}: LoadGen's trace does not hold each sample once ({len(order)} lines); "
            "set scenario.raw_latencies=false to do without it"
        )
    table = table[order]
    scheduled_us = np.frombuffer(times_us, dtype=np.float64)[order]
    return pd.DataFrame(
        {
            "query": table[:, 1],
            "input_index": table[:, 2],
            "scheduled_s": (scheduled_us - scheduled_us[0]) / 1e6,
            "issue_delay_ms": table[:, 3] / 1e6,
            "latency_ms": table[:, 4] / 1e6,
        }
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
        ValueError: A line is not in LoadGen's format.
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
