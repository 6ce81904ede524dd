"""Sets the power limit and the clock of the GPUs of a run, and puts them back whatever happens.

A run puts back what it has set, also after an error or Ctrl-C. If it is killed, its command does,
from the run's note (bench.core.gpu_notes); if that is killed as well, the next command does.

NVML cannot say whether clocks are locked. So clocks that somebody else had locked are unlocked
after a run with a clock of its own.

Source: NVML API reference, "Device Commands" (root access, ranges, what a reset does).
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from bench.core.gpu_notes import GpuNote, left_notes, noted
from bench.measure.gpu import NOT_OFFERED, Gpu, NotPermitted, NvmlError, close_library
from bench.measure.meters.base import MeterUnavailable
from bench.measure.run_gpus import open_gpus

POWER_LIMIT = "trainer.gpu_power_limit_w"
CLOCK = "trainer.gpu_clock_mhz"
# Cards keep whole watts or finer; a limit that differs by more was not taken.
_SAME_LIMIT_W = 0.5
# The driver may need a moment until it reports a new limit.
_READ_BACK_S = 1.0
_READ_EVERY_S = 0.05

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuControls:
    """What a run sets on its GPUs; None leaves the card as it is.

    Attributes:
        power_limit_w: The power limit of each card.
        clock_mhz: The graphics clock that each card keeps.
    """

    power_limit_w: float | None = None
    clock_mhz: int | None = None

    def __bool__(self) -> bool:
        return self.power_limit_w is not None or self.clock_mhz is not None


@contextmanager
def applied(settings: GpuControls, uuids: Sequence[str] | None) -> Iterator[None]:
    """Set the GPUs of a run for the block.

    Args:
        settings: What to set.
        uuids: The GPUs, as gpu_uuids() gives them.

    Raises:
        ValueError: A card cannot be set; the message has the reason and the remedy.
    """
    if not settings:
        yield
        return
    with _opened(settings, uuids) as gpus, ExitStack() as stack:
        for gpu in gpus:
            stack.enter_context(_applied(settings, gpu))
        yield


def require_settable(settings: GpuControls, uuids: Sequence[str] | None) -> None:
    """Refuse settings that a card does not take from this user; nothing is changed.

    Raises:
        ValueError: A card does not; the message has the reason and the remedy.
    """
    with _opened(settings, uuids) as gpus:
        for gpu in gpus:
            with _explained(settings, gpu):
                _require_limit(settings.power_limit_w, gpu)
                _require_clock(settings.clock_mhz, gpu)


def restore_left(_: object, send: Callable[[str], None], launched_s: float) -> None:
    """Undo what runs have set that are gone, as the target of a process of its own.

    Args:
        _: Not used.
        send: Gets a line for each card that was put back, or that could not be.
        launched_s: Not used.
    """
    for path, note in left_notes():
        try:
            opened = open_gpus([note.uuid])
        except MeterUnavailable:  # the folder of notes is shared with a machine that has the card
            continue
        try:
            for gpu in opened.gpus:
                words = _undo(note, gpu)
                path.unlink()
                send(f"{note.name}: {words}; {note.run} had been killed")
        except NvmlError as error:
            send(f"{note.name}: what {note.run} has set is still there ({error}); {_remedy(note)}")
        finally:
            close_library()


@contextmanager
def _opened(settings: GpuControls, uuids: Sequence[str] | None) -> Iterator[Sequence[Gpu]]:
    key = _first_key(settings)
    try:
        opened = open_gpus(uuids)
    except MeterUnavailable as error:
        raise ValueError(f"{key}: {error}; leave it out") from error
    try:
        for name, reason in opened.problems.items():
            raise ValueError(f"{key}: {name}: {reason}; leave it out")
        yield opened.gpus
    finally:
        close_library()


@contextmanager
def _applied(settings: GpuControls, gpu: Gpu) -> Iterator[None]:
    with ExitStack() as stack:
        with _explained(settings, gpu):
            before_w = _require_limit(settings.power_limit_w, gpu)
            _require_clock(settings.clock_mhz, gpu)
        note = GpuNote(
            uuid=gpu.uuid,
            name=_name(gpu),
            run=f"the run of process {os.getpid()}",
            # Without a limit before, the card has this one already, and nothing is to be undone.
            power_limit_w=None if before_w is None else settings.power_limit_w,
            power_limit_before_w=before_w,
            clock_mhz=settings.clock_mhz,
        )
        path = stack.enter_context(noted(note))
        try:
            with _explained(settings, gpu):
                _set(note, gpu)
            yield
        finally:
            try:
                _log.info("%s: %s", note.name, _undo(note, gpu))
                path.unlink()
            except NvmlError:  # the command tries again, and prints why it cannot
                _log.exception("%s: its settings are still there", note.name)


def _set(note: GpuNote, gpu: Gpu) -> None:
    """Set what a note says, and read it back.

    Raises:
        ValueError: The card reports another limit.
    """
    if note.power_limit_w is not None:
        gpu.limit_power(note.power_limit_w)
        deadline_s = time.monotonic() + _READ_BACK_S
        while not _has_limit(gpu, note.power_limit_w):
            if time.monotonic() > deadline_s:
                raise ValueError(
                    f"{POWER_LIMIT}={note.power_limit_w:g}: {note.name} took it, but reports "
                    f"{gpu.configured_limit_w():g} W; leave it out"
                )
            time.sleep(_READ_EVERY_S)
    if note.clock_mhz is not None:
        gpu.lock_clock(note.clock_mhz)


def _undo(note: GpuNote, gpu: Gpu) -> str:
    """Put a card back, and describe that; a limit that somebody has changed since stays."""
    done = []
    if note.power_limit_w is not None and note.power_limit_before_w is not None:
        if _has_limit(gpu, note.power_limit_w):
            gpu.limit_power(note.power_limit_before_w)
            done.append(f"the power limit is {note.power_limit_before_w:g} W again")
        else:
            done.append("the power limit is not that of the run, and stays")
    if note.clock_mhz is not None:
        with suppress(NotPermitted):  # then the run was not permitted to lock it either
            gpu.unlock_clock()
            done.append("the clock is unlocked again")
    return " and ".join(done) or "it was not changed"


def _require_limit(limit_w: float | None, gpu: Gpu) -> float | None:
    """Check a power limit; the present one if it must be changed, else None.

    Raises:
        NvmlError: The card has no limit, or does not take one from this user.
        ValueError: It is out of range.
    """
    if limit_w is None or _has_limit(gpu, limit_w):
        return None
    low_w, high_w = gpu.power_limit_range_w()
    if not low_w <= limit_w <= high_w:
        raise ValueError(
            f"{POWER_LIMIT}={limit_w:g}: {_name(gpu)} takes from {low_w:g} to {high_w:g} W"
        )
    before_w = gpu.configured_limit_w()
    gpu.limit_power(before_w)  # changes nothing, and shows whether this user may
    return before_w


def _require_clock(clock_mhz: int | None, gpu: Gpu) -> None:
    if clock_mhz is None:
        return
    try:
        known = gpu.clocks_mhz()
    except NOT_OFFERED:  # a card that lists no clocks may still lock them
        known = []
    if known and clock_mhz not in known:
        nearest = sorted(sorted(known, key=lambda each: abs(each - clock_mhz))[:2])
        raise ValueError(
            f"{CLOCK}={clock_mhz}: {_name(gpu)} does not take this clock; it takes "
            f"{' and '.join(map(str, nearest))} MHz, and others from {known[0]} to {known[-1]} MHz"
        )
    if os.geteuid() != 0:  # to try it would unlock the clock that somebody may have locked
        raise NotPermitted


def _has_limit(gpu: Gpu, limit_w: float) -> bool:
    return abs(gpu.configured_limit_w() - limit_w) < _SAME_LIMIT_W


@contextmanager
def _explained(settings: GpuControls, gpu: Gpu) -> Iterator[None]:
    """Turn an error of the driver into one line with the remedy."""
    try:
        yield
    except NotPermitted as error:
        raise ValueError(
            f"{_first_key(settings)}: only root may set {_name(gpu)}; start the command as root, "
            f"or {_by_hand(settings, gpu)}"
        ) from error
    except NvmlError as error:
        reason = "it cannot be set on this card" if isinstance(error, NOT_OFFERED) else str(error)
        raise ValueError(f"{_first_key(settings)}: {_name(gpu)}: {reason}; leave it out") from error


def _by_hand(settings: GpuControls, gpu: Gpu) -> str:
    if settings.clock_mhz is not None:
        clock = settings.clock_mhz
        return f"lock it and leave the key out: sudo nvidia-smi -i {gpu.uuid} -lgc {clock},{clock}"
    limit = f"{settings.power_limit_w:g}"
    return f"set it first, and keep the key: sudo nvidia-smi -i {gpu.uuid} -pl {limit}"


def _remedy(note: GpuNote) -> str:
    """The commands that undo what a note says."""
    commands = []
    if note.power_limit_before_w is not None:
        commands.append(f"sudo nvidia-smi -i {note.uuid} -pl {note.power_limit_before_w:g}")
    if note.clock_mhz is not None:
        commands.append(f"sudo nvidia-smi -i {note.uuid} -rgc")
    return f"run {' and '.join(commands)}, and remove its note in the cache folder"


def _first_key(settings: GpuControls) -> str:
    if settings.power_limit_w is not None:
        return f"{POWER_LIMIT}={settings.power_limit_w:g}"
    return f"{CLOCK}={settings.clock_mhz}"


def _name(gpu: Gpu) -> str:
    return f"{gpu.name} ({gpu.device.name})"
