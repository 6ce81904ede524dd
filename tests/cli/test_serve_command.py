"""bench.serve: a trained model served in each way, its failures, its records.

The commands run in the tests' process; tests/test_opbench.py runs one as a user does.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from bench.core.ledger import Ledger
from bench.core.records.run import RunRecord
from tests.cli.broken import Locked
from tests.cli.command import Answer, records, serve, train

pytestmark = pytest.mark.xdist_group("jobs")  # one worker, so that one server forks them

# A training with the shortest probe, and nothing that is not read here.
QUICK = (
    *("experiment=smoke", "trainer.num_warmup_steps=1", "codecarbon=none", "meter=none"),
    *("probe.num_requests=1", "probe.batch_sizes=[1]", "probe.min_batch_s=0.01"),
)
# Passes of a fraction of a second; a meter would make them longer.
SHORT = ("scenario.min_duration_s=0.1", "scenario.warmup_queries=20", "meter=none")
STAGES = ["client_wait", "network", "queue", "fetch", "preprocess", "inference", "postprocess"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run that reached its target, and after it one that missed."""
    folder = tmp_path_factory.mktemp("served")
    answer = train(folder, "-m", *QUICK, "target.value=0.8,1.0")
    assert answer.code == 0, answer.err
    return folder


@pytest.fixture
def folder(base: Path, tmp_path: Path) -> Path:
    """A copy of the training runs, so that each test sees its own serving runs only."""
    return Path(shutil.copytree(base, tmp_path / "work"))


def trained(folder: Path) -> RunRecord:
    """The run that reached its target."""
    (found,) = [run for run in records(folder) if run.target is not None and run.target.reached]
    return found


def only(folder: Path) -> RunRecord:
    (record,) = records(folder, "serve")
    return record


def served(folder: Path, *arguments: str, code: int = 0) -> tuple[RunRecord, Answer]:
    run = trained(folder).run_id
    answer = serve(folder, f"run={run}", *SHORT, *arguments)
    assert answer.code == code, answer.out + answer.err
    return only(folder), answer


def test_a_serving_record_refers_to_its_training(folder: Path) -> None:
    record, answer = served(folder, "meter=auto", "backend.num_threads=1")
    training = trained(folder)
    assert record.command == "serve"
    assert record.trained is not None
    assert record.trained.run_id == training.run_id
    assert record.trained.config_hash == training.config_hash
    serving = record.serving
    assert serving is not None
    assert serving.valid, serving.invalid_reasons
    assert (serving.scenario, serving.backend) == ("single_stream", "eager")
    assert serving.headline == "latency_p90_ms"
    assert serving.latency_p90_ms is not None
    assert serving.latency_p90_ms > 0
    assert serving.num_threads == 1
    # What is served uncompressed answers as the model did in training.
    assert record.quality_test is not None
    assert training.quality_test is not None
    assert record.quality_test.at == "served"
    assert record.quality_test["accuracy"] == pytest.approx(training.quality_test["accuracy"])
    assert serving.energy_per_prediction_j is not None
    assert serving.energy_per_prediction_j > 0
    assert serving.cost_per_million_usd is not None
    assert record.phases.serve_s == pytest.approx(record.phases.wall_time_s)
    assert record.target is None
    assert record.health is not None
    assert [part.component for part in serving.energy_per_prediction_components] == ["cpu"]
    assert (record.phases.train_s, record.phases.eval_s, record.phases.checkpoint_s) == (None,) * 3
    assert (record.trained.model, record.trained.data) == ("mlp", "digits")
    for words in ("mlp", "(electricity)", "results: results/serve"):
        assert words in answer.out
    assert "not valid" not in answer.out
    run = folder / "results" / "serve" / record.run_id
    names = {"run.json", "config.yaml", "telemetry.parquet", "requests.parquet", "log.txt"}
    names |= {"readings.parquet"}
    assert {path.name for path in run.iterdir()} == names
    requests = pd.read_parquet(run / "requests.parquet")
    assert len(requests) == serving.num_predictions
    lines = [line for line in Ledger(folder / "results").events if line["command"] == "serve"]
    assert [line["event"] for line in lines] == ["launched", "ended"]


