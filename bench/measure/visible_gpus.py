"""Finds the NVIDIA GPUs that a CUDA program sees here: CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER.

What CUDA does with names of cards is documented, and done here. Numbers count in CUDA's order,
which is by default that of speed (FASTEST_FIRST), by a rule that is not documented. So where
numbers choose some of several cards, CUDA itself is asked, in a process of its own.

Sources: CUDA programming guide, "CUDA environment variables"; MIG user guide, "CUDA device
enumeration". Neither says that numbers are read as by strtoul, nor that a device that is named
twice leaves none; nvitop 1.7 and torch 2.15 do both.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from bench.measure import cuda_devices
from bench.measure.gpu import Gpu, MigInstance

# Without persistence mode a driver needs seconds for each card.
_TIMEOUT_S = 60.0
_BY_NUMBER = re.compile(r"[+-]?\d+")
_BY_INSTANCE = re.compile(r"MIG-(?P<card>GPU-[^/]*)/(?P<gpu>\d+)/(?P<compute>\d+)")

# Cards that can be read or the reasons why not, by number; or UUIDs, as CUDA gives them.
Cards = Sequence[Gpu | str]


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance of MIG that is visible.

    Attributes:
        entry: Its name in CUDA_VISIBLE_DEVICES.
        card: Its card; None if unknown.
        found: What NVML knows of it; None if it knows no such instance.
    """

    entry: str
    card: Gpu | None = None
    found: MigInstance | None = None


class CudaOrderUnknownError(Exception):
    """CUDA cannot be asked for its devices; the message has the reason."""


def visible_gpus(environment: Mapping[str, str], cards: Cards) -> list[int | str | Instance]:
    """Find what CUDA sees: cards by NVML's index, devices by the UUID that CUDA gave, instances.

    Args:
        environment: Environment variables of the program.
        cards: All cards of the machine, in NVML's order.

    Raises:
        CudaOrderUnknownError: CUDA_VISIBLE_DEVICES has numbers, and their order is not known.
    """
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return _chosen([i for i, card in enumerate(cards) if isinstance(card, Gpu)], cards)
    entries = [entry.strip() for entry in visible.split(",")]
    if entries[0].startswith("MIG-"):
        return [find_instance(entries[0], cards)]  # CUDA uses no more than one
    if entries[0].startswith("GPU-"):
        return _chosen(_by_uuid(entries, cards), cards)
    numbers = _by_number(entries, len(cards))
    in_nvml_order = environment.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID" or len(cards) == 1
    all_are_chosen = set(numbers) == {i for i, card in enumerate(cards) if isinstance(card, Gpu)}
    if in_nvml_order or not numbers or (all_are_chosen and len(numbers) == len(cards)):
        return _chosen(numbers, cards)
    return list(ask_cuda(visible, environment.get("CUDA_DEVICE_ORDER")))


def _chosen(indices: Sequence[int], cards: Cards) -> list[int | str | Instance]:
    """What CUDA sees of some cards: where one is divided by MIG, only the first instance."""
    whole: list[int | str | Instance] = []
    for index in indices:
        card = cards[index]
        if not isinstance(card, Gpu) or not card.is_divided():
            whole.append(index)
        elif found := card.instances():
            return [Instance(found[0].uuid, card, found[0])]
    # A divided card without an instance is no device of CUDA's.
    return whole or list(indices)


def _by_uuid(entries: Sequence[str], cards: Cards) -> list[int]:
    """The cards whose UUIDs begin so, up to the first entry that names no or several cards."""
    chosen: list[int] = []
    for entry in entries:
        matches = [
            i
            for i, card in enumerate(cards)
            if isinstance(card, Gpu) and entry.startswith("GPU-") and card.uuid.startswith(entry)
        ]
        if len(matches) != 1:
            break
        chosen += matches
    return chosen if len(set(chosen)) == len(chosen) else []


def _by_number(entries: Sequence[str], num_cards: int) -> list[int]:
    """The numbers, up to the first entry that is none, is negative, or that no card has."""
    chosen: list[int] = []
    for entry in entries:
        match = _BY_NUMBER.match(entry)
        number = int(match.group()) if match and match.group().isascii() else -1
        if not 0 <= number < num_cards:
            break
        chosen.append(number)
    return chosen if len(set(chosen)) == len(chosen) else []


def find_instance(entry: str, cards: Cards) -> Instance:
    """Find an instance of MIG by its UUID, or by "MIG-GPU-UUID/GPU INSTANCE/COMPUTE INSTANCE"."""
    numbered = _BY_INSTANCE.fullmatch(entry)
    for card in cards:
        if not isinstance(card, Gpu) or not card.is_divided():
            continue
        for one in card.instances():
            if numbered is None:
                is_meant = one.uuid.startswith(entry)
            else:
                numbers = int(numbered["gpu"]), int(numbered["compute"])
                is_meant = card.uuid.startswith(numbered["card"]) and numbers == one.numbers
            if is_meant:
                return Instance(entry, card, one)
    return Instance(entry)


@lru_cache
def ask_cuda(visible: str, order: str | None) -> tuple[str, ...]:
    """Ask CUDA for the UUIDs of the devices that it sees, in a process of its own.

    Args:
        visible: CUDA_VISIBLE_DEVICES of this process, which the other one has, too. Like the next
            one, it is here so that the same question is asked once.
        order: CUDA_DEVICE_ORDER of this process; None if it is not set.

    Raises:
        CudaOrderUnknownError: CUDA gives no answer.
    """
    del visible, order
    command = [sys.executable, "-I", "-S", cuda_devices.__file__]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CudaOrderUnknownError(str(error)) from error
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise CudaOrderUnknownError(reason[-1])
    return tuple(done.stdout.split())
