"""Finds the NVIDIA GPUs of a run, by their UUIDs or by CUDA_VISIBLE_DEVICES.

Cards that the run does not use are not opened. A card that cannot be read is named with the reason,
and the others are read all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bench.measure.gpu import Gpu, GpuDevice, close_library, mig_name, open_library
from bench.measure.meters.base import MeterUnavailable

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


def open_gpus(visible: str | None, uuids: Sequence[str] | None = None) -> RunGpus:
    """Load the library and find the GPUs of a run; each call needs one close_library().

    Args:
        visible: The value of CUDA_VISIBLE_DEVICES; None if it is not set. Its numbers are read as
            NVML's, so with cards of several models set CUDA_DEVICE_ORDER=PCI_BUS_ID.
        uuids: UUIDs of the GPUs that the run uses, with or without the prefix "GPU-"; None for the
            visible ones. A card that cannot be opened is one of the visible ones only if
            CUDA_VISIBLE_DEVICES names it.

    Raises:
        MeterUnavailable: There is no driver, no GPU, or none that the run uses.
    """
    if uuids is not None and not uuids:
        raise MeterUnavailable("the run uses no GPU")
    # A text in place of a card says why it cannot be opened.
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
    # A card that is divided by MIG counts the joules of all its instances together.
    divided = {name: f"it is divided: {_NO_COUNTER}" for name, g in named.items() if g.is_divided()}
    return RunGpus(
        gpus=[gpu for name, gpu in named.items() if name not in divided],
        devices=[
            *(replace(gpu.device, settings=gpu.settings()) for gpu in named.values()),
            *(_unreadable(name) for name in problems),
        ],
        problems=problems | divided,
    )


def _by_uuid(uuid: str, cards: Sequence[Gpu | str]) -> Gpu | str:
    """Find the card with this UUID, or say why there is none."""
    for card in cards:
        if isinstance(card, Gpu) and _without_prefix(card.uuid) == _without_prefix(uuid):
            return card
    if uuid.startswith("MIG") or mig_name(f"MIG-{uuid}") is not None:
        return _NO_COUNTER
    return "; ".join(["no GPU has this UUID", *_lost(cards)])


def _lost(cards: Sequence[Gpu | str]) -> list[str]:
    """Cards that cannot be opened, and why."""
    return [f"gpu{i}: {card}" for i, card in enumerate(cards) if isinstance(card, str)]


def _without_prefix(uuid: str) -> str:
    """A UUID as torch has it, without NVML's prefix."""
    return uuid.removeprefix("GPU-").lower()


def _visible(visible: str | None, cards: Sequence[Gpu | str]) -> dict[str, Gpu | str]:
    """The cards that CUDA_VISIBLE_DEVICES allows, or why one cannot be read, by name."""
    if visible is None:
        return {card.name: card for card in cards if isinstance(card, Gpu)}
    parts: dict[str, Gpu | str] = {
        entry: _NO_COUNTER for entry in _entries(visible) if entry.startswith("MIG")
    }
    uuids = [card.uuid if isinstance(card, Gpu) else "" for card in cards]
    return parts | {f"gpu{index}": cards[index] for index in visible_indices(visible, uuids)}


def visible_indices(visible: str | None, uuids: list[str]) -> list[int]:
    """Indices that CUDA_VISIBLE_DEVICES allows, by number or by the beginning of a UUID.

    As in CUDA, entries after the first one that names no device are ignored.

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
        # As CUDA does: an ambiguous, unknown or repeated entry ends the list.
        if len(matches) != 1 or matches[0] in chosen:
            break
        chosen += matches
    return chosen


def _entries(visible: str) -> list[str]:
    return [part.strip() for part in visible.split(",")]


def _unreadable(name: str) -> GpuDevice:
    """Describe a GPU that cannot be opened, as far as its name tells."""
    if name.startswith("gpu"):
        return GpuDevice(index=int(name.removeprefix("gpu")), uuid=None, name=_UNREADABLE)
    if name.startswith("MIG"):
        return GpuDevice(index=None, uuid=name, name=mig_name(name) or "MIG instance")
    return GpuDevice(index=None, uuid=name, name=mig_name(f"MIG-{name}") or _UNREADABLE)
