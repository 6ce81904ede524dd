"""How the GPUs are set up: what makes their runs differ from those of other days or other cards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.diagnosis.model import Finding, State

_Facts = Mapping[str, Any]


def gpu_findings(devices: Sequence[_Facts]) -> list[Finding]:
    """A finding for each card, and one for each setting that is worth knowing.

    Args:
        devices: As `host.gpus` of a record has them.
    """
    return [finding for device in devices for finding in _of_card(device)]


def _of_card(device: _Facts) -> Iterator[Finding]:
    name = "GPU" if device["index"] is None else f"gpu{device['index']}"
    yield Finding(name=name, state="good", text=str(device["name"]))
    for check in (_persistence, _power_limit, _ecc, _mig):
        if (found := check(device)) is not None:
            state, text, remedy = found
            yield Finding(name=f"{name} settings", state=state, text=text, remedy=remedy)


_Found = tuple[State, str, str] | None


def _persistence(device: _Facts) -> _Found:
    if device["persistence"] is not False:
        return None
    text = "no persistence mode: the driver is loaded anew when no process uses the card"
    return "note", text, "sudo nvidia-smi --persistence-mode=1"


def _power_limit(device: _Facts) -> _Found:
    limit_w, default_w = device["power_limit_w"], device["power_limit_default_w"]
    if limit_w is None or default_w is None or limit_w == default_w:
        return None
    text = f"its power limit is {limit_w:g} W, where {default_w:g} W is usual"
    return "note", text, f"sudo nvidia-smi --power-limit={default_w:g}"


def _ecc(device: _Facts) -> _Found:
    if device["ecc"] is not False:
        return None
    return "note", "ECC is off: more memory bandwidth than with it on", ""


def _mig(device: _Facts) -> _Found:
    if device["mig"] is not True:
        return None
    text = "divided by MIG: its instances share one energy counter, so their joules are unknown"
    return "bad", text, "sudo nvidia-smi --multi-instance-gpu=0, if nobody else uses the card"
