"""One SLURM for all tests of this folder; without it they are skipped with the reason."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.slurm import Slurm, SlurmStartError, missing, running_slurm


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """It is stopped after the last test."""
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    try:
        # The names of sockets must be short, so that this folder lies high up.
        with running_slurm(
            tmp_path_factory.mktemp("slurm"), tmp_path_factory.getbasetemp()
        ) as slurm:
            yield slurm
    except SlurmStartError as error:
        pytest.skip(f"SLURM does not start: {error}")


@pytest.fixture
def slurm(cluster: Slurm) -> Iterator[Slurm]:
    """The SLURM of all tests; the jobs that a test leaves are ended."""
    yield cluster
    cluster.cancel_all()
