"""Messages about a wrong command line: one line, the closest name, and what to type instead."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException, HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bench.cli.app import register
from bench.cli.messages import one_line
from bench.config.gate import CompareConfig
from bench.config.report import ReportConfig
from bench.core.files import config_dir
from bench.gate.settings import known_keys, with_least_effects
from bench.training.plan import plan_training


@pytest.fixture(autouse=True)
def hydra() -> Iterator[None]:
    register()
    ConfigStore.instance().store(name="report_schema", node=ReportConfig)
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        yield


def answer(monkeypatch: pytest.MonkeyPatch, command: str, *arguments: str) -> str:
    """What a command says of arguments that cannot be composed."""
    monkeypatch.setattr("sys.argv", ["command", *arguments])
    with pytest.raises((HydraException, ValueError)) as caught:
        compose(command, overrides=[each for each in arguments if each != "-m"])
    text = one_line(caught.value, command)
    assert "\n" not in text
    return text


OF_TRAIN = {
    "modl=cnn": "modl: no such key; did you mean model?",
    "optimizer.momentun=0": "optimizer.momentun: no such key; did you mean optimizer.momentum?",
    "optimizer.eps=1": "optimizer.eps: no such key of optimizer=sgd; optimizer=adamw has it",
    "~resum": "resum: no such key; did you mean resume?",
    "trainer=gpuu": "trainer=gpuu: must be one of auto, cpu, gpu; did you mean gpu?",
    "target=0.9": (
        "target=0.9: must be one of default; target.KEY=VALUE sets a key of it, see --help"
    ),
    "optimizer=null": "optimizer=null: must be one of adamw, custom, sgd",
    "batch_size=abc": "batch_size=abc: must be a whole number",
    "lr=abc": "lr=abc: must be a number",
    "progress=abc": "progress=abc: must be true or false",
    "results=null": "results=null: must have a value",
    "target.ladder=0.9": "target.ladder=0.9: must be a list, such as [A,B]",
    "optimizer=": "optimizer=: must be one of adamw, custom, sgd",
    "+seed=1": "+seed: this key exists already; leave out the +",
    "=3": "=3: is not KEY=VALUE",
    "hydra/sweeper=rcae": (
        "hydra/sweeper=rcae: must be one of basic, checked, race; did you mean race?"
    ),
    "hydra.sweeper.beta=2": (
        "hydra.sweeper.beta: no such key of hydra/sweeper=checked; hydra/sweeper=race has it"
    ),
    "hydra.sweeper.repeats.width=1": (
        "hydra.sweeper.repeats.width: no such key; did you mean hydra.sweeper.repeats.width_frac or"
        " model.width?"
    ),
}


@pytest.mark.parametrize("argument", OF_TRAIN)
def test_the_closest_name_is_suggested(argument: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert answer(monkeypatch, "train", argument) == OF_TRAIN[argument]


@pytest.mark.parametrize(
    ("key", "end"),
    [
        ("lr_scalin", "; did you mean lr_scaling?"),
        ("batchsize", "; did you mean batch_size?"),
        ("target.valu", "; did you mean target.value?"),
        ("data.num_worker", "; did you mean data.num_workers?"),
        ("meter.sources.rapl.rot", "; did you mean meter.sources.rapl.root?"),
        ("zzz", "; --help shows all keys"),
    ],
)
def test_the_closest_key_is_found_in_all_groups(key: str, end: str) -> None:
    error = ConfigCompositionException(f"Could not override '{key}'.")  # as Hydra words it
    assert one_line(error, "train") == f"{key}: no such key{end}"


def test_an_argument_without_a_value_is_reported() -> None:
    assert untaken("größe=3") == "größe: no such key; --help shows all keys"
    assert untaken("batch size=3") == "batch size: no such key; did you mean batch_size?"
    assert untaken("model").startswith("model: is not KEY=VALUE; ")


def test_every_name_is_a_key_or_group_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    assert answer(monkeypatch, "report", "result=x") == "result: no such key; did you mean results?"
    assert answer(monkeypatch, "report", "batch_size=1").endswith("--help shows all keys")
    wrong = answer(monkeypatch, "serve", "run=x", "scenario.rate=1")
    assert wrong.startswith("scenario.rate: no such key; did you mean scenario.rate_per_s")


def test_a_wrong_key_and_a_wrong_option_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "did you mean cnn?" in answer(monkeypatch, "train", "model=cn", "lrr=1")


def test_a_key_that_only_the_first_option_of_a_sweep_has_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The options of the help are the first ones of the command line."""
    monkeypatch.setattr("sys.argv", ["command", "-m", "optimizer=adamw,sgd", "optimizer.eps=1"])
    error = ConfigCompositionException("Could not override 'optimizer.eps'.")
    assert one_line(error, "train") == (
        "optimizer.eps: some options of optimizer in this sweep have no such key; sweep them apart"
    )


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("lr=${nope}", "lr=${nope}: there is no key nope"),
        ("lr=${lr}", "lr=${lr}: the value refers to itself"),
        ("lr=${nope:3}", "lr=${nope:3}: there is no resolver nope"),
        (
            "results=${oc.env:NOPE_X}",
            "results=${oc.env:NOPE_X}: the environment variable NOPE_X is not set",
        ),
        ("~model", "model: must be given"),
        ("recipe=distill", "recipe.teacher: must be given"),
        ("~seed", "~seed: the command needs this key; leave this argument out"),
    ],
)
def test_a_value_that_cannot_be_resolved_is_reported(
    argument: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["command", argument])
    with pytest.raises((OmegaConfBaseException, ValueError)) as caught:
        plan_training(compose("train", overrides=[argument]))
    assert one_line(caught.value, "train") == message


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("min_effect={nope:0.1}", "min_effect.nope: no such key; --help shows all keys"),
        ("min_effect.energ=1", "min_effect.energ: no such key; did you mean min_effect.energy"),
        ("min_effect=3", "min_effect=3: must be a mapping, such as {NAME: VALUE}"),
        ("~baseline", "~baseline: has no value that could be left out"),
    ],
)
def test_keys_of_the_gate_are_explained(
    argument: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = with_least_effects(CompareConfig)
    ConfigStore.instance().store(name="compare_schema", node=schema)
    monkeypatch.setattr("sys.argv", ["command", argument])
    with pytest.raises(HydraException) as caught:
        compose("compare", overrides=[argument])
    assert one_line(caught.value, "compare", known_keys(schema)).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "Sweeping over Hydra's configuration is not supported : "
            "'hydra.launcher.exclude=node3,node4'",
            "hydra.launcher.exclude: cannot be swept; one value with commas is "
            "\"hydra.launcher.exclude='node3,node4'\"",
        ),
        (
            "Input config does not have a `_target_` field",
            "hydra/launcher= or hydra/sweeper=: the file has no _target_; begin it with "
            "`defaults: [slurm]`, or with another option of its group",
        ),
    ],
)
def test_values_of_a_launcher_are_explained(text: str, message: str) -> None:
    assert one_line(HydraException(text), "train") == message


