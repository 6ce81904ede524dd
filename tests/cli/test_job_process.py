"""The process in which a launcher of Hydra makes a job."""

from __future__ import annotations

import pytest

from bench.cli.job_process import as_command
from bench.cli.multirun import Multirun


def test_a_defect_leaves_its_traceback_where_the_process_prints(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(RuntimeError, match="boom"), as_command(Multirun()):
        raise RuntimeError("boom")
    printed = capsys.readouterr().err
    assert printed.startswith("Traceback (most recent call last):")
    assert printed.endswith("RuntimeError: boom\n")
