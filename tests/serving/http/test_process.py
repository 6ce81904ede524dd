"""The server's process: how it starts or fails to, and that it leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.core.errors import CombinationRefused
from bench.serving.http import process
from bench.serving.http.limits import LimitUnavailable, make_memory_group
from bench.serving.http.process import HttpServer, ServerDied
from bench.serving.http.spec import ServerSpec
from tests.forked_children import forked_children
from tests.serving.http.serving import ask, server_spec

WAIT_S = 30.0


@pytest.fixture
def forked() -> Iterator[None]:
    """For what does not depend on the interpreter that a server starts in."""
    with forked_children():
        yield


def is_alive(pid: int) -> bool:
    """Whether a process is there that is no zombie."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] not in ("Z", "X")


def wait_for_end(pid: int) -> bool:
    deadline_s = time.monotonic() + WAIT_S
    while is_alive(pid) and time.monotonic() < deadline_s:
        time.sleep(0.01)
    return not is_alive(pid)


def test_it_says_what_it_is_and_leaves_nothing(tmp_path: Path) -> None:
    spec = server_spec(tmp_path, num_threads=3, max_batch_size=2)
    with HttpServer(spec, log=tmp_path / "server.log") as server:
        assert server.url.startswith("http://127.0.0.1:")
        assert is_alive(server.pid)
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
        assert str(server.pid) in children  # so that its CPU time counts as this process tree's
        # Threads as they are asked of the backend, and of libraries that look at the environment.
        assert server.facts["threads"] == "3 3"
        assert server.facts["http_server"].startswith("uvicorn ")
        assert server.load_s >= 0
        assert server.warmup_s >= 0
        assert server.compile_s is None
        assert server.memory_limit is None
        assert server.gone() is None
        # A new interpreter answers, and neither its imports nor requests leave a line.
        assert ask(server.url, "POST", "/v1/predict", {"id": 2}).content["outputs"] == [12, -12, 1]
    assert not is_alive(server.pid)
    assert (tmp_path / "server.log").read_text() == ""


def test_the_specification_survives_its_file(tmp_path: Path) -> None:
    spec = server_spec(tmp_path, port=80, batch_window_ms=1.5)
    spec.write(tmp_path / "spec.json")
    assert ServerSpec.read(tmp_path / "spec.json") == spec


@pytest.mark.usefixtures("forked")
def test_a_model_that_gives_another_number_of_logits_is_refused(tmp_path: Path) -> None:
    server = HttpServer(server_spec(tmp_path, output_shape=(10,)), log=tmp_path / "server.log")
    wanted = r"must give outputs of shape \(1, 10\) for a batch of 1; gave shape \(1, 3\)"
    with pytest.raises(ValueError, match=wanted), server:
        pass


@pytest.mark.usefixtures("forked")
def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = HttpServer(server_spec(tmp_path, port=port), log=tmp_path / "server.log")
        wanted = rf"backend.http.port={port}: cannot listen there at 127.0.0.1 \(Address already"
        with pytest.raises(ValueError, match=wanted), server:
            pass
    assert not is_alive(server.pid)


@pytest.mark.usefixtures("forked")
def test_the_given_port_is_taken(tmp_path: Path) -> None:
    for _ in range(5):  # another process may have taken it in between
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        try:
            with HttpServer(server_spec(tmp_path, port=port), log=tmp_path / "log") as server:
                assert server.url == f"http://127.0.0.1:{port}"
            return
        except ValueError as error:
            if f"port={port}: cannot listen there" not in str(error):
                raise
    pytest.fail("five free ports were taken one after the other")


@pytest.mark.usefixtures("forked")
@pytest.mark.parametrize(
    ("runtime", "line", "is_refusal"),
    [
        ("missing", "backend=missing: not installed; pip install it", False),
        ("refused", "backend=refused: no int8 here", True),
    ],
)
def test_a_backend_that_does_not_open_is_its_one_line_and_a_refusal_stays_one(
    tmp_path: Path, runtime: str, line: str, is_refusal: bool
) -> None:
    server = HttpServer(server_spec(tmp_path, runtime), log=tmp_path / "server.log")
    with pytest.raises(ValueError, match=f"^{line}$") as caught, server:
        pass
    assert isinstance(caught.value, CombinationRefused) == is_refusal
    assert not is_alive(server.pid)


