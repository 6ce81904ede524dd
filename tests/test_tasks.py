"""Each task from end to end through the commands: trained, served, reported and judged.

tests/test_examples.py does the same for a user's own LightningModule.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import analysis.report
import bench.compare
from tests.cli.command import records, run_here, serve, train

pytestmark = pytest.mark.xdist_group("jobs")  # one worker, so that one server forks them

# A few steps each, without meters.
QUICK = (
    *("codecarbon=none", "meter=none", "trainer=cpu", "trainer.num_warmup_steps=1"),
    *("probe.num_requests=20", "probe.warmup_requests=1", "probe.batch_sizes=[1]"),
    *("probe.min_batch_s=0.001", "target.ladder=[]"),
)
TEXT = ("task=language_modelling", "data=text", "data.path=words.txt", "data.context=16")
TRAINED = {
    "binary": ("data=breast_cancer", "data.group=mean radius", "target.metric=auroc"),
    "regression": ("task=regression", "data=diabetes", "target.metric=rmse"),
    "text": (*TEXT, "model=gpt", "model.width=8", "model.heads=2", "target.metric=bits_per_byte"),
}
# Values that are reached after a few evaluations, and what the tables call the quality.
VALUES = {"binary": "0.9", "regression": "70", "text": "6"}
METRICS = {"binary": "auroc", "regression": "rmse", "text": "bits_per_byte"}


@pytest.mark.parametrize("task", TRAINED)
def test_a_task_is_trained_served_reported_and_judged(task: str, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("the quick brown fox jumps over the lazy dog\n" * 40)
    target = (f"target.value={VALUES[task]}", "target.eval_every_samples=512")
    answer = train(tmp_path, "-m", "seed=0,1", *TRAINED[task], *target, *QUICK)
    assert answer.code == 0, answer.out + answer.err
    assert "2/2 reached" in answer.out

    trained = records(tmp_path)
    for record in trained:
        assert record.task is not None
        assert record.target is not None
        assert record.quality is not None
        assert record.quality[record.target.metric] is not None
    serving = ("scenario.min_duration_s=0.1", "scenario.warmup_queries=2", "codecarbon=none")
    answer = serve(tmp_path, "run=latest", "meter=none", *serving)
    assert answer.code == 0, answer.out + answer.err
    (served,) = records(tmp_path, "serve")
    assert served.quality_test is not None
    trained_test = trained[-1].quality_test
    assert trained_test is not None
    assert served.quality_test[METRICS[task]] == pytest.approx(trained_test[METRICS[task]])

    shown = ("figures=[tta_eta]", "formats=[svg]", "widths=[one]")
    answer = run_here(tmp_path, analysis.report.main, "results=results", *shown)
    assert answer.code == 0, answer.out + answer.err
    # The same runs on both sides; what other load does to times does not matter to a count.
    sides = ("baseline=results/train", "candidate=results/train", "force=[health]")
    answer = run_here(tmp_path, bench.compare.main, *sides, "metrics=samples_to_target")
    assert answer.code == 0, answer.out + answer.err
    assert "no change (exact)" in answer.out
