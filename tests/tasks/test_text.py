"""Windows of a text whose bytes count from 0 to 249 and begin again, and of Python's own help."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bench.tasks.text import TextDataModule, WindowOrder, read_text, text

TEXT = bytes(i % 250 for i in range(1000))  # splits of 800, 100 and 100 tokens


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_bytes(TEXT)
    return path


def ready(path: Path, *, context: int = 9, batch_size: int = 4, seed: int = 0) -> TextDataModule:
    data = text(path=str(path), context=context, batch_size=batch_size, seed=seed)
    data.setup()
    return data


def tokens_of(loader: object) -> Tensor:
    return torch.cat([tokens for tokens, _ in loader])  # type: ignore[attr-defined]


def test_targets_are_the_next_tokens(file: Path) -> None:
    data = ready(file)
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        for tokens, targets in loader:
            assert tokens.dtype == targets.dtype == torch.int64
            assert torch.equal((tokens + 1) % 250, targets)


def test_an_epoch_has_as_many_tokens_as_lie_side_by_side(file: Path) -> None:
    data = ready(file)
    # (800 - 1) // 9 = 88 windows with a token after each, so 22 batches of 4.
    assert (data.num_train_samples, data.samples_per_example) == (88 * 9, 9)
    assert [tokens.shape for tokens, _ in data.train_dataloader()] == [(4, 9)] * 22
    assert (data.vocabulary_size, data.context, data.input_shape) == (256, 9, (9,))


def test_training_windows_come_from_anywhere_in_the_first_eight_tenths() -> None:
    order = WindowOrder(
        num_samples=5000, batch_size=5000, shuffle=True, num_tokens=12, context=9, seed=3
    )
    # The last window of 9 tokens starts at 2: its last target is token 11, the last of 12.
    assert set(next(iter(order)).tolist()) == {0, 1, 2}


def test_other_splits_are_read_side_by_side(file: Path) -> None:
    data = ready(file)
    # (100 - 1) // 9 = 11 windows from token 800, and from token 900.
    first = torch.arange(99).reshape(11, 9)
    assert torch.equal(tokens_of(data.val_dataloader()), (800 + first) % 250)
    assert torch.equal(tokens_of(data.test_dataloader()), (900 + first) % 250)


def test_no_token_is_in_two_splits(tmp_path: Path) -> None:
    path = tmp_path / "parts.txt"
    path.write_bytes(b"a" * 800 + b"b" * 100 + b"c" * 100)
    data = ready(path)
    for loader, letter in (
        (data.train_dataloader(), "a"),
        (data.val_dataloader(), "b"),
        (data.test_dataloader(), "c"),
    ):
        seen = {token for batch in loader for part in batch for token in part.flatten().tolist()}
        assert seen == {ord(letter)}


def test_the_seed_decides_the_windows_of_each_epoch(file: Path) -> None:
    one, again, other = (ready(file, seed=seed).train_dataloader() for seed in (0, 0, 1))
    first, second = tokens_of(one), tokens_of(one)
    assert torch.equal(first, tokens_of(again))
    assert torch.equal(second, tokens_of(again))
    assert not torch.equal(first, second)
    assert not torch.equal(first, tokens_of(other))


def test_ranks_share_each_batch() -> None:
    def places(rank: int, num_ranks: int) -> list[list[int]]:
        order = WindowOrder(
            num_samples=9,
            batch_size=4,
            num_tokens=100,
            context=9,
            shuffle=True,
            drop_last=True,
            world=lambda: (rank, num_ranks),
        )
        return [batch.tolist() for batch in order]

    shared = [one + other for one, other in zip(places(0, 2), places(1, 2), strict=True)]
    assert shared == places(0, 1)


def test_the_default_is_the_help_of_this_python() -> None:
    data = read_text(None, None)
    assert data == read_text(None, None)
    assert len(data) > 300_000
    assert b"assert statement" in data
    module = text(context=64, batch_size=2, seed=0)
    module.setup()
    assert module.data_hash == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("context", "batch_size", "words"),
    [
        (
            100,
            1,
            "data.context=100: the validation split has only 100 tokens, of a text of 1000; use a "
            "longer text, or a context of at most 99",
        ),
        (0, 1, "data.context=0: must be at least 1"),
        (9, 89, "batch_size=89: larger than the 88 windows of data.context=9 tokens"),
    ],
)
def test_what_the_text_does_not_allow_is_refused(
    file: Path, context: int, batch_size: int, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        ready(file, context=context, batch_size=batch_size)


def test_the_longest_context_is_that_of_the_message(file: Path) -> None:
    assert len(tokens_of(ready(file, context=99).val_dataloader())) == 1


def test_a_file_that_is_missing_or_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    with pytest.raises(ValueError, match=r"data.path=empty.txt: the file is empty"):
        read_text("empty.txt", str(tmp_path))
    with pytest.raises(ValueError, match=r"data.path=no.txt: no such file in data.root="):
        read_text("no.txt", str(tmp_path))