def test_a_crash_at_the_start_tells_the_end_of_the_log(tmp_path: Path) -> None:
    server = HttpServer(server_spec(tmp_path, "crashes_at_once"), log=tmp_path / "server.log")
    with (
        pytest.raises(ServerDied, match=r"ended with 1; .*cannot load model\.onnx") as died,
        server,
    ):
        pass
    assert "\n" not in str(died.value)


def test_one_that_is_never_ready_is_ended(tmp_path: Path) -> None:
    spec = server_spec(tmp_path, "never_ready", start_timeout_s=0.05)
    server = HttpServer(spec, log=tmp_path / "server.log")
    with pytest.raises(ValueError, match=r"backend\.http\.start_timeout_s=0\.05"), server:
        pass
    assert not is_alive(server.pid)


@pytest.mark.usefixtures("forked")
def test_one_that_is_killed_is_reported_also_without_its_log(tmp_path: Path) -> None:
    with HttpServer(server_spec(tmp_path), log=tmp_path / "server.log") as server:
        os.kill(server.pid, signal.SIGKILL)
        assert wait_for_end(server.pid)
        died = server.gone()
        (tmp_path / "server.log").unlink()
        assert "the server was ended by SIGKILL" in str(server.gone())
    assert isinstance(died, ServerDied)
    assert "the server was ended by SIGKILL" in str(died)


@pytest.mark.usefixtures("forked")
def test_one_that_is_stopped_is_ended_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_GRACE_S", 0.1)
    with HttpServer(server_spec(tmp_path), log=tmp_path / "server.log") as server:
        os.kill(server.pid, signal.SIGSTOP)
    assert not is_alive(server.pid)


@pytest.mark.parametrize("taken", ["server.log", "server.spec.json"])
def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).mkdir()
    server = HttpServer(server_spec(tmp_path), log=tmp_path / "server.log")
    wanted = rf"{taken}: cannot be written \(Is a directory\); make room or give another"
    with pytest.raises(ValueError, match=wanted), server:
        pass


PARENT = """
import sys, time
from pathlib import Path
from bench.serving.http.process import HttpServer
from bench.serving.http.spec import ServerSpec
folder = Path(sys.argv[1])
with HttpServer(ServerSpec.read(folder / "given.json"), log=folder / "server.log") as server:
    print(server.pid, server.url, flush=True)
    time.sleep(3600)
"""


def test_the_server_of_a_killed_process_is_not_left_behind(tmp_path: Path) -> None:
    server_spec(tmp_path).write(tmp_path / "given.json")
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as parent:
        assert parent.stdout is not None
        pid, url = parent.stdout.readline().split()
        assert ask(url, "GET", "/v2/health/live").status == 200
        parent.kill()
    assert wait_for_end(int(pid))


def test_memory_is_limited_where_a_group_can_be_made(tmp_path: Path) -> None:
    limit_bytes = 150_000_000
    try:
        make_memory_group(limit_bytes, name="bench_test_probe").remove()
    except LimitUnavailable as error:
        pytest.skip(str(error))
    log = tmp_path / "server.log"
    spec = server_spec(tmp_path)
    with HttpServer(spec, log=log, memory_limit_bytes=limit_bytes) as server:
        assert server._group is not None
        assert str(server.pid) in server._group.procs.read_text().split()
        assert server.memory_limit == server._group.description
        assert str(limit_bytes) in str(server.memory_limit)
    assert not server._group.folder.exists()

    spec = server_spec(tmp_path, "eats_memory")
    server = HttpServer(spec, log=log, memory_limit_bytes=limit_bytes)
    with pytest.raises(ServerDied, match="killed at its memory limit of 150000000 bytes"), server:
        pass
    assert server._group is not None
    assert not server._group.folder.exists()


@pytest.mark.usefixtures("forked")
def test_without_a_group_the_reason_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    spec = server_spec(tmp_path)
    with HttpServer(spec, log=log, memory_limit_bytes=10**9, cgroup_root=tmp_path) as server:
        assert str(server.memory_limit).startswith("not limited: no control groups here")
        assert ask(server.url, "GET", "/v2/health/live").status == 200
