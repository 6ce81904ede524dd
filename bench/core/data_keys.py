"""Which keys of a data set decide what its samples are."""

from __future__ import annotations

# Keys of a data set that change neither which samples are in its splits nor what they look like.
SAME_SAMPLES = frozenset(
    ("batch_size", "seed", "root", "download", "in_memory", "num_workers", "eval_batch_size")
)