def untaken(argument: str) -> str:
    """What is said of an argument that the grammar does not take."""
    with pytest.raises(HydraException) as caught:
        OverridesParser.create().parse_overrides([argument])
    return one_line(caught.value, "train")


def value_of(argument: str) -> object:
    """What Hydra puts into the configuration."""
    value = OverridesParser.create().parse_override(argument).value()
    return OmegaConf.create({"key": value}).key


TEXTS = [
    "/tmp/Größe",
    "日本",
    "a(b",
    "../x y/(1)",
    "a=b",
    "~/x",
    "{a",
    "a}b",
    "[x",
    "a;b#c&d",
    "a!b^c<d>e",
    "`a`",
    "it's",
    'a"b',
    "'x",
    "a'b\"c\\",
    "${x",
    "a,b(c",
    "Größe: a, b (c)",
    "  (x) ",
    "é\\",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_suggested_argument_has_the_same_meaning(
    text: str,
) -> None:
    message = untaken(f"results={text}")
    begin, _, typed = message.partition(" in quotes only: ")
    assert begin.startswith(f"results={text}: Hydra takes ")
    (argument,) = shlex.split(typed)  # as a shell does
    assert value_of(argument) == text


def test_the_reason_of_a_refusal_is_named() -> None:
    assert untaken("results=/tmp/Größe") == (
        "results=/tmp/Größe: Hydra takes characters beyond ASCII in quotes only: "
        "\"results='/tmp/Größe'\""
    )
    assert untaken("results=a (2)") == (
        "results=a (2): Hydra takes ( ) in quotes only: \"results='a (2)'\""
    )


def test_elements_of_a_list_are_quoted_one_by_one() -> None:
    message = untaken("results=[Größe,b]")
    assert message.endswith("beyond ASCII in quotes only: \"results=['Größe',b]\"")
    (argument,) = shlex.split(message.partition("only: ")[2])
    assert value_of(argument) == ["Größe", "b"]


def test_elements_of_a_sweep_are_quoted_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["train.py", "-m"])
    message = untaken("data.root=/ä,/b")
    assert message.endswith("\"data.root='/ä',/b\"")


@pytest.mark.parametrize(
    ("argument", "ways"),
    [
        ("results=a,b", " or one text (\"results='a,b'\")"),
        ("probe.batch_sizes=1,2", ' or a list ("probe.batch_sizes=[1,2]")'),
        ("lr=0.1,0.2", ""),
        ("budget.max_energy_j=1,2", ""),
        ("model=mlp,cnn", ""),
    ],
)
def test_commas_without_a_sweep_are_explained(
    monkeypatch: pytest.MonkeyPatch, argument: str, ways: str
) -> None:
    message = answer(monkeypatch, "train", argument)
    assert message == f"{argument}: commas are for a sweep (-m){ways}"
    assert value_of("results='a,b'") == "a,b"


def test_options_in_a_users_folder_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "quick_one.yaml").write_text("# @package _global_\nlr: 0.2\n")
    arguments = ["--config-dir", str(tmp_path), "experiment=quick"]
    monkeypatch.setattr("sys.argv", ["train.py", *arguments])
    with pytest.raises(HydraException) as caught:
        compose("train", overrides=["experiment=quick"])
    message = one_line(caught.value, "train")
    assert "quick_one" in message
    assert message.endswith("did you mean quick_one?")


def test_a_value_that_cannot_be_typed_is_not_suggested() -> None:
    assert untaken("results=a\x1b(") == r"results=a\x1b(: Hydra takes \x1b ( in quotes only"


@pytest.mark.parametrize(
    ("command", "experiment", "message"),
    [
        ("train", "maintain_smoke", "experiment=maintain_smoke: must be one of architectures, "),
        ("maintain", "smoke", "experiment=smoke: must be one of batch_size_tradeoff, maintain_"),
        ("serve", "smoke", "experiment=smoke: this command has no option of experiment; leave"),
    ],
)
def test_an_experiment_of_another_command_is_named(
    monkeypatch: pytest.MonkeyPatch, command: str, experiment: str, message: str
) -> None:
    needed = ["run=latest"] if command == "serve" else []
    said = answer(monkeypatch, command, *needed, f"experiment={experiment}")
    assert said.startswith(message)
