from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from bench.core.files import StoreError
from bench.core.ledger import Ledger, append_ledger
from bench.core.records.run import RunIdentity
from bench.core.store import new_identity


@pytest.fixture
def identity() -> RunIdentity:
    return new_identity("train", "0123456789ab", 3, 1)


def test_the_ledger_lists_launches_and_ends(tmp_path: Path, identity: RunIdentity) -> None:
    other = replace(identity, run_id="other", seed=4)
    append_ledger(tmp_path, "launched", identity)
    append_ledger(tmp_path, "launched", other)
    append_ledger(tmp_path, "ended", identity, status="ok", reached=False)
    append_ledger(tmp_path, "ended", other, status="failed", reached=False)

    ledger = Ledger(tmp_path)
    events = [line["event"] for line in ledger.events]
    assert events == ["launched", "launched", "ended", "ended"]
    assert (ledger.num_skipped, ledger.skipped_note) == (0, None)


def test_a_line_cut_by_a_full_disk_loses_only_that_line(
    tmp_path: Path, identity: RunIdentity
) -> None:
    """Without a newline of its own first, the next event would be appended to the cut line."""
    append_ledger(tmp_path, "launched", identity)
    with (tmp_path / "ledger.jsonl").open("a") as file:
        file.write('{"event": "ended", "utc": "2026')
    append_ledger(tmp_path, "ended", identity, status="ok")
    ledger = Ledger(tmp_path)
    assert [line["event"] for line in ledger.events] == ["launched", "ended"]
    assert ledger.num_skipped == 1
    assert (
        ledger.skipped_note == f"{tmp_path}/ledger.jsonl: skipped 1 line without an event of a run"
    )


@pytest.mark.parametrize(
    "line",
    [
        b"[1]",
        b'"x"',
        b"null",
        b"\xff\xfe",
        b"{",
        b"[" * 100_000,
        b"{}",
        json.dumps({"event": "ended", "run_id": ["a"], "command": "train"}).encode(),
        json.dumps(
            {"event": "ended", "run_id": "../../x", "command": "train", "seed": 0, "repeat": 0}
        ).encode(),
        json.dumps(
            {"event": "ended", "run_id": "x", "command": "train", "seed": [1], "repeat": 0}
        ).encode(),
    ],
    ids=lambda line: repr(line[:30]),
)
def test_a_line_that_is_not_an_event_is_skipped_and_counted(
    tmp_path: Path, identity: RunIdentity, line: bytes
) -> None:
    append_ledger(tmp_path, "launched", identity)
    with (tmp_path / "ledger.jsonl").open("ab") as file:
        file.write(line + b"\n")
    append_ledger(tmp_path, "ended", identity, status="ok")
    ledger = Ledger(tmp_path)
    assert [line["event"] for line in ledger.events] == ["launched", "ended"]
    assert ledger.num_skipped == 1


@pytest.mark.parametrize("kind", ["link", "pipe", "device"])
def test_a_ledger_that_is_not_a_file_is_neither_written_nor_waited_for(
    tmp_path: Path, identity: RunIdentity, kind: str
) -> None:
    victim, ledger = tmp_path / "victim", tmp_path / "ledger.jsonl"
    victim.write_text("")
    if kind == "pipe":
        os.mkfifo(ledger)
    else:
        ledger.symlink_to(victim if kind == "link" else "/dev/zero")
    with pytest.raises(StoreError, match="cannot write there"):
        append_ledger(tmp_path, "launched", identity)
    assert victim.read_text() == ""
    if kind != "link":
        with pytest.raises(StoreError, match=r"ledger.jsonl: not a file"):
            Ledger(tmp_path)


def test_a_ledger_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "ledger.jsonl").mkdir()
    with pytest.raises(StoreError, match=r"ledger.jsonl: not a file"):
        Ledger(tmp_path)