def test_a_sweep_over_compressions_reports_and_refuses(
    folder: Path,
) -> None:
    run = trained(folder).run_id
    answer = serve(
        folder,
        "-m",
        f"run={run}",
        *SHORT,
        "scenario=offline",
        "backend=eager",
        "backend.device=cpu",
        "compression=none,int8_static,int8_dynamic",
        "compression.compare_rounds=3",
        "compression.compare_requests=5",
        "keep_model=true",
    )
    assert answer.code == 0, answer.out + answer.err
    by_method = {run.config["compression"]["method"]: run for run in records(folder, "serve")}
    plain, refused, compressed = (
        by_method[name] for name in ("none", "int8_static", "int8_dynamic")
    )
    assert plain.compression is None
    assert refused.status == "refused"
    assert refused.error is not None
    assert refused.error.kind == "CompressionRefused"
    assert "int8_static" in refused.error.message
    found = compressed.compression
    assert found is not None
    assert found.latency_ratio is not None
    assert found.latency_ratio_low is not None
    assert found.latency_ratio_high is not None
    assert found.latency_ratio_low <= found.latency_ratio <= found.latency_ratio_high
    assert plain.model is not None
    assert found.baseline_size_bytes == plain.model.size_bytes
    assert compressed.quality_test is not None
    assert plain.quality_test is not None
    accuracies = (compressed.quality_test["accuracy"], plain.quality_test["accuracy"])
    assert None not in accuracies
    change = (accuracies[0] or 0.0) - (accuracies[1] or 0.0)
    assert found.accuracy_change == pytest.approx(change)
    model = folder / "results" / "serve" / compressed.run_id / "model"
    assert sum(path.stat().st_size for path in model.iterdir()) == found.size_bytes
    assert compressed.serving is not None
    assert compressed.serving.latency_p90_ms is None  # offline: all samples are one query
    assert plain.config_hash != compressed.config_hash


def test_stages_over_http_add_up_even_in_an_invalid_pass(
    folder: Path,
) -> None:
    # A hundred queries are too few to be sure of a p99: the command says so, and ends with 5.
    record, answer = served(
        folder,
        "scenario=server",
        "scenario.rate_per_s=200",
        "scenario.min_queries=100",
        "scenario.latency_bound_ms=500",
        "backend=http",
        "backend.http.runtime=onnxruntime",
        "placement=edge",
        "placement.round_trip_ms=10",
        code=5,
    )
    assert record.status == "ok", record.error
    assert record.serving is not None
    assert (record.serving.valid, record.serving.headline) == (False, "latency_p99_ms")
    assert "not valid: too few queries to be 99% sure" in answer.out
    means = {stage.stage: stage.mean_ms for stage in record.stages}
    assert list(means) == [*STAGES, "unexplained", "end_to_end"]
    # Round trips are drawn around 10 ms with a deviation of 1 ms.
    assert means["network"] >= 8
    assert record.placement is not None
    assert record.placement.network is not None
    assert record.placement.network.startswith("envoy")
    assert record.placement.memory_limit is not None
    assert record.quality_test is not None
    training = trained(folder)
    assert training.quality_test is not None
    assert record.quality_test["accuracy"] == pytest.approx(training.quality_test["accuracy"])
    assert "end to end" in answer.out
    requests = pd.read_parquet(folder / "results" / "serve" / record.run_id / "requests.parquet")
    # The means are those of what the client noted of each request.
    assert means["end_to_end"] == pytest.approx(requests["latency_ms"].mean())
    for stage in ("client_wait", "inference"):
        assert means[stage] == pytest.approx(requests[f"{stage}_ms"].mean())


def test_the_rate_search_reports_the_pass_at_the_largest_rate(folder: Path) -> None:
    answer = serve(
        folder,
        f"run={trained(folder).run_id}",
        *SHORT,
        "scenario=server",
        "scenario.search_steps=3",
        "scenario.min_queries=662",
        "meter=cpu_model",
    )
    record = only(folder)
    serving, steps = record.serving, record.rate_search
    assert serving is not None
    assert serving.failed_rate_per_s is not None
    # A machine that is too busy for every rate ends with 5, and says so.
    assert answer.code == (0 if serving.valid else 5), answer.out + answer.err
    assert (serving.max_rate_per_s is not None) == serving.valid
    held = [step for step in steps if step.full_length and step.valid]
    best = max(held, key=lambda step: step.rate_per_s) if held else steps[-1]
    assert serving.rate_per_s == best.rate_per_s
    above = serving.max_rate_per_s or 0.0
    failed = [step.rate_per_s for step in steps if not step.valid and step.rate_per_s > above]
    assert serving.failed_rate_per_s == min(failed)
    # Requests, clock and joules are those of that pass.
    assert serving.num_requests == best.num_queries
    requests = pd.read_parquet(folder / "results" / "serve" / record.run_id / "requests.parquet")
    assert len(requests) == best.num_queries
    assert serving.duration_s is not None
    assert record.phases.serve_s is not None
    assert serving.duration_s <= record.phases.serve_s
    assert serving.energy_per_prediction_j is not None
    assert record.energy_total_j is not None
    assert serving.energy_per_prediction_j * best.num_queries <= record.energy_total_j


