"""Processes on the GPUs of a run that are not the run's own."""

from __future__ import annotations

from collections.abc import Callable, Collection

from bench.measure.gpu import Gpu, NvmlError, Sample


class ForeignProcesses:
    """Counts the processes on each GPU of a run that are not the run's.

    In a container NVML's numbers are those of the host and match none of ours. So where none of the
    run's own has been seen on any of its cards, one process on each card is taken for it.

    Attributes:
        gpus: Those that list their processes.
    """

    def __init__(self, own_pids: Callable[[], Collection[int]]) -> None:
        """Nothing is read yet.

        Args:
            own_pids: The processes of the run.
        """
        self.gpus: list[Gpu] = []
        self._own_pids = own_pids
        self._seen = False

    def samples(self, failures: list[str]) -> list[Sample]:
        """The number on each card; a card that fails is given up, and the reason added."""
        pids: dict[str, set[int]] = {}
        for gpu in list(self.gpus):
            try:
                pids[gpu.name] = gpu.compute_pids()
            except NvmlError as error:
                self.gpus.remove(gpu)
                failures.append(f"{gpu.name}: processes: {error}")
        if not any(pids.values()):
            return [(name, "gpu_foreign_processes", 0.0) for name in pids]
        own = set(self._own_pids())
        self._seen = self._seen or any(own & found for found in pids.values())
        taken = 0 if self._seen else 1
        return [
            (name, "gpu_foreign_processes", float(max(0, len(found - own) - taken)))
            for name, found in pids.items()
        ]
