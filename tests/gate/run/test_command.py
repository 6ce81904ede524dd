from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from bench.cli.app import register
from bench.config.gate import AbConfig
from bench.core.files import config_dir
from bench.gate.run.command import compare_line, run_arguments, split_arguments, word_for_word
from bench.gate.settings import known_keys

KEYS = known_keys(AbConfig)


def split(*arguments: str) -> tuple[list[str], list[str]]:
    return split_arguments(arguments, "ab", KEYS)


def test_keys_after_the_dashes_go_to_the_benchmark() -> None:
    theirs = ["-m", "batch_size=32,64", "--", "~logger"]
    assert split("alpha=0.1", "--cfg", "job", "--", *theirs) == (
        ["alpha=0.1", "--cfg", "job"],
        theirs,
    )
    assert split("alpha=0.1") == (["alpha=0.1"], [])
    assert split("--", "lr=0.1") == ([], ["lr=0.1"])
    assert split() == ([], [])


@pytest.mark.parametrize(
    "argument",
    [
        "-m",
        "--multirun",
        "lr=0.1",
        "model=cnn",
        "+target.value=1",
        "run=latest",
        "experiment=smoke",
    ],
)
def test_keys_of_the_benchmark_are_refused_before_the_dashes(argument: str) -> None:
    with pytest.raises(
        ValueError, match=r": is for the benchmark; .* bench\.ab base=origin/main --"
    ):
        split("base=main", argument)


@pytest.mark.parametrize("argument", ["results=x", "repeat=1", "++repeat=1"])
def test_keys_that_bench_ab_sets_are_refused_after_the_dashes(argument: str) -> None:
    with pytest.raises(ValueError, match=r": bench\.ab gives each run its own; leave it out after"):
        split("--", argument)


@pytest.mark.parametrize(
    "argument",
    [
        "hydra/launcher=slurm",
        "+hydra/launcher=joblib",
        "hydra/launcher@hydra.launcher=ray",
        "hydra.launcher.partition=gpu",
        "hydra/sweeper=optuna",
        "+hydra.sweeper.n_trials=9",
    ],
)
def test_runs_of_two_revisions_are_never_spread(argument: str) -> None:
    instead = "sbatch --exclusive --wrap 'python -m bench.ab base=main -- -m lr=0.1,0.2'"
    for theirs in (["-m", argument, "lr=0.1,0.2"], ["-m", "lr=0.1,0.2", argument]):
        with pytest.raises(ValueError, match=rf"^{re.escape(argument)}: bench\.ab .* in turn") as e:
            split("base=main", "--", *theirs)
        assert str(e.value).endswith(instead)
    with pytest.raises(ValueError, match="in turn on one machine"):
        split("base=main", argument, "--", "-m", "lr=0.1,0.2")


@pytest.mark.parametrize("argument", ["hydra/launcher=basic", "hydra/sweeper=checked"])
def test_what_runs_the_jobs_here_is_passed_on(argument: str) -> None:
    assert split("--", argument) == ([], [argument])


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("head=HEAD~1", "HEAD~1"),
        ("head=v1.0^{}", "v1.0^{}"),
        ("head=main@{1 day ago}", "main@{1 day ago}"),
        ("head=1234567", "1234567"),
        ("head=12e4567", "12e4567"),
        ("head='HEAD~1'", "HEAD~1"),  # quoted for Hydra already
        ("install=pip install -e . && make a='b c'", "pip install -e . && make a='b c'"),
        ('install=echo ${HOME} "$PATH"', 'echo ${HOME} "$PATH"'),
        ("""install="$PY" -m pip install ".\"""", """"$PY" -m pip install ".\""""),
        ("install=null", None),
        ("python=.venv/bin/python", ".venv/bin/python"),
    ],
)
def test_revisions_and_commands_are_taken_word_for_word(argument: str, value: str | None) -> None:
    (own,), _ = split(argument)
    register()
    ConfigStore.instance().store(name="ab_schema", node=AbConfig)
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        config = OmegaConf.to_container(compose("ab", overrides=["base=main", own]), resolve=True)
    assert isinstance(config, dict)
    assert config[argument.partition("=")[0]] == value


def test_a_results_folder_is_quoted_only_where_hydra_needs_it() -> None:
    assert run_arguments(["-m", "lr=1"], Path("/a/b-1.0"), 3) == [
        "-m",
        "lr=1",
        "results=/a/b-1.0",
        "repeat=3",
    ]
    assert run_arguments([], Path("/my ~work (1)"), 0) == ["results='/my ~work (1)'", "repeat=0"]
    assert run_arguments([], Path("/größe"), 0) == ["results='/größe'", "repeat=0"]


@pytest.mark.parametrize(
    ("argument", "taken"),
    [
        ("baseline=perf/b-1.json", "baseline=perf/b-1.json"),
        ("baseline=~/b.json", "baseline='~/b.json'"),
        ("junit=größe (1).xml", "junit='größe (1).xml'"),
        ("noise=${results}/n.json", "noise=${results}/n.json"),
        ("noise=null", "noise=null"),
        ("json='a b'", "json='a b'"),
        ("alpha=0.1", "alpha=0.1"),
        ("metrics=[a,b]", "metrics=[a,b]"),
    ],
)
def test_paths_are_taken_word_for_word_but_for_interpolations(argument: str, taken: str) -> None:
    assert word_for_word([argument]) == [taken]


@pytest.mark.parametrize(
    ("path", "quoted"),
    [
        ("perf/base-1.json", "baseline=perf/base-1.json"),
        ("my runs", "'baseline='\"'\"'my runs'\"'\"''"),
        ("a=b,c", "'baseline='\"'\"'a=b,c'\"'\"''"),
    ],
)
def test_the_command_that_stores_is_quoted(path: str, quoted: str) -> None:
    assert compare_line(path, "results", "accept=true") == (
        f"python -m bench.compare {quoted} candidate=results accept=true"
    )


@pytest.mark.parametrize("path", ["my runs", "a=b,c", "it's", "back\\slash\\", "\\'", "[x]{y}"])
def test_quoted_arguments_reach_the_command_unchanged(path: str) -> None:
    words = shlex.split(compare_line(path, "results", "accept=true"))[3:]
    values = [each.value() for each in OverridesParser.create().parse_overrides(words)]
    assert [str(value) for value in values] == [path, "results", "True"]
