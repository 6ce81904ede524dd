"""The worked example of README.md: a model and a data set of one's own, and a conf/ folder."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.command import ROOT, records, train

README = (ROOT / "README.md").read_text()


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The files of the example, as README.md gives them: the first line names the file."""
    for block in [*code_blocks("python"), *code_blocks("yaml")]:
        first, _, rest = block.partition("\n")
        path = tmp_path / first.removeprefix("# ").strip()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(rest)
    return tmp_path


def test_a_model_and_data_set_of_ones_own_train_as_the_readme_says(example: Path) -> None:
    (command,) = re.findall(r"`(python -m bench\.train --config-dir [^`]*)`", README)
    arguments = command.split()[3:]
    answer = train(example, *arguments, "probe.num_requests=100")
    assert answer.code == 0, answer.out + answer.err
    (record,) = records(example)
    assert record.status == "ok"
    assert record.model is not None
    assert record.model.name == "two_layers"


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) < 150