def test_several_runs_are_served_by_a_glob_and_not_again_on_resume(folder: Path) -> None:
    answer = serve(folder, "-m", "run=*", *SHORT, "allow_missed=true")
    assert answer.code == 0, answer.out + answer.err
    for record in records(folder):
        assert re.search(rf"^run \d of 2, run={record.run_id}: ", answer.err, re.MULTILINE)
    links = [record.trained for record in records(folder, "serve") if record.trained]
    assert {link.run_id for link in links} == {record.run_id for record in records(folder)}
    assert {link.reached for link in links} == {True, False}
    # The last training is the one that missed.
    again = serve(folder, "run=latest", *SHORT, "allow_missed=true", "resume=true")
    assert again.code == 0, again.err
    assert len(records(folder, "serve")) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "run: must be given"),
        (("run=nothing",), "run=nothing: no training run of that name"),
        (("run=latest", "allow_missed=false"), "it did not reach its target; allow_missed=true"),
        (("run=latest", "scenario=burst"), "burst"),
        (("run=latest", "backend.num_threads=0"), "backend.num_threads=0: must be at least 1"),
        (("-m", "run=latest", "scenario.rate_per_s=5,6"), "scenario.rate_per_s and"),
        (("run=latest", "placement=edge"), "placement=edge: needs backend=http"),
        (("run=latest", "backend=http", "backend.http.url=here"), "must begin with http://"),
        (("run=latest", "skew=celsius"), "skew=celsius: the data are images, and pixels have"),
        (
            ("run=latest", "skew=missing", "backend=http", "backend.http.url=http://127.0.0.1:1"),
            "skew=missing: can only be planted in a server that this command starts",
        ),
        (("run=latest", "skew=missing", "check_skew=false"), "check_skew=false: skew=missing is"),
        (("run=latest", "backend.thread=1"), "backend.thread: no such key"),
        (("run=latest", "meter=rapl", "meter.sources.rapl.root=/nowhere"), "meter=rapl"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    base: Path, arguments: tuple[str, ...], words: str
) -> None:
    allowed = () if "allow_missed=false" in arguments else ("allow_missed=true",)
    answer = serve(base, *arguments, *allowed)
    assert answer.code == 2, answer.out + answer.err
    (line,) = answer.lines()
    assert line.startswith("error: ")
    assert words in line
    assert not (base / "results" / "serve").exists()


def failed(folder: Path, *arguments: str) -> tuple[RunRecord, Answer]:
    answer = serve(folder, f"run={trained(folder).run_id}", *SHORT, *arguments)
    assert answer.code == 5, answer.out + answer.err
    return only(folder), answer


