"""Finds the NVIDIA GPUs of a run: by their UUIDs, or else those that CUDA programs see here.

Cards that the run does not use are not opened. A card that cannot be read is named with the reason,
and the others are read all the same.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from bench.measure.gpu import ChosenBy, Gpu, GpuDevice, close_library, open_library
from bench.measure.meters.base import MeterUnavailable
from bench.measure.visible_gpus import (
    CudaOrderUnknownError,
    Instance,
    find_instance,
    visible_gpus,
)

_NO_COUNTER = (
    "an instance of MIG has no energy counter of its own: that of its card is shared with the "
    "other instances"
)
_UNREADABLE = "unreadable GPU"


@dataclass(frozen=True, slots=True)
class RunGpus:
    """The GPUs of a run.

    Attributes:
        gpus: GPUs that can be read.
        devices: All GPUs of the run.
        problems: Why the others cannot be read, by their name or UUID.
    """

    gpus: Sequence[Gpu]
    devices: Sequence[GpuDevice]
    problems: Mapping[str, str]


@dataclass(slots=True)
class _Found:
    """The GPUs of a run, while they are being found, by their names."""

    chosen_by: ChosenBy
    gpus: dict[str, Gpu] = field(default_factory=dict)
    devices: dict[str, GpuDevice] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def add(self, gpu: Gpu) -> None:
        self.devices[gpu.name] = replace(
            gpu.device, settings=gpu.settings(), chosen_by=self.chosen_by
        )
        if gpu.is_divided():  # it counts the joules of all its instances together
            self.problems[gpu.name] = f"it is divided: {_NO_COUNTER}"
        else:
            self.gpus[gpu.name] = gpu

    def refuse(
        self,
        name: str,
        reason: str,
        *,
        index: int | None = None,
        uuid: str | None = None,
        kind: str = _UNREADABLE,
    ) -> None:
        self.devices[name] = GpuDevice(index=index, uuid=uuid, name=kind, chosen_by=self.chosen_by)
        self.problems[name] = reason

    def refuse_instance(self, name: str, instance: Instance) -> None:
        card = f" of {instance.card.name}" if instance.card else ""
        kind = instance.found.name if instance.found else "MIG instance"
        self.refuse(name, _NO_COUNTER.replace("MIG", f"MIG{card}", 1), uuid=name, kind=kind)


def open_gpus(uuids: Sequence[str] | None = None) -> RunGpus:
    """Load the library and find the GPUs of a run; each call needs one close_library().

    Args:
        uuids: UUIDs of the GPUs that the run uses, with or without the prefix "GPU-"; None for
            those that CUDA programs see here. A card that cannot be opened is one of these only if
            CUDA_VISIBLE_DEVICES names it.

    Raises:
        MeterUnavailable: There is no driver, no GPU, or none that the run uses.
    """
    if uuids is not None and not uuids:
        raise MeterUnavailable("the run uses no GPU")
    # A text in place of a card says why it cannot be opened.
    cards = open_library()
    found = _visible(cards) if uuids is None else _by_uuids(uuids, cards)
    if not found.devices:
        close_library()
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        none = f"none of {len(cards)} GPUs is visible: CUDA_VISIBLE_DEVICES={visible}"
        raise MeterUnavailable("; ".join([none, *_lost(cards)]))
    return RunGpus(list(found.gpus.values()), list(found.devices.values()), found.problems)


def num_visible_gpus() -> int:
    """The number of NVIDIA GPUs that CUDA programs see here; 0 without a driver."""
    try:
        opened = open_gpus()
    except MeterUnavailable:
        return 0
    close_library()
    return len(opened.devices)


def _visible(cards: Sequence[Gpu | str]) -> _Found:
    """What CUDA programs see here."""
    found = _Found("visible")
    try:
        visible = visible_gpus(os.environ, cards)
    except CudaOrderUnknownError as error:
        name = f"CUDA_VISIBLE_DEVICES={os.environ['CUDA_VISIBLE_DEVICES']}"
        reason = f"CUDA has an order of its own for these numbers, and cannot be asked: {error}"
        found.refuse(name, reason)
        return found
    for one in visible:
        if isinstance(one, Instance):
            found.refuse_instance(one.entry, one)
        elif isinstance(one, str):  # by CUDA itself, which answers for all devices or none
            found.chosen_by = "cuda"
            _add_uuid(found, one, cards)
        elif isinstance(card := cards[one], Gpu):
            found.add(card)
        else:
            found.refuse(f"gpu{one}", card, index=one)
    return found


def _by_uuids(uuids: Sequence[str], cards: Sequence[Gpu | str]) -> _Found:
    found = _Found("uuid")
    for uuid in map(str, uuids):
        _add_uuid(found, uuid, cards)
    return found


def _add_uuid(found: _Found, uuid: str, cards: Sequence[Gpu | str]) -> None:
    """Add the card or the instance with this UUID, or say why there is none."""
    for card in cards:
        if isinstance(card, Gpu) and _without_prefix(card.uuid) == _without_prefix(uuid):
            found.add(card)
            return
    # torch gives the UUID of an instance without a prefix, and callers may have added one.
    entry = uuid if uuid.startswith("MIG-") else f"MIG-{uuid.removeprefix('GPU-')}"
    instance = find_instance(entry, cards)
    if uuid.startswith("MIG-") or instance.found is not None:
        found.refuse_instance(uuid, instance)
    else:
        found.refuse(uuid, "; ".join(["no GPU has this UUID", *_lost(cards)]), uuid=uuid)


def _lost(cards: Sequence[Gpu | str]) -> list[str]:
    """Cards that cannot be opened, and why."""
    return [f"gpu{i}: {card}" for i, card in enumerate(cards) if isinstance(card, str)]


def _without_prefix(uuid: str) -> str:
    """A UUID as torch has it, without NVML's prefix."""
    return uuid.removeprefix("GPU-").lower()
