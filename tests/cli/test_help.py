"""--help of every command: quick, complete, readable at 80 columns, and with examples that work."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser

import analysis.export
import analysis.plot
import analysis.report
import bench.ab
import bench.bisect
import bench.compare
import bench.doctor
import bench.maintain
import bench.measure.__main__
import bench.noise
import bench.serve
import bench.train
import bench.verify
from analysis.figures.registry import figure_titles
from bench.cli.app import register
from bench.cli.conf_files import read_conf
from bench.cli.help import command_docs, print_help
from bench.config.doctor import DoctorConfig
from bench.config.gate import AbConfig, BisectConfig, CompareConfig, NoiseConfig
from bench.config.measure import MeasureConfig
from bench.config.report import ExportConfig, PlotConfig, ReportConfig
from bench.config.verify import VerifyConfig
from bench.core.checks import keys_of
from bench.core.files import config_dir
from bench.gate.run.command import split_arguments
from bench.gate.settings import with_least_effects
from tests.cli.command import ROOT, Answer, environment, run_here

MAINS: dict[str, Callable[[], int]] = {
    "bench.train": bench.train.main,
    "bench.serve": bench.serve.main,
    "bench.maintain": bench.maintain.main,
    "bench.compare": bench.compare.main,
    "bench.ab": bench.ab.main,
    "bench.bisect": bench.bisect.main,
    "bench.noise": bench.noise.main,
    "bench.doctor": bench.doctor.main,
    "bench.measure": bench.measure.__main__.main,
    "bench.verify": bench.verify.main,
    "analysis.report": analysis.report.main,
    "analysis.plot": analysis.plot.main,
    "analysis.export": analysis.export.main,
}
CONF = config_dir()


# These have keys of what they measure; the others are about runs that exist.
MEASURING = {f"bench.{name}" for name in ("train", "serve", "maintain", "measure", "doctor")}


def asked(folder: Path, module: str, *arguments: str) -> Answer:
    return run_here(folder, MAINS[module], *arguments)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.get_terminal_size", lambda *_, **__: os.terminal_size((80, 24)))


@pytest.mark.parametrize("module", MAINS)
@pytest.mark.usefixtures("narrow")
def test_the_page_fits_eighty_columns_and_shows_the_commands_own_keys(
    module: str, tmp_path: Path
) -> None:
    answer = asked(tmp_path, module, "--help")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(f"{module}: ")
    assert max(map(len, answer.out.splitlines())) <= 80
    assert "schema" not in answer.out
    words = " ".join(answer.out.split())
    for key in read_conf(CONF / f"{module.rpartition('.')[2]}.yaml").keys:
        assert (f" {key.name}=" if key.value is not None else f" {key.name}.*") in words
        assert key.comment
        assert key.comment in words
    if module not in (
        "bench.train",
        "bench.serve",
        "bench.maintain",
        "bench.doctor",
        "bench.measure",
    ):
        assert not re.search(r"^  (data|model|optimizer|meter)=", answer.out, re.MULTILINE)
    assert list(tmp_path.iterdir()) == []


def test_every_file_is_an_option_of_some_command() -> None:
    """So that test_config_tree.py has seen that each of its keys is explained."""
    shown = {
        f"{group}={name}"
        for command in ("train", "serve", "maintain")
        for group, names in command_docs(command, []).options.items()
        for name in names
    }
    for path in CONF.glob("*/*.yaml"):
        if path.parent.name not in ("hydra", "energy_source"):  # sources are those of the meters
            assert f"{path.parent.name}={path.stem}" in shown


def examples(module: str) -> list[list[str]]:
    page = command_docs(module.rpartition(".")[2], []).parts[0].about
    return [shlex.split(line) for line in page if line.startswith("  python -m")]


@pytest.fixture
def hydra() -> Iterator[None]:
    register()
    for name, schema in {
        "ab": AbConfig,
        "bisect": with_least_effects(BisectConfig),
        "noise": NoiseConfig,
        "doctor": DoctorConfig,
        "measure": MeasureConfig,
        "verify": VerifyConfig,
        "compare": with_least_effects(CompareConfig),
        "report": ReportConfig,
        "export": ExportConfig,
        "plot": PlotConfig,
    }.items():
        ConfigStore.instance().store(name=f"{name}_schema", node=schema)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def jobs(arguments: list[str]) -> list[tuple[str, ...]]:
    """The overrides of each job of a command line."""
    overrides = OverridesParser.create().parse_overrides([a for a in arguments if a != "-m"])
    each = [
        [f"{one.key_or_group}={value}" for value in one.sweep_string_iterator()]
        if one.is_sweep_override()
        else [one.input_line]
        for one in overrides
    ]
    return [tuple(str(text) for text in job) for job in product(*each)]


def compose_line(words: list[str]) -> None:
    """Compose what a command line asks for; of a sweep, the last job."""
    assert words[:2] == ["python", "-m"]
    module, name = words[2], words[2].rpartition(".")[2]
    composed = {name: words[3:]}
    schemas = {"ab": AbConfig, "bisect": BisectConfig, "noise": NoiseConfig}
    if name in schemas:
        keys = keys_of(schemas[name])
        composed[name], composed["train"] = split_arguments(words[3:], name, keys)
    assert module in MAINS
    for command, arguments in composed.items():
        compose(command, overrides=list(jobs(arguments)[-1]))


@pytest.mark.parametrize("module", MAINS)
@pytest.mark.usefixtures("hydra")
def test_every_example_composes(module: str) -> None:
    shown = examples(module)
    assert len(shown) == 3
    for words in shown:
        assert words[2] == module
        if module == "bench.measure":
            words = words[: words.index("--")]  # a program follows
        if module not in ("bench.ab", "bench.bisect", "bench.noise"):  # they take no -m
            assert ("-m" in words[3:]) == (len(jobs(words[3:])) > 1)
        compose_line(words)


PAGE = (ROOT / "docs/concepts.md").read_text()
# What bench.train itself takes from the command line, before Hydra composes it.
_NOT_COMPOSED = ("repeat=auto", "hydra/sweeper=race")


@pytest.mark.parametrize(("page", "num"), [("docs/concepts.md", 25), ("README.md", 6)])
@pytest.mark.usefixtures("hydra")
def test_every_command_of_a_page_composes(page: str, num: int) -> None:
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    commands = [shlex.split(line, comments=True) for line in lines if line.startswith("python ")]
    assert len(commands) >= num
    for words in commands:
        compose_line([word for word in words if word not in _NOT_COMPOSED])


def test_every_figure_of_the_concepts_exists_and_no_idea_lacks_a_thing_to_look_for() -> None:
    known = {*figure_titles()}
    ideas = PAGE.split("\n### ")[1:]
    for idea in ideas:
        named = re.findall(r"Figures?\s((?:`\w+`(?:, and |, |\sand )?)+)", idea)
        figures = set(re.findall(r"`(\w+)`", " ".join(named)))
        assert figures <= known, figures - known
        assert "```bash" in idea
        assert figures or "Exit code" in idea, idea
        assert "**Look for**" in idea or "Exit code" in idea, idea


def test_chosen_options_are_explained_with_the_values_of_the_experiment(
    tmp_path: Path,
) -> None:
    answer = asked(tmp_path, "bench.train", "model=cnn", "experiment=smoke", "-h")
    assert "model.width=16 " in answer.out
    assert "model.dropout" not in answer.out
    assert "lr=0.05 " in answer.out
    assert "probe.num_requests=100 " in answer.out
    assert "data=mnist: " in asked(tmp_path, "bench.train", "experiment=mnist_99", "-h").out


def test_values_that_a_placement_overrides_are_shown_unless_given(tmp_path: Path) -> None:
    assert "price=aws_m7g_large: " in asked(tmp_path, "bench.serve", "placement=cloud", "-h").out
    given = asked(tmp_path, "bench.serve", "placement=cloud", "price=azure_d2s_v5", "-h").out
    assert "price=azure_d2s_v5: " in given
    assert "experiment" not in given  # they are all of bench.train


def test_a_users_options_are_listed_with_the_others(tmp_path: Path) -> None:
    own = ROOT / "examples" / "my_conf"
    answer = asked(tmp_path, "bench.train", "--config-dir", str(own), "experiment=cancer", "--help")
    assert "architectures, batch_size_tradeoff, cancer" in answer.out
    assert "model.hidden=32" in answer.out


def test_a_wrong_option_or_file_is_reported_in_one_line(tmp_path: Path) -> None:
    answer = asked(tmp_path, "bench.train", "model=cn", "--help")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: model=cn: must be one of cnn, ")
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "bad.yaml").write_text("a: [1\n")
    answer = asked(tmp_path, "bench.train", "--config-dir=.", "experiment=bad", "--help")
    assert answer.code == 2
    assert re.fullmatch(r"error: experiment/bad\.yaml: cannot be read: .*\n", answer.err)


@pytest.mark.parametrize(
    ("module", "argument"), [("analysis.plot", "figure=help"), ("analysis.report", "figures=help")]
)
def test_the_figures_are_listed_with_their_titles(
    module: str, argument: str, tmp_path: Path
) -> None:
    answer = asked(tmp_path, module, argument)
    assert answer.code == 0
    assert answer.out == asked(tmp_path, module, "--help").out
    words = " ".join(answer.out.split())
    for name, title in figure_titles().items():
        assert f"{name} {title}" in words


def test_the_version_is_that_of_the_package_with_the_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert re.match(
        r"operational-metrics-bench 0\.1\.0\b", asked(tmp_path, "bench.ab", "--version").out
    )
    (tmp_path / "conf").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "7.8"\n')
    monkeypatch.setattr("bench.cli.help.config_dir", lambda: tmp_path / "conf")
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    assert asked(folder, "bench.train", "--version").out == "operational-metrics-bench 7.8\n"


@pytest.mark.parametrize(
    "arguments", [[], ["--hydra-help"], ["--cfg", "job"], ["base=a", "--", "--help", "--version"]]
)
def test_arguments_for_the_command_or_hydra_are_not_answered(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["ab.py", *arguments])
    assert print_help("bench.ab") is None


def test_a_full_disk_is_reported_in_one_line(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "bench.compare", "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(tmp_path),
        )
    assert ended.returncode == 2
    assert ended.stderr == "error: standard output: No space left on device\n"
