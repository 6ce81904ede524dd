"""Standard streams of a process that are closed, full, abandoned or in another encoding."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = (
    "import sys; from bench.cli.start import open_streams\n"
    "open_streams(); open_streams()\n"
    "for _ in range(20000): print('ein Wert ±1')\n"
    "print('an error', file=sys.stderr)\n"
    "sys.exit(3)"
)


def started(redirection: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """The script, from a shell that redirects its streams; the exit code is the script's."""
    command = f'set -o pipefail; "{sys.executable}" -c "{SCRIPT}" {redirection}'
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(
        ["bash", "-c", command], env=environment, capture_output=True, timeout=60, check=False
    )


@pytest.mark.parametrize("redirection", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", "| head -1"])
def test_the_exit_code_does_not_depend_on_the_streams(redirection: str) -> None:
    answer = started(redirection)
    assert answer.returncode == 3
    assert b"Traceback" not in answer.stderr
    assert b"BrokenPipe" not in answer.stderr


def test_a_full_disk_under_standard_output_is_reported_once() -> None:
    answer = started(">/dev/full")
    assert answer.returncode == 3
    assert answer.stderr.splitlines() == [
        b"error: standard output: cannot write there (No space left on device)",
        b"an error",
    ]


def test_unencodable_characters_become_question_marks() -> None:
    answer = started("", PYTHONIOENCODING="ascii")
    assert answer.returncode == 3
    assert answer.stdout.splitlines()[0] == b"ein Wert ?1"
    assert len(answer.stdout.splitlines()) == 20_000
