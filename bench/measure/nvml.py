"""The NVIDIA GPUs of a run: which they are, and what the sampler watches of them.

Each card and each query stands for itself: what one of them does not tell takes nothing else with
it. Cards that the run does not use are not looked at.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from bench.measure.foreign import ForeignProcesses
from bench.measure.gpu import (
    NOT_OFFERED,
    Gpu,
    GpuDevice,
    NvmlError,
    Sample,
    close_library,
    mig_name,
    open_library,
)
from bench.measure.meters.base import MeterUnavailable
from bench.measure.settle import GpuScope

# Asks one device for some metrics and their values.
Query = Callable[[], list[tuple[str, float]]]

_NO_COUNTER = (
    "an instance of MIG has no energy counter of its own: that of its card is shared with the "
    "other instances"
)
_UNREADABLE = "unreadable GPU"


@dataclass(frozen=True, slots=True)
class RunGpus:
    """The GPUs of a run.

    Attributes:
        gpus: Those that can be read.
        devices: All of them.
        problems: Why the others cannot be read, by their name or UUID.
    """

    gpus: Sequence[Gpu]
    devices: Sequence[GpuDevice]
    problems: Mapping[str, str]


def open_gpus(visible: str | None, uuids: Sequence[str] | None = None) -> RunGpus:
    """Load the library and find the GPUs of a run; close_library() as often as this.

    Args:
        visible: The value of CUDA_VISIBLE_DEVICES, None where it is not set. Numbers are taken as
            NVML's: with cards of several models set CUDA_DEVICE_ORDER=PCI_BUS_ID.
        uuids: Of the GPUs that the run uses, with or without the prefix "GPU-"; None for those that
            are visible. A card that cannot be opened counts among these only if it is named.

    Raises:
        MeterUnavailable: There is no driver, no GPU, or none that the run uses.
    """
    if uuids is not None and not uuids:
        raise MeterUnavailable("the run uses no GPU")
    cards = open_library()
    if uuids is None:
        wanted = _visible(visible, cards)
    else:
        wanted = {uuid: _by_uuid(uuid, cards) for uuid in map(str, uuids)}
    if not wanted:
        close_library()
        none = f"none of {len(cards)} GPUs is visible: CUDA_VISIBLE_DEVICES={visible}"
        raise MeterUnavailable("; ".join([none, *_lost(cards)]))
    problems = {name: card for name, card in wanted.items() if isinstance(card, str)}
    named = {card.name: card for card in wanted.values() if isinstance(card, Gpu)}
    divided = {name: f"it is divided: {_NO_COUNTER}" for name, g in named.items() if g.is_divided()}
    return RunGpus(
        gpus=[gpu for name, gpu in named.items() if name not in divided],
        devices=[
            *(gpu.device for gpu in named.values()),
            *(_unreadable(name) for name in problems),
        ],
        problems=problems | divided,
    )


def _by_uuid(uuid: str, cards: Sequence[Gpu | str]) -> Gpu | str:
    """The card with this UUID, or why there is none."""
    for card in cards:
        if isinstance(card, Gpu) and _plain(card.uuid) == _plain(uuid):
            return card
    if uuid.startswith("MIG") or mig_name(f"MIG-{uuid}") is not None:
        return _NO_COUNTER
    return "; ".join(["no GPU has this UUID", *_lost(cards)])


def _lost(cards: Sequence[Gpu | str]) -> list[str]:
    """Cards that cannot be opened, and why."""
    return [f"gpu{i}: {card}" for i, card in enumerate(cards) if isinstance(card, str)]


def _plain(uuid: str) -> str:
    """A UUID as torch has it, without NVML's prefix."""
    return uuid.removeprefix("GPU-").lower()


def _visible(visible: str | None, cards: Sequence[Gpu | str]) -> dict[str, Gpu | str]:
    """What CUDA_VISIBLE_DEVICES allows, or why it cannot be read, by name."""
    if visible is None:
        return {card.name: card for card in cards if isinstance(card, Gpu)}
    found: dict[str, Gpu | str] = {
        entry: _NO_COUNTER for entry in _entries(visible) if entry.startswith("MIG")
    }
    uuids = [card.uuid if isinstance(card, Gpu) else "" for card in cards]
    return found | {f"gpu{index}": cards[index] for index in visible_indices(visible, uuids)}


def visible_indices(visible: str | None, uuids: list[str]) -> list[int]:
    """Indices that CUDA_VISIBLE_DEVICES allows, by number or by the beginning of a UUID.

    As in CUDA, what follows the first entry that names no device does not count.

    Source: CUDA C++ programming guide, "CUDA environment variables".
    """
    if visible is None:
        return list(range(len(uuids)))
    chosen: list[int] = []
    for entry in _entries(visible):
        if entry.isdecimal() and entry.isascii():
            matches = [int(entry)] if int(entry) < len(uuids) else []
        else:
            matches = [i for i, uuid in enumerate(uuids) if entry and uuid.startswith(entry)]
        if len(matches) != 1 or matches[0] in chosen:
            break
        chosen += matches
    return chosen


