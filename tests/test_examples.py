"""The examples run, and README.md quotes them correctly."""

from __future__ import annotations

import importlib
import io
import json
import re
import runpy
import shutil
from collections.abc import Iterator, Sequence
from contextlib import chdir, redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import pytest

import analysis.report
import bench.compare
from bench.core.store import read_record
from tests.analysis.made import make_sweep
from tests.cli.command import ROOT, own_modules, records, run_here, serve, train

pytestmark = pytest.mark.xdist_group("jobs")  # one worker, so that one server forks them
README = (ROOT / "README.md").read_text()
EXAMPLES = ROOT / "examples"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the examples, so that results do not land among them."""
    return Path(shutil.copytree(EXAMPLES, tmp_path / "examples"))


def lines_of(folder: Path, name: str) -> list[str]:
    """Run a script as `python NAME` in the folder would, and give the lines that it prints."""
    with chdir(folder), redirect_stdout(io.StringIO()) as out:
        runpy.run_path(name, run_name="__main__")
    return out.getvalue().splitlines()


# A fraction of a second, without meters.
QUICK = ("scenario.min_duration_s=0.1", "scenario.warmup_queries=5", "meter=none")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the examples, in which README's command has trained the user's model."""
    folder = Path(shutil.copytree(EXAMPLES, tmp_path_factory.mktemp("trained") / "examples"))
    (command,) = re.findall(r"`(python -m bench\.train --config-dir [^`]*)`", README)
    with own_modules(folder):
        answer = train(folder, *command.split()[3:], "codecarbon=none", "probe.max_s=0.1")
        assert answer.code == 0, answer.out + answer.err
        yield folder


def test_a_users_model_and_data_set_train_as_the_readme_says(trained: Path) -> None:
    (record,) = records(trained)
    assert record.status == "ok"
    assert record.model is not None
    assert record.model.name == "two_layers"


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
    answer = serve(trained, "run=latest", "trust=[my_parts]", *QUICK, *options)
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
    answer = serve(trained, "run=latest", "trust=[my_parts]", *QUICK, *arguments)
    assert answer.code == code, answer.out + answer.err
    assert reason in answer.out + answer.err
    assert "Traceback" not in answer.err


def test_several_processes_share_the_batches_of_the_example(folder: Path) -> None:
    def pixels(rank: int, num_ranks: int) -> list[list[int]]:
        data = importlib.import_module("my_parts").BreastCancer(batch_size=32, seed=1)
        data.setup("fit")
        data.trainer = SimpleNamespace(world_size=num_ranks, global_rank=rank)
        return [batch[0].flatten().tolist() for batch in data.train_dataloader()]

    with own_modules(folder):
        shares = zip(pixels(0, 1), pixels(0, 2), pixels(1, 2), strict=True)
    for whole, first, second in shares:
        assert len(first) == len(second)
        assert sorted(whole) == sorted(first + second)


def test_a_plain_loop_is_measured(folder: Path) -> None:
    time_s, energy_j, label, _ = lines_of(folder, "my_loop.py")[0].split()
    assert float(time_s) > 0
    assert float(energy_j) > 0
    assert label in {"counter", "integrated", "modelled"}


def test_a_users_lightning_training_writes_a_record(folder: Path) -> None:
    time_s, energy_j = lines_of(folder, "my_training.py")[-1].split()
    (run_folder,) = (folder / "results" / "lightning").iterdir()
    target = read_record(run_folder).target
    assert target is not None
    assert target.reached
    assert (target.time_to_target_s, target.energy_to_target_j) == (float(time_s), float(energy_j))


OWN = {"my_own_loop": "mlp", "my_sklearn": "linear"}  # their configurations say which model


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples with a run of PyTorch, one of scikit-learn, and a sweep beside them.

    What a script printed is in a file.
    """
    folder = Path(shutil.copytree(EXAMPLES, tmp_path_factory.mktemp("own") / "examples"))
    make_sweep(folder / "results", batch_sizes=(32,), seeds=range(2))
    for name in OWN:
        (folder / f"{name}.txt").write_text(lines_of(folder, f"{name}.py")[-1])
    return folder


@pytest.mark.parametrize("name", OWN)
def test_a_training_loop_of_ones_own_writes_a_record(name: str, own: Path) -> None:
    (record,) = [one for one in records(own, "own") if one.config["model"] == OWN[name]]
    target = record.target
    assert target is not None
    assert (record.status, target.reached) == ("ok", True)
    printed = (own / f"{name}.txt").read_text().split()
    assert [target.time_to_target_s, target.energy_to_target_j] == [float(one) for one in printed]
    assert record.phases.eval_s
    assert [rung.reached for rung in record.ladder] == [True]
    assert record.quality is not None
    assert record.quality["accuracy"] == target.best_value
    assert set(record.quality.values) == {"accuracy", "loss"}


def test_trainings_of_ones_own_are_reported_beside_others(own: Path) -> None:
    options = ("figures=[tta_eta]", "formats=[svg]", "widths=[one]")
    answer = run_here(own, analysis.report.main, *options)
    assert answer.code == 0, answer.out + answer.err
    assert "runs: 4" in answer.out
    assert answer.err == ""
    assert (own / "report" / "figures" / "tta_eta_one.svg").exists()
    points = (own / "report" / "figures" / "tta_eta.csv").read_text()
    rows = (own / "report" / "tables" / "time.csv").read_text()
    for label in ("model=linear", "model=mlp", "Mlp"):
        assert label in points
        assert label in rows


def test_trainings_of_ones_own_are_judged(own: Path) -> None:
    """By what is exact: a single run of each is too little for times."""
    shutil.copytree(own / "results" / "own", own / "base" / "own")
    keys = ("baseline=base", "candidate=results", "metrics=[samples_to_target]", "force=[health]")
    answer = run_here(own, bench.compare.main, *keys, "allow_missing=true")
    assert answer.code == 0, answer.out + answer.err
    assert answer.out.count("no change (exact)") == 2
    for file in (own / "base" / "own").glob("*/run.json"):
        told = json.loads(file.read_text())
        told["target"]["samples_to_target"] //= 2
        file.write_text(json.dumps(told))
    answer = run_here(own, bench.compare.main, *keys, "allow_missing=true")
    assert answer.code == 1, answer.out + answer.err
    assert "own model=linear alpha=0.0001" in answer.out


def test_what_the_readme_quotes_is_in_the_examples() -> None:
    files = "\n".join(path.read_text() for path in EXAMPLES.glob("*.py"))
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line]
    # Of the trainer and the data there is more to say than a README should.
    shortened = "pl.Trainer(callbacks=[profiler]).fit(model, data)"
    assert [line for line in lines if line not in files and line != shortened] == []


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) < 120