def test_a_port_in_use_is_named(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        record, answer = failed(
            folder, "backend=http", "backend.http.runtime=eager", f"backend.http.port={port}"
        )
    assert record.error is not None
    assert str(port) in record.error.message
    assert str(port) in answer.out


class OwnServer(ThreadingHTTPServer):
    """A user's own server of the documented request, which may break down after some answers."""

    daemon_threads = True
    request_queue_size = 128  # the client makes all of its connections at once

    def __init__(self, *, answers: int | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.left = answers

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet: else each waits for the other 40 ms
    server: OwnServer

    def do_GET(self) -> None:
        self._say({"live": True})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.left is not None:
            self.server.left -= 1
            if self.server.left < 0:
                self.server.socket.close()  # refuses all connections from now on
                self.server.shutdown()  # else it would ask the closed socket again and again
                self.close_connection = True
                return
        # The class of an image is its id modulo 10, which is right for a tenth of them or so.
        logits = [float(asked["id"] % 10 == k) for k in range(10)]
        self._say({"id": asked["id"], "class": asked["id"] % 10, "logits": logits})

    def _say(self, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


@contextmanager
def own_server(*, answers: int | None = None) -> Iterator[str]:
    with OwnServer(answers=answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()


def test_a_users_server_is_queried_and_unknown_fields_are_absent(folder: Path) -> None:
    with own_server() as url:
        record, answer = served(folder, "backend=http", f"backend.http.url={url}", code=1)
    assert {stage.stage for stage in record.stages} == {
        "client_wait",
        "network",
        "unexplained",
        "end_to_end",
    }
    assert record.serving is not None
    assert record.serving.runtime is None
    assert record.quality_test is not None
    assert record.quality_test["accuracy"] is not None
    assert record.quality_test["accuracy"] < 0.5  # its own answers, not those of the trained model
    assert record.skew is not None
    assert record.skew.found
    assert record.skew.changed_predictions_frac is not None
    assert record.skew.changed_predictions_frac > 0.5
    assert "predictions change" in answer.out


def test_a_planted_skew_is_found_and_a_sound_path_has_none(folder: Path) -> None:
    run = trained(folder).run_id
    answer = serve(folder, "-m", f"run={run}", *SHORT, "skew=none,stale_scaler")
    assert answer.code == 1, answer.out + answer.err
    sound, broken = sorted(
        (record.skew for record in records(folder, "serve") if record.skew),
        key=lambda skew: skew.found,
    )
    assert not sound.found
    assert sound.outputs_max_difference is not None
    assert sound.outputs_max_difference <= 1e-5
    assert broken.planted == "stale_scaler"
    assert broken.changed_predictions_frac is not None
    assert broken.changed_predictions_frac > 0
    (line,) = (line for line in answer.out.splitlines() if "features differ by up to" in line)
    assert line.endswith("skew=stale_scaler was planted")
    assert {record.status for record in records(folder, "serve")} == {"ok"}
    unchecked = serve(folder, f"run={run}", *SHORT, "check_skew=false")
    assert unchecked.code == 0
    assert len([record for record in records(folder, "serve") if record.skew is None]) == 1


BESIDE = ("beside=retraining", "beside.compare_rounds=2", "beside.num_threads=1")


def test_a_model_is_served_beside_a_retraining(folder: Path) -> None:
    record, answer = served(folder, *BESIDE, "backend.num_threads=1")
    assert record.serving is not None
    beside = record.serving.beside
    assert beside is not None
    assert (beside.name, beside.num_threads, beside.num_rounds) == ("retraining", 1, 2)
    assert beside.num_requests >= 662
    assert min(beside.latency_p99_alone_ms, beside.latency_p99_beside_ms) > 0
    assert min(beside.training_alone_steps_per_s, beside.training_beside_steps_per_s) > 0
    assert record.health is not None
    assert "sampler_gap" not in record.health.flags  # the sampler waits for its own process
    assert "joules of both" in " ".join(answer.out.split())
    assert (folder / "results" / "serve" / record.run_id / "retraining.log").exists()
    assert record.skew is not None
    assert not record.skew.found


def test_a_server_that_breaks_down_in_the_middle_is_a_failed_record(folder: Path) -> None:
    num_images = 360  # the test split of the digits: it survives them, and not the load after
    with own_server(answers=num_images + 200) as url:
        record, answer = failed(folder, "backend=http", f"backend.http.url={url}")
    assert record.status == "failed"
    assert record.error is not None
    assert "nothing answers there any more" in record.error.message
    assert record.quality_test is not None  # what was measured before is kept
    assert "failed" in answer.out


def test_a_users_model_that_cannot_be_pickled_is_served_if_trusted(
    folder: Path,
) -> None:
    path = folder / "results" / "train" / trained(folder).run_id
    tree = json.loads((path / "run.json").read_text())
    tree["config"]["model"] = {"_target_": "tests.cli.broken.Locked"}
    (path / "run.json").write_text(json.dumps(tree))
    torch.save(Locked((1, 8, 8), 10).state_dict(), path / "checkpoint.pt")
    answer = serve(folder, f"run={path}", *SHORT, "backend=http", "backend.http.runtime=eager")
    assert answer.code == 2
    assert answer.err.endswith("allow it with trust=[tests]\n")
    assert not (folder / "results" / "serve").exists()  # nothing was started
    http = ("backend=http", "backend.http.runtime=eager", "backend.num_threads=1")
    record, _ = served(folder, *http, "trust=[tests.cli.broken]")
    assert record.quality_test is not None
    assert record.quality_test.num_samples == 360
    assert (
        "not pickled whole ("
        in (folder / "results" / "serve" / record.run_id / "log.txt").read_text()
    )
