"""The operators of PyTorch in a traced run: the file that a run writes, and bench.ab reads.

Tracing slows a run down, so a traced run is never compared. bench.ab asks for it by an environment
variable, which is no part of the configuration: the traced run is the same run otherwise.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

# Names the folder that each traced window of a run writes a file to.
VARIABLE = "BENCH_TRACE_OPERATORS"
_PATTERN = "operators-*.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorTime:
    """What an operator took in a window, its calls to other operators not counted.

    Attributes:
        name: Such as `aten::addmm`.
        num_calls: How often it was called.
        cpu_s: Seconds of the processor.
        device_s: Seconds of the kernels that it started on a GPU.
    """

    name: str
    num_calls: int
    cpu_s: float
    device_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorTrace:
    """A traced window.

    Attributes:
        wall_s: From its start to its stop.
        operators: In no order.
    """

    wall_s: float
    operators: list[OperatorTime]


def trace_folder() -> Path | None:
    """The folder that traces are wanted in; None if none are wanted."""
    folder = os.environ.get(VARIABLE)
    return Path(folder) if folder else None


def write_trace(folder: Path, wall_s: float, operators: Iterable[OperatorTime]) -> None:
    """Write the trace of a window.

    Raises:
        OSError: The folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    num = len(list(folder.glob(_PATTERN)))
    tree = {"wall_s": wall_s, "operators": [asdict(each) for each in operators]}
    path = folder / _PATTERN.replace("*", f"{num:04d}-{os.getpid()}")
    path.write_text(json.dumps(tree), encoding="utf-8")


def read_traces(folder: Path) -> OperatorTrace | None:
    """The traces of a run, added up; None if it wrote none.

    Raises:
        ValueError: A file is damaged; the message begins with its path.
    """
    files = sorted(folder.glob(_PATTERN))
    totals: dict[str, list[float]] = {}
    wall_s = 0.0
    for path in files:
        try:
            tree = json.loads(path.read_bytes())
            wall_s += float(tree["wall_s"])
            for row in tree["operators"]:
                sums = totals.setdefault(str(row["name"]), [0, 0.0, 0.0])
                for place, key in enumerate(("num_calls", "cpu_s", "device_s")):
                    sums[place] += row[key]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: not a trace of operators ({error})") from error
    if not files:
        return None
    operators = [
        OperatorTime(name=name, num_calls=int(calls), cpu_s=cpu_s, device_s=device_s)
        for name, (calls, cpu_s, device_s) in totals.items()
    ]
    return OperatorTrace(wall_s=wall_s, operators=operators)
