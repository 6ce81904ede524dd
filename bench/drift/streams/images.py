"""Pools of images."""

from __future__ import annotations

import numpy as np

from bench.drift.samples import Pool, Samples
from bench.tasks.image_files import NUM_CLASSES
from bench.tasks.sources import read_files


def fashion_mnist(*, root: str | None, download: bool) -> Pool:
    """Read the 70,000 images of Fashion-MNIST, float32 (n, 1, 28, 28) with values 0 to 255.

    Args:
        root: The folder with the files; None for the usual places.
        download: Download the files if they are not found.

    Raises:
        FileNotFoundError: The files were not found and not downloaded.
        ValueError: The root does not exist, or a file is corrupt or missing.
    """
    development, test = read_files("fashion_mnist", root, download, key="stream.source.root")
    images = np.concatenate([development.images, test.images])
    samples = Samples(
        ids=np.arange(len(images)),
        features=images.astype(np.float32),
        labels=np.concatenate([development.labels, test.labels]).astype(np.int64),
    )
    return Pool(samples=samples, num_classes=NUM_CLASSES)