def _entries(visible: str) -> list[str]:
    return [part.strip() for part in visible.split(",")]


def _unreadable(name: str) -> GpuDevice:
    """What is known of a GPU that cannot be opened."""
    if name.startswith("gpu"):
        return GpuDevice(index=int(name.removeprefix("gpu")), uuid=None, name=_UNREADABLE)
    if name.startswith("MIG"):
        return GpuDevice(index=None, uuid=name, name=mig_name(name) or "MIG instance")
    return GpuDevice(index=None, uuid=name, name=mig_name(f"MIG-{name}") or _UNREADABLE)


class GpuReader:
    """What the sampler watches of the GPUs of a run; open() first, close() when done.

    Attributes:
        devices: The GPUs of the run, also those that cannot be read.
        scope: What the run is charged for.
        problems: What cannot be read, with the reasons.
        failures: What could be read at first and was given up later.
    """

    def __init__(
        self,
        visible: str | None = None,
        *,
        own_pids: Callable[[], Collection[int]] = lambda: {os.getpid()},
        gpus: Sequence[str] | None = None,
    ) -> None:
        """Nothing is read yet.

        Args:
            visible: The value of CUDA_VISIBLE_DEVICES, None where it is not set.
            own_pids: The processes of the run.
            gpus: UUIDs of the GPUs that the run uses; None for those that are visible.
        """
        self.devices: Sequence[GpuDevice] = []
        # Until a driver says more.
        self.scope = GpuScope(
            uuids=gpus,
            names=frozenset() if gpus is not None and not gpus else None,
            num_gpus=len(gpus or ()),
        )
        self.problems: list[str] = []
        self.failures: list[str] = []
        self._visible = visible
        self._gpus = gpus
        self._foreign = ForeignProcesses(own_pids)
        self._queries: list[tuple[str, Query]] = []

    def open(self) -> None:
        """Find the devices, and what each of them tells: by a real read.

        Raises:
            MeterUnavailable: There is no driver, no GPU, or none of the run's that can be read.
        """
        found = open_gpus(self._visible, self._gpus)
        self.devices = found.devices
        names = None if self._gpus is None else frozenset(gpu.name for gpu in found.gpus)
        self.scope = GpuScope(uuids=self._gpus, names=names, num_gpus=len(found.devices))
        self.problems = [f"{name}: {reason}" for name, reason in found.problems.items()]
        for gpu in found.gpus:
            self._queries += [(gpu.name, query) for query in self._offered(gpu)]
        if not self._queries and not self._foreign.gpus:
            close_library()
            raise MeterUnavailable(
                "NVML: " + "; ".join(self.problems or ["no card tells anything"])
            )

    def samples(self) -> list[Sample]:
        """What each device tells now; what it does not tell is left out.

        A query that fails is given up, and the reason added to `failures`.

        Raises:
            NvmlError: Nothing can be read any more.
        """
        found: list[Sample] = []
        last_error: Exception | None = None
        for device, query in list(self._queries):
            try:
                found += [(device, metric, value) for metric, value in query()]
            except NvmlError as error:
                last_error = error
                self._queries.remove((device, query))
                self.failures.append(f"{device}: {error}")
        found += self._foreign.samples(self.failures)
        if last_error is not None and not self._queries:
            raise last_error
        return found

    def close(self) -> None:
        """Release the library; `devices` stays, for the record that is put together afterwards."""
        self._queries = []
        self._foreign.gpus = []
        close_library()

    def _offered(self, gpu: Gpu) -> list[Query]:
        """The queries that work on this device."""
        queries: dict[str, Query] = {
            "utilization": lambda: [("gpu_busy_frac", gpu.busy_frac())],
            "memory": lambda: [("gpu_memory_used_bytes", gpu.memory_used_bytes())],
            "power": lambda: [("gpu_power_w", gpu.power_w())],
            "temperature": lambda: [("gpu_temperature_c", gpu.temperature_c())],
            "clock": lambda: [("gpu_sm_clock_mhz", gpu.sm_clock_mhz())],
            "slowdowns": gpu.slowdowns,
        }
        works = [query for name, query in queries.items() if self._works(gpu, name, query)]
        if self._works(gpu, "processes", gpu.compute_pids):
            self._foreign.gpus.append(gpu)
        return works

    def _works(self, gpu: Gpu, name: str, call: Callable[[], object]) -> bool:
        """Whether a call works; trouble is kept, what the device does not offer is not."""
        try:
            call()
        except NOT_OFFERED:
            return False
        except NvmlError as error:
            self.problems.append(f"{gpu.name}: {name}: {error}")
            return False
        return True
