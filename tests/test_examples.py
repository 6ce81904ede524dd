"""The examples run, and README.md quotes them correctly."""

from __future__ import annotations

import importlib
import re
import runpy
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.core.store import read_record
from tests.cli.command import ROOT, records, serve_apart, train_apart

README = (ROOT / "README.md").read_text()
EXAMPLES = ROOT / "examples"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the examples, so that results do not land among them."""
    return Path(shutil.copytree(EXAMPLES, tmp_path / "examples"))


@pytest.fixture
def run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], list[str]]:
    """Runs a script as `python NAME` in the folder would, and gives the lines it prints."""
    monkeypatch.chdir(folder)

    def of(name: str) -> list[str]:
        runpy.run_path(name, run_name="__main__")
        return capsys.readouterr().out.splitlines()

    return of


def test_a_users_model_and_data_set_train_as_the_readme_says(folder: Path) -> None:
    (command,) = re.findall(r"`(python -m bench\.train --config-dir [^`]*)`", README)
    arguments = command.split()[3:]
    answer = train_apart(folder, *arguments, "probe.max_s=0.1", "codecarbon=none")
    assert answer.code == 0, answer.out + answer.err
    (record,) = records(folder)
    assert record.status == "ok"
    assert record.model is not None
    assert record.model.name == "two_layers"


# A fraction of a second, without meters.
QUICK = ("scenario.min_duration_s=0.2", "scenario.warmup_queries=5", "meter=none")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples, with a run of the model in them."""
    folder = Path(shutil.copytree(EXAMPLES, tmp_path_factory.mktemp("trained") / "examples"))
    quick = ("target.value=0.9", "codecarbon=none", "probe.max_s=0.1", "meter=none")
    answer = train_apart(folder, "--config-dir", "my_conf", "experiment=cancer", *quick)
    assert answer.code == 0, answer.out + answer.err
    return folder


@pytest.mark.xdist_group("my_backend")  # one worker, so that it is trained once
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("custom", ["backend=custom", "backend._target_=my_backend.NumpyBackend"]),
        ("http", ["backend=http", "backend.http.runtime=my_backend.NumpyBackend"]),
    ],
)
def test_a_users_backend_serves_in_process_and_over_http(
    trained: Path, name: str, options: Sequence[str]
) -> None:
    answer = serve_apart(trained, "run=latest", "trust=[my_parts]", *QUICK, *options)
    assert answer.code == 0, answer.out + answer.err
    (record,) = [
        record
        for record in records(trained, "serve")
        if record.status == "ok" and record.serving and record.serving.backend == name
    ]
    (training,) = records(trained)
    assert record.serving is not None
    assert record.serving.valid, record.serving.invalid_reasons
    assert record.serving.runtime == "numpy"
    facts = record.host["runtime"]
    assert [facts[key] for key in ("runtime", "device", "precision")] == ["numpy", "cpu", "float32"]
    # The answers are those of the network in PyTorch.
    assert record.quality_test is not None
    assert training.quality_test is not None
    assert record.quality_test["accuracy"] == pytest.approx(training.quality_test["accuracy"])


@pytest.mark.xdist_group("my_backend")
@pytest.mark.parametrize(
    ("target", "more", "code", "reason"),
    [
        ("my_backend.NumpyBackendd", "", 2, "has no NumpyBackendd; did you mean NumpyBackend?"),
        ("my_parts.two_layers", "", 2, "must be a subclass of bench.serving.backend.Backend"),
        (
            "my_backend.NumpyBackend",
            "compression=bf16",
            0,
            "compression=bf16: backend=numpy does not compute in bf16; use backend=",
        ),
    ],
)
def test_a_class_that_cannot_serve_is_refused_with_the_reason(
    trained: Path, target: str, more: str, code: int, reason: str
) -> None:
    arguments = ["backend=custom", f"backend._target_={target}", *filter(None, [more])]
    answer = serve_apart(trained, "run=latest", "trust=[my_parts]", *QUICK, *arguments)
    assert answer.code == code, answer.out + answer.err
    assert reason in answer.out + answer.err
    assert "Traceback" not in answer.err


def test_several_processes_share_the_batches_of_the_example(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "my_parts", raising=False)  # of another test
    module = importlib.import_module("my_parts")

    def pixels(rank: int, num_ranks: int) -> list[list[int]]:
        data = module.BreastCancer(batch_size=32, seed=1)
        data.setup("fit")
        data.trainer = SimpleNamespace(world_size=num_ranks, global_rank=rank)
        return [batch[0].flatten().tolist() for batch in data.train_dataloader()]

    for whole, first, second in zip(pixels(0, 1), pixels(0, 2), pixels(1, 2), strict=True):
        assert len(first) == len(second)
        assert sorted(whole) == sorted(first + second)


def test_a_plain_loop_is_measured(run: Callable[[str], list[str]]) -> None:
    time_s, energy_j, label, _ = run("my_loop.py")[0].split()
    assert float(time_s) > 0
    assert float(energy_j) > 0
    assert label in {"counter", "integrated", "modelled"}


def test_a_users_lightning_training_writes_a_record(
    folder: Path, run: Callable[[str], list[str]]
) -> None:
    time_s, energy_j = run("my_training.py")[-1].split()
    (run_folder,) = (folder / "results" / "lightning").iterdir()
    target = read_record(run_folder).target
    assert target is not None
    assert target.reached
    assert (target.time_to_target_s, target.energy_to_target_j) == (float(time_s), float(energy_j))


def test_what_the_readme_quotes_is_in_the_examples() -> None:
    files = "\n".join(path.read_text() for path in EXAMPLES.glob("*.py"))
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line]
    # Of the trainer and the data there is more to say than a README should.
    shortened = "pl.Trainer(callbacks=[profiler]).fit(model, data)"
    assert [line for line in lines if line not in files and line != shortened] == []


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) < 150
