"""Training on several devices: starts a process for each, and checks how they share the data.

Each node starts the ranks of its own devices.

Samples are counted over all ranks, so each rank must train on different ones. Quality is measured
on the first rank, so each rank must evaluate a whole split. The ranks check this before the clock.

Lightning's own launchers run the whole command again, or return nothing. Here the other ranks are
children of the job's process, so that they are measured with its process tree.
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
from typing import Any

from bench.tasks.loaders import Batch
from bench.tasks.neutral import unchanged
from bench.tasks.task import Task, shape_text
from bench.training.batches import digest, gather
from bench.training.splits import pass_samples, require_size, split_batches

_JOIN_S = 30.0
# From this many bits on, the labels of two ranks agree by chance once in 2^40 times.
_ENOUGH_BITS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Where the ranks of a training meet.

    Attributes:
        node: Rank of this node among the nodes.
        address: Name or address of node 0.
        port: A free port there.
    """

    node: int
    address: str
    port: int


def free_port() -> int:
    """A port that nothing uses at the moment."""
    with socket.socket() as listener:
        listener.bind(("", 0))
        port: int = listener.getsockname()[1]
    return port


@contextmanager
def follow_in_other_ranks(
    num_devices: int, follow: Callable[[], None], group: Group | None = None
) -> Iterator[None]:
    """Run `follow` in a process for each other rank, while the body runs as rank 0.

    Enter it before this process uses threads or a GPU, because the ranks are forked.

    Args:
        num_devices: The number of ranks on this node.
        follow: The work of the other ranks; Lightning finds their rank in the environment.
        group: Where the ranks of several nodes meet. None for a training on one node: then nothing
            happens with one device.

    Raises:
        RuntimeError: Another rank failed, and the body did not.
    """
    if group is None:
        if num_devices == 1:
            yield
            return
        group = Group(node=0, address="127.0.0.1", port=free_port())
    os.environ["MASTER_ADDR"] = group.address
    os.environ["MASTER_PORT"] = str(group.port)
    os.environ["NODE_RANK"] = str(group.node)
    os.environ["LOCAL_RANK"] = "0"  # with this, Lightning starts no processes itself
    context = multiprocessing.get_context("fork")
    others = [context.Process(target=_follow, args=(n, follow)) for n in range(1, num_devices)]
    for process in others:
        process.start()
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


def _follow(rank: int, follow: Callable[[], None]) -> None:
    # The job ends its ranks. A rank that a signal ended first would look like a failure.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_job, daemon=True).start()
    os.environ["LOCAL_RANK"] = str(rank)
    follow()


def _end_with_job() -> None:
    """Wait until the job has ended, then end this rank, which would wait for the job for ever."""
    job = multiprocessing.parent_process()
    if job is not None:
        job.join()
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one rank trains on.

    Attributes:
        num_samples: Size of its first batch.
        content: Hash of its first batch.
        labels: Labels, as many as are needed to tell ranks apart; None if that is impossible,
            because the split is small or all labels are of one class.
        pass_samples: About how many samples one pass has; None if that is unknown.
    """

    num_samples: int
    content: str
    labels: tuple[float, ...] | None
    pass_samples: int | None


def require_shares(task: Task, make_loader: Callable[[], Any], batch_size: int) -> None:
    """Refuse data that the ranks do not share correctly.

    Call it on every rank once there is a process group. The state of the data is put back.

    Args:
        task: Has the data after setup().
        make_loader: Makes the training loader of this rank.
        batch_size: Samples of a step, of all ranks together.

    Raises:
        ValueError: Any rank has wrong data; every rank raises it.
    """
    with unchanged([], task.data):
        share = training_share(task, make_loader())
    require_different_samples(gather(share), task.num_train_examples, batch_size)
    for name in ("val_dataloader", "test_dataloader"):
        with unchanged([], task.data):
            content = whole_split(split_batches(task, name))
        require_whole_split(name, gather(content))


def training_share(task: Task, loader: Any) -> Share:
    """Read what this rank trains on, from as many batches as are needed to tell ranks apart."""
    first: Batch | None = None
    labels: list[float] = []
    for batch in split_batches(task, "train_dataloader", loader):
        first = first or batch
        labels += batch[1].flatten().tolist()
        if _bits(labels) >= _ENOUGH_BITS or len(labels) >= task.data.num_train_samples:
            break
    assert first is not None, "split_batches() gives one or raises"
    return Share(
        num_samples=len(first[1]),
        content=digest(first),
        labels=tuple(labels) if _bits(labels) >= _ENOUGH_BITS else None,
        pass_samples=pass_samples(loader, len(first[1])),
    )


def require_different_samples(shares: list[Share], num_train_samples: int, batch_size: int) -> None:
    """Refuse training data if two ranks train on the same samples.

    Args:
        shares: The shares of all ranks.
        num_train_samples: Samples of the split.
        batch_size: Samples of a step, of all ranks together.

    Raises:
        ValueError: The shares do not add up to batch_size; or two ranks have the same samples, even
            if each rank changes them at random; or num_train_samples is wrong.
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
    # Ranks that share a split sorted by class may well have the same labels.
    if _have_equal(labels) and not _add_up(num_train_samples, passes, batch_size):
        raise ValueError(
            f"data: train_dataloader gave the same labels in the same order on {len(sizes)} ranks, "
            "so the same samples, changed at random on each; share them out, with torch's "
            "DistributedSampler for example"
        )


def whole_split(batches: Iterable[Batch]) -> tuple[int, str]:
    """Count the samples of a split, and hash them in their order."""
    num, digests = 0, []
    for batch in batches:
        num += len(batch[1])
        digests.append(digest(batch))
    return num, " ".join(digests)


def require_whole_split(name: str, contents: list[tuple[int, str]]) -> None:
    """Refuse an evaluation in which the ranks see different samples.

    Args:
        name: The method that gives the loader, for the error.
        contents: whole_split() of all ranks.

    Raises:
        ValueError: The samples of two ranks differ.
    """
    if len(set(contents)) > 1:
        raise ValueError(
            f"data: {name} gave {shape_text([num for num, _ in contents])} samples on "
            f"{len(contents)} ranks, not the same ones on each; give the whole split on every "
            "rank, without a DistributedSampler: quality is measured on the first"
        )


def _add_up(num_train_samples: int, passes: list[int | None], batch_size: int) -> bool:
    """Whether the passes of all ranks add up to the split, so that each has a part of it."""
    known = [num for num in passes if num is not None]
    return len(known) == len(passes) and abs(sum(known) - num_train_samples) < batch_size


def _bits(labels: list[float]) -> float:
    """How unlikely it is to draw these labels from their classes by chance, as -log2."""
    shares = [num / len(labels) for num in Counter(labels).values()]
    return -len(labels) * log2(sum(share**2 for share in shares))


def _have_equal(values: list[Any]) -> bool:
    return len(set(values)) < len(values)
