"""What the sampler asks at each tick about processors and memory."""

from __future__ import annotations

from bench.measure.gpu import Sample
from bench.measure.os.cgroup import CgroupReader, CgroupReading, cgroup_use
from bench.measure.os.cpu_use import CpuReading, cpu_use
from bench.measure.os.system import CpuMeter, ProcessTree, num_cpus

# The machine's CPU times move in ticks of 10 ms, so over a shorter span they say little. Such spans
# occur because the deadline after a late tick comes soon.
_LEAST_SPAN_S = 0.1


class CpuSamples:
    """CPU use since the previous tick, and memory now."""

    kind = "processes and CPU times"

    def __init__(self, meter: CpuMeter, tree: ProcessTree) -> None:
        self._meter = meter
        self._tree = tree
        self._previous: CpuReading | None = None

    def __call__(self) -> list[Sample]:
        """Take the samples of this tick; the first has no CPU use, which is a difference."""
        now = self._meter.read()
        samples: list[Sample] = [("process_tree", "rss_bytes", float(self._tree.rss_bytes()))]
        if self._previous is not None and now.at_s - self._previous.at_s < _LEAST_SPAN_S:
            return samples
        use = cpu_use(self._previous, now) if self._previous else None
        self._previous = now
        if use is None:
            return samples
        shares = (
            ("process_tree", "cpu_busy_frac", use.process_frac),
            ("machine", "cpu_busy_frac", use.machine_frac),
            ("machine", "steal_frac", use.steal_frac),
        )
        return samples + [
            (device, name, share) for device, name, share in shares if share is not None
        ]


class CgroupSamples:
    """Use of the control group since the previous tick, and its memory now."""

    kind = "control group"

    def __init__(self, reader: CgroupReader) -> None:
        self._reader = reader
        self._num_cpus = num_cpus()
        self._previous: CgroupReading | None = None

    def __call__(self) -> list[Sample]:
        """Take the samples of this tick; the first has no CPU use. No group, no samples."""
        now = self._reader.read()
        if now is None:
            return []
        use = cgroup_use(self._previous, now, num_cpus=self._num_cpus) if self._previous else None
        self._previous = now
        values = {
            "memory_bytes": now.memory_bytes,
            "cpu_busy_frac": use.cpu_frac if use else None,
            "throttled_frac": use.throttled_frac if use else None,
        }
        return [("cgroup", name, float(v)) for name, v in values.items() if v is not None]
