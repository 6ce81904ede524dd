"""A git repository with revisions of a benchmark that trains nothing, for the tests of bench.ab.

    repository = made_repository(tmp_path, {"slow": 1.2})
    repository.commit("broken", fails=True)

Its module `fake_bench` writes run folders as bench.train does, with the times that its revision
says, and a line for each call to calls.jsonl beside the repository. It imports nothing but the
standard library: a call takes a moment.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.gate.made import made_record, write_run

# Times in seconds by repeat, none more than 2% from the median: closer than any loss that counts.
TIMES_S = [1.0, 1.01, 0.99, 1.02, 0.98, 1.005, 0.995, 1.015, 1.0, 0.985]

_FAKE = """
import json, os, sys

def read(name):
    with open(os.path.join(os.path.dirname(__file__), name)) as file:
        return file.read()

revision = json.loads(read("revision.json"))
flags = [each for each in sys.argv[1:] if "=" not in each]
given = dict(each.split("=", 1) for each in sys.argv[1:] if "=" in each)
call = {
    "argv": sys.argv[1:],
    "cwd": os.getcwd(),
    "file": __file__,
    "name": revision["name"],
    "pid": os.getpid(),
    "repeat": int(given["repeat"]),
    "results": given["results"],
    "variables": {n: v for n, v in os.environ.items() if n.startswith(("PYTHON", "GIT_", "HYDRA"))},
}
with open(revision["calls"], "a") as file:
    file.write(json.dumps(call) + "\\n")
if call["repeat"] >= revision["fails_from"]:
    print("some output before it")
    sys.exit("it is broken here")
if given.get("stops_at") == given["repeat"]:
    import signal

    # As a person who presses Ctrl-C while this runs, and once more.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    os.kill(os.getppid(), getattr(signal, given["signal"]))
    signal.sigwait([signal.SIGINT])
    os.kill(os.getppid(), getattr(signal, given["signal"]))
    sys.exit("told to stop")
if folder := os.environ.get("BENCH_TRACE_OPERATORS"):
    if "untraceable" in flags:
        sys.exit("no room for a trace")
    os.makedirs(folder)
    time_s = revision["times_s"][0]
    operators = [{"name": "aten::mm", "num_calls": 7, "cpu_s": 0.5 * time_s, "device_s": 0.0}]
    with open(os.path.join(folder, "operators-0000-1.json"), "w") as file:
        json.dump({"wall_s": time_s, "operators": operators}, file)
for seed in given.get("seed", "0").split(","):
    if "nothing" in flags:
        break
    record = json.loads(read("record.json"))
    head, _, _ = record["run_id"].rpartition("-")
    record["run_id"] = f"{head}-{int(seed):04x}{call['repeat']:04x}"
    # `one_repeat`: as a training of one's own that does not pass on which repeat it is.
    record["seed"], record["repeat"] = int(seed), 0 if "one_repeat" in flags else call["repeat"]
    times_s = revision["times_s"]
    record["target"]["time_to_target_s"] = times_s[call["repeat"] % len(times_s)]
    if call["repeat"] < revision["incomparable_below"]:
        record["health"].update(comparable=False, flags=["other_load"])
    record["host"]["git_commit"] = None
    record["command"] = given.get("command", "train")
    folder = os.path.join(given["results"], record["command"], record["run_id"])
    os.makedirs(folder)
    for name, text in (("config.yaml", read("config.yaml")), ("run.json", json.dumps(record))):
        with open(os.path.join(folder, name), "w") as file:
            file.write(text)
"""


# A command server that starts the command anew for each run, and writes a line for each renewal.
_FAKE_SERVER = """
import json, os, subprocess, sys

def reply(content):
    print(json.dumps(content), flush=True)

reply({"protocol": 1})
for line in sys.stdin:
    request = json.loads(line)
    if request["do"] == "renew":
        with open(json.load(open("revision.json"))["calls"], "a") as file:
            file.write(json.dumps({"renewed": os.path.basename(os.getcwd())}) + "\\n")
        reply({"code": 0})
        continue
    with open(request["log"], "w") as log:
        command = [sys.executable, "-m", sys.argv[1], *request["arguments"]]
        reply({"code": subprocess.call(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)})
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeRepository:
    """The folder of a repository, and the file that its runs write a line to."""

    folder: Path
    calls_file: Path

    def git(self, *arguments: str) -> str:
        """What git prints in it."""
        names = ("-c", "user.name=made", "-c", "user.email=made", "-c", "commit.gpgsign=false")
        answer = subprocess.run(
            ["git", *names, *arguments], cwd=self.folder, capture_output=True, text=True, check=True
        )
        return answer.stdout.strip()

    def commit(
        self,
        name: str,
        *,
        times_s: list[float],
        fails_from: int = 1000,
        incomparable_below: int = 0,
    ) -> str:
        """Commit a revision and tag it; its hash.

        Args:
            name: Of the tag.
            times_s: To the target, by repeat; again from the first after the last.
            fails_from: Repeat from which on its runs fail.
            incomparable_below: Repeat below which its runs are not comparable.
        """
        revision = {
            "name": name,
            "times_s": times_s,
            "fails_from": fails_from,
            "incomparable_below": incomparable_below,
            "calls": str(self.calls_file),
        }
        (self.folder / "revision.json").write_text(json.dumps(revision))
        self.git("add", ".")
        self.git("commit", "--quiet", "--message", name)
        self.git("tag", name)
        return self.git("rev-parse", "HEAD")

    def add_server(self) -> None:
        """Add the module `fake_server` to what is committed next."""
        (self.folder / "fake_server.py").write_text(_FAKE_SERVER)

    def calls(self) -> list[dict[str, Any]]:
        """What was run, in order."""
        if not self.calls_file.exists():
            return []
        return [json.loads(line) for line in self.calls_file.read_text().splitlines()]

    def num_worktrees(self) -> int:
        """The folder itself included."""
        return len(self.git("worktree", "list").splitlines())


def made_repository(parent: Path) -> MadeRepository:
    """A repository with one revision, `good`, on the branch `main`."""
    folder = parent / "repository"
    made = MadeRepository(folder=folder, calls_file=parent / "calls.jsonl")
    folder.mkdir()
    run = write_run(parent / "made", made_record())
    (folder / "record.json").write_bytes((run / "run.json").read_bytes())
    (folder / "config.yaml").write_bytes((run / "config.yaml").read_bytes())
    (folder / "fake_bench.py").write_text(_FAKE)
    (folder / ".gitignore").write_text("__pycache__/\nresults/\n")
    made.git("init", "--quiet", "--initial-branch", "main")
    made.commit("good", times_s=TIMES_S)
    return made
