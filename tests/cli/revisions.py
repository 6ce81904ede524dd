"""A git repository with revisions of a benchmark that trains nothing, for the tests of bench.ab.

    repository = made_repository(tmp_path, {"slow": 1.2})
    repository.commit("broken", fails=True)

Its module `fake_bench` writes run folders as bench.train does, with the times that its revision
says, and a line for each call to calls.txt beside the repository. It imports nothing but the
standard library: a call takes a moment.
"""

from __future__ import annotations

import json
import subprocess
from ast import literal_eval
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.gate.made import made_record, write_run

# Times in seconds by repeat, none more than 2% from the median: closer than any loss that counts.
TIMES_S = [1.0, 1.01, 0.99, 1.02, 0.98, 1.005, 0.995, 1.015, 1.0, 0.985]

# It does without json, whose import would take a third of a call's time: revision.json has nothing
# that Python writes differently, and record.json has names in capitals in place of what differs.
_FAKE = """
import os, sys

def read(name):
    with open(os.path.join(os.path.dirname(__file__), name)) as file:
        return file.read()

revision = eval(read("revision.json"))
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
    print(call, file=file)
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
    import json

    if "untraceable" in flags:
        sys.exit("no room for a trace")
    os.makedirs(folder)
    time_s = revision["times_s"][0]
    operators = [{"name": "aten::mm", "num_calls": 7, "cpu_s": 0.5 * time_s, "device_s": 0.0}]
    with open(os.path.join(folder, "operators-0000-1.json"), "w") as file:
        json.dump({"wall_s": time_s, "operators": operators}, file)
command = given.get("command", "train")
times_s = revision["times_s"]
is_comparable = call["repeat"] >= revision["incomparable_below"]
for seed in given.get("seed", "0").split(","):
    if "nothing" in flags:
        break
    run_id = read("run_id.txt") + f"{int(seed):04x}{call['repeat']:04x}"
    differs = {
        "RUN_ID": run_id,
        "COMMAND": command,
        '"SEED"': seed,
        # `one_repeat`: as a training of one's own that does not pass on which repeat it is.
        '"REPEAT"': 0 if "one_repeat" in flags else call["repeat"],
        '"TIME_S"': times_s[call["repeat"] % len(times_s)],
        '"COMPARABLE"': "true" if is_comparable else "false",
        '"FLAGS"': "[]" if is_comparable else '["other_load"]',
    }
    record = read("record.json")
    for name, value in differs.items():
        record = record.replace(name, str(value))
    folder = os.path.join(given["results"], command, run_id)
    os.makedirs(folder)
    for name, text in (("config.yaml", read("config.yaml")), ("run.json", record)):
        with open(os.path.join(folder, name), "w") as file:
            file.write(text)
"""


# A command server whose runs are forks of it, and which writes a line for each renewal.
_FAKE_SERVER = """
import json, os, runpy, sys

def reply(content):
    print(json.dumps(content), flush=True)

reply({"protocol": 1})
for line in sys.stdin:
    request = json.loads(line)
    if request["do"] == "renew":
        with open(json.load(open("revision.json"))["calls"], "a") as file:
            print({"renewed": os.path.basename(os.getcwd())}, file=file)
        reply({"code": 0})
        continue
    child = os.fork()
    if child == 0:
        log = os.open(request["log"], os.O_WRONLY)
        os.dup2(log, 1)
        os.dup2(log, 2)
        module, sys.argv[1:] = sys.argv[1], request["arguments"]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        sys.exit()
    reply({"code": os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])})
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeRepository:
    """The folder of a repository, and the file that its runs write a line to."""

    folder: Path
    calls_file: Path

    def git(self, *arguments: str) -> str:
        """What git prints in it."""
        names = ("-c", "user.name=made", "-c", "user.email=made", "-c", "commit.gpgsign=false")
        at_once = ("-c", "maintenance.auto=false")  # a commit would look for something to tidy up
        command = ["git", *names, *at_once, *arguments]
        answer = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, check=True
        )
        return answer.stdout.strip()

    def commit(
        self,
        name: str,
        *,
        times_s: list[float],
        fails_from: int = 1000,
        incomparable_below: int = 0,
    ) -> None:
        """Commit a revision and tag it.

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

    def add_server(self) -> None:
        """Add the module `fake_server` to what is committed next."""
        (self.folder / "fake_server.py").write_text(_FAKE_SERVER)

    def calls(self) -> list[dict[str, Any]]:
        """What was run, in order."""
        if not self.calls_file.exists():
            return []
        return [literal_eval(line) for line in self.calls_file.read_text().splitlines()]

    def num_worktrees(self) -> int:
        """The folder itself included."""
        return len(self.git("worktree", "list").splitlines())


def made_repository(parent: Path) -> MadeRepository:
    """A repository with one revision, `good`, on the branch `main`."""
    folder = parent / "repository"
    made = MadeRepository(folder=folder, calls_file=parent / "calls.txt")
    folder.mkdir()
    run = write_run(parent / "made", made_record())
    (folder / "record.json").write_text(_with_names(json.loads((run / "run.json").read_text())))
    (folder / "run_id.txt").write_text(run.name.rpartition("-")[0] + "-")
    (folder / "config.yaml").write_bytes((run / "config.yaml").read_bytes())
    (folder / "fake_bench.py").write_text(_FAKE)
    (folder / ".gitignore").write_text("__pycache__/\nresults/\n")
    # Without a template there are no samples of hooks.
    made.git("init", "--quiet", "--template=", "--initial-branch", "main")
    made.commit("good", times_s=TIMES_S)
    return made


def _with_names(record: dict[str, Any]) -> str:
    """A record with names in place of what `fake_bench` fills in."""
    record |= {"run_id": "RUN_ID", "command": "COMMAND", "seed": "SEED", "repeat": "REPEAT"}
    record["target"]["time_to_target_s"] = "TIME_S"
    record["health"] |= {"comparable": "COMPARABLE", "flags": "FLAGS"}
    record["host"]["git_commit"] = None
    return json.dumps(record)
