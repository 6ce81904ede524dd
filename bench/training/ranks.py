"""Several devices: a process for each, and what these must give one another.

Samples are counted over all ranks, so each must train on samples of its own; quality is measured on
the first rank, so each must evaluate on the whole of a split. That is compared before the clock.

Lightning's own launchers run the command again or hand nothing back; here the other ranks are
children of the job's process, so that the process tree that is measured holds all of them.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import log2
from multiprocessing.process import BaseProcess
from typing import Any

from bench.tasks.data import DataModule
from bench.tasks.loaders import Batch
from bench.tasks.neutral import unchanged
from bench.training.batches import digest, gathered
from bench.training.splits import pass_samples, require_size, shape_text, split_batches

_JOIN_S = 30.0
# Labels of two ranks agree by chance once in 2^40 times.
_ENOUGH_BITS = 40


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


@contextmanager
def follow_in_other_ranks(num_devices: int, follow: Callable[[], None]) -> Iterator[None]:
    """Run `follow` in a process for each rank but the first, while the body runs as rank 0.

    Must be entered before this process has used threads or a GPU: the ranks are forked.

    Args:
        num_devices: How many ranks there are in all; with 1 nothing happens.
        follow: What the other ranks do; Lightning finds their rank in the environment.

    Raises:
        RuntimeError: Another rank failed, and the body did not.
    """
    if num_devices == 1:
        yield
        return
    os.environ["MASTER_ADDR"] = "127.0.0.1"
    os.environ["MASTER_PORT"] = str(_free_port())
    os.environ["LOCAL_RANK"] = "0"  # tells Lightning that it need not start processes itself
    others = [_start(rank, follow) for rank in range(1, num_devices)]
    try:
        yield
    except BaseException:
        for process in others:
            process.kill()
        raise
    finally:
        for process in others:
            process.join(_JOIN_S)
            process.kill()
    failed = [rank for rank, process in enumerate(others, 1) if process.exitcode != 0]
    if failed:
        raise RuntimeError(f"rank {failed[0]} of {num_devices} failed; see log.txt")


def _start(rank: int, follow: Callable[[], None]) -> BaseProcess:
    process = multiprocessing.get_context("fork").Process(target=_follow, args=(rank, follow))
    process.start()
    return process


def _follow(rank: int, follow: Callable[[], None]) -> None:
    # The job ends its ranks: one that ended before it would look like a rank that failed.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_job, daemon=True).start()
    os.environ["LOCAL_RANK"] = str(rank)
    follow()


def _end_with_the_job() -> None:
    """Block until the job is gone, however it ended: a rank without one would wait for it."""
    job = multiprocessing.parent_process()
    if job is not None:
        job.join()
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one rank trains on: its first batch, and labels until they tell ranks apart.

    labels is None where that cannot be: all of them are of one class, or the split is small.
    """

    num_samples: int
    content: str
    labels: tuple[int, ...] | None
    pass_samples: int | None


def require_shares(data: DataModule, loader_of: Callable[[], Any], batch_size: int) -> None:
    """Refuse data that the ranks do not share as they must.

    Call it on every rank, once the process group is there; what it looks at is put back.

    Args:
        data: After setup().
        loader_of: Gives the training loader of this rank.
        batch_size: Of all ranks together.

    Raises:
        ValueError: On every rank, where one has to be refused.
    """
    with unchanged([], data):
        own = training_share(data, loader_of())
    require_own_samples(gathered(own), data.num_train_samples, batch_size)
    for name in ("val_dataloader", "test_dataloader"):
        with unchanged([], data):
            content = whole_split(split_batches(data, name))
        require_whole_split(name, gathered(content))


def training_share(data: DataModule, loader: Any) -> Share:
    """What this rank trains on, from as many batches as it takes to know."""
    first: Batch | None = None
    labels: list[int] = []
    for batch in split_batches(data, "train_dataloader", loader):
        first = first or batch
        labels += batch[1].tolist()
        if _bits(labels) >= _ENOUGH_BITS or len(labels) >= data.num_train_samples:
            break
    assert first is not None, "split_batches() gives one or raises"
    return Share(
        num_samples=len(first[1]),
        content=digest(first),
        labels=tuple(labels) if _bits(labels) >= _ENOUGH_BITS else None,
        pass_samples=pass_samples(loader, len(first[1])),
    )


def require_own_samples(shares: list[Share], num_train_samples: int, batch_size: int) -> None:
    """Refuse training data of which the ranks do not take different shares.

    Args:
        shares: Of all ranks.
        num_train_samples: Of the split.
        batch_size: Of all ranks together.

    Raises:
        ValueError: The shares are no batch_size together, or two ranks have the same samples, also
            where each changes them at random; or num_train_samples is wrong.
    """
    sizes = [share.num_samples for share in shares]
    if sum(sizes) != batch_size:
        raise ValueError(
            f"data: train_dataloader gave {shape_text(sizes)} samples on {len(sizes)} ranks, must "
            f"give batch_size={batch_size} in all: batch_size / {len(sizes)} on each"
        )
    if _have_equal([share.content for share in shares]):
        raise ValueError(
            f"data: train_dataloader gave the same samples on {len(sizes)} ranks; share them out, "
            "with torch's DistributedSampler for example"
        )
    passes = [share.pass_samples for share in shares]
    require_size(num_train_samples, passes, batch_size)
    labels = [share.labels for share in shares if share.labels is not None]
    if _have_equal(labels) and not _divide(num_train_samples, passes, batch_size):
        raise ValueError(
            f"data: train_dataloader gave the same labels in the same order on {len(sizes)} ranks, "
            "so the same samples, changed at random on each; share them out, with torch's "
            "DistributedSampler for example"
        )


def whole_split(batches: Iterable[Batch]) -> tuple[int, str]:
    """Number of samples of a split, and a hash of them in their order."""
    num, digests = 0, []
    for batch in batches:
        num += len(batch[1])
        digests.append(digest(batch))
    return num, " ".join(digests)


def require_whole_split(name: str, contents: list[tuple[int, str]]) -> None:
    """Refuse an evaluation in which the ranks go through different samples.

    Args:
        name: Of the method that gave the loaders, for the error.
        contents: whole_split() of all ranks.

    Raises:
        ValueError: Two ranks have different ones.
    """
    if len(set(contents)) > 1:
        raise ValueError(
            f"data: {name} gave {shape_text([num for num, _ in contents])} samples on "
            f"{len(contents)} ranks, not the same ones on each; give the whole split on every "
            "rank, without a DistributedSampler: quality is measured on the first"
        )


def _divide(num_train_samples: int, passes: list[int | None], batch_size: int) -> bool:
    """Whether the ranks' passes add up to the split: each then has a part of it."""
    known = [num for num in passes if num is not None]
    return len(known) == len(passes) and abs(sum(known) - num_train_samples) < batch_size


def _bits(labels: list[int]) -> float:
    """How unlikely it is that as many labels drawn from the same classes are these, as -log2."""
    shares = [num / len(labels) for num in Counter(labels).values()]
    return -len(labels) * log2(sum(share**2 for share in shares))


def _have_equal(values: list[Any]) -> bool:
    return len(set(values)) < len(values)
