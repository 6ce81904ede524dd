"""The module of examples/my_module.py, from the real command to the report and the gate."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest

import analysis.report
import bench.compare
from tests.cli.command import ROOT, own_modules, records, run_here, serve, train

pytestmark = pytest.mark.xdist_group("jobs")  # one worker, so that one server forks them


def command() -> list[str]:
    """The arguments that the example itself gives for its training."""
    text = (ROOT / "examples" / "my_module.py").read_text().partition("python -m bench.train")[2]
    return shlex.split(text.partition("\n\n")[0].replace("\\\n", " "))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("module")
    shutil.copy(ROOT / "examples" / "my_module.py", folder)
    quick = ("meter=none", "codecarbon=none", "trainer=cpu", "probe.max_s=0.1", "shared=true")
    with own_modules(folder):
        answer = train(folder, *command(), *quick)
    assert answer.code == 0, answer.out + answer.err
    assert "target val_f1 >= 0.9" in answer.out
    assert "reached val_f1" in answer.err
    return folder


def test_the_record_has_what_the_module_logs(trained: Path) -> None:
    (record,) = records(trained)
    assert record.status == "ok"
    assert record.target is not None
    assert (record.target.metric, record.target.mode, record.target.reached) == (
        *("val_f1", "max"),
        True,
    )
    assert record.target.samples_to_target
    assert record.task is not None
    assert (record.task.kind, record.task.directions) == ("module", {"val_f1": "max"})
    assert record.quality is not None
    assert record.quality.values.keys() == {"val_f1", "val_loss"}
    assert record.quality["val_f1"] == record.target.best_value
    assert record.quality_test is not None
    assert record.quality_test.values.keys() == {"test_f1"}
    assert record.model is not None
    assert record.model.num_parameters == 64 * 64 + 64 + 64 * 10 + 10
    assert record.serving is not None
    assert record.serving.latency_p50_ms
    assert (record.config["lr"], record.config["optimizer"]) == (None, None)


def test_it_is_reported(trained: Path) -> None:
    options = ("figures=[quality_time]", "formats=[svg]", "widths=[one]")
    answer = run_here(trained, analysis.report.main, *options)
    assert answer.code == 0, answer.out + answer.err
    assert "runs: 1" in answer.out
    assert "LitDigits" in (trained / "report" / "tables" / "time.csv").read_text()


def test_the_gate_judges_it(trained: Path) -> None:
    keys = ("baseline=results", "candidate=results", "metrics=[samples_to_target]")
    answer = run_here(trained, bench.compare.main, *keys, "force=[health]")
    assert answer.code == 0, answer.out + answer.err
    assert "no change (exact)" in answer.out


def test_its_forward_is_served_if_it_is_trusted(trained: Path) -> None:
    short = ("run=latest", "meter=none", "scenario.min_duration_s=0.1", "scenario.min_queries=64")
    with own_modules(trained):
        answer = serve(trained, *short)
        assert answer.code == 2
        assert "allow it with trust=[my_module]" in answer.err
        answer = serve(trained, *short, "trust=[my_module]", "backend.device=cpu")
    assert answer.code == 0, answer.out + answer.err
    (record,) = records(trained, "serve")
    assert record.serving is not None
    assert record.serving.latency_p90_ms is not None
    assert record.task is not None
    assert (record.task.name, record.task.sample) == ("module", "row")
    assert record.quality_test is None  # only its own test_step could compute one
