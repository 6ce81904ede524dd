"""The composite action: valid by GitHub's schema, and its scripts run, with programs that record.

The schemas are those of SchemaStore, as check-jsonschema carries them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from bench.gate.report.writers import MARKER
from tests.cli.command import ROOT

ACTION = ROOT / ".github/actions/perf/action.yml"
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
_RECORDER = f"""#!{sys.executable}
import json, os, sys
with open(os.environ["CALLS"], "a") as file:
    file.write(json.dumps(sys.argv) + "\\n")
print(os.environ.get("REPLY", ""))
sys.exit(int(os.environ.get("RETURNS", "0")))
"""


def schema(name: str) -> dict[str, Any]:
    path = files("check_jsonschema") / "builtin_schemas" / "vendor" / f"{name}.json"
    tree: dict[str, Any] = json.loads(path.read_text())
    return tree


def action() -> dict[str, Any]:
    tree: dict[str, Any] = yaml.safe_load(ACTION.read_text())
    return tree


class Runner:
    """Runs the steps of the action as GitHub's runner does, `gh` and `opbench` aside."""

    def __init__(self, folder: Path) -> None:
        self.calls_file, self.outputs = folder / "calls.jsonl", folder / "outputs.txt"
        programs = folder / "bin"
        programs.mkdir()
        for name in ("gh", "opbench"):
            (programs / name).write_text(_RECORDER)
            (programs / name).chmod(0o755)
        self._variables = {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "CALLS": str(self.calls_file),
            "GITHUB_OUTPUT": str(self.outputs),
            "GITHUB_REPOSITORY": "owner/name",
        }

    def run(self, place: int, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run one step with the variables that its inputs would give it."""
        step = action()["runs"]["steps"][place]
        assert variables.keys() - {"REPLY", "RETURNS"} == step["env"].keys() - {"GH_TOKEN"}
        script = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"]]
        return subprocess.run(
            script,
            env={**self._variables, **variables},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    def calls(self) -> list[list[str]]:
        """The arguments of each program that was run, with its name."""
        lines = map(json.loads, self.calls_file.read_text().splitlines())
        return [[Path(line[0]).name, *line[1:]] for line in lines]


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


def compare(runner: Runner, **others: str) -> subprocess.CompletedProcess[str]:
    given = {
        **{"BASE": "", "TARGET": "", "HEAD": "HEAD", "KEYS": "", "BENCHMARK": ""},
        **{"COMMAND": "opbench", "FILES": "out"},
    }
    return runner.run(0, **{**given, **others})


def test_action_and_workflows_are_valid() -> None:
    jsonschema.validate(action(), schema("github-actions"))
    assert WORKFLOWS
    for path in WORKFLOWS:
        # YAML 1.1 reads the key `on` as true.
        tree = {"on" if key is True else key: value for key, value in _loaded(path).items()}
        jsonschema.validate(tree, schema("github-workflows"))


def _loaded(path: Path) -> dict[Any, Any]:
    tree: dict[Any, Any] = yaml.safe_load(path.read_text())
    return tree


def test_no_input_is_pasted_into_a_script() -> None:
    for step in action()["runs"]["steps"]:
        assert "${{" not in step["run"]


def test_keys_and_the_benchmark_are_split_as_in_a_shell(runner: Runner) -> None:
    done = compare(
        runner,
        BASE="v1",
        KEYS="budget_s=900 'install=pip install -e .'",
        BENCHMARK="experiment=mine -m 'seed=0,1' $(touch evil) `id`",
    )
    assert done.returncode == 0, done.stderr
    files = ["markdown=out/perf.md", "json=out/perf.json", "junit=out/perf.xml"]
    assert runner.calls() == [
        [
            *("opbench", "ab", "base=v1", "head=HEAD"),
            *files,
            *("budget_s=900", "install=pip install -e .", "--"),
            *("experiment=mine", "-m", "seed=0,1", "$(touch", "evil)", "`id`"),
        ]
    ]


def test_without_a_base_it_is_where_the_branch_left(runner: Runner) -> None:
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=ROOT, text=True).strip()
    assert compare(runner, TARGET="HEAD").returncode == 0
    (call,) = runner.calls()
    assert call[2] == f"base={head}"
    assert call[-1] == "--"


@pytest.mark.parametrize("code", [0, 1, 3, 130])
def test_the_exit_code_ends_the_action_after_the_comment(runner: Runner, code: int) -> None:
    assert compare(runner, BASE="v1", RETURNS=str(code)).returncode == 0
    assert runner.outputs.read_text() == f"exit-code={code}\n"
    assert runner.run(2, CODE=str(code)).returncode == code


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ("", ["repos/owner/name/issues/7/comments"]),
        ("42", ["--method", "PATCH", "repos/owner/name/issues/comments/42"]),
    ],
)
def test_the_comment_is_written_once_and_then_replaced(
    runner: Runner, reply: str, words: list[str]
) -> None:
    done = runner.run(1, NUMBER="7", FILES="out", REPLY=reply)
    assert done.returncode == 0, done.stderr
    listing, writing = runner.calls()
    assert listing[:5] == ["gh", "api", "--paginate", "repos/owner/name/issues/7/comments", "--jq"]
    assert MARKER in listing[5]
    assert writing == ["gh", "api", *words, "--field", "body=@out/perf.md", "--silent"]


def test_a_comment_that_cannot_be_written_is_a_warning(runner: Runner) -> None:
    done = runner.run(1, NUMBER="7", FILES="out", RETURNS="1")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1].startswith("::warning::no comment was written")
