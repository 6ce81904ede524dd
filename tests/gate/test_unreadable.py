"""Folders, records, baselines and noise files with any content: bad ones are reported, the rest is
compared."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.config.gate import JudgeConfig
from bench.core.find import runs_below
from bench.core.records.run import RunError, RunRecord
from bench.gate.matching.compare import compare
from bench.gate.model import Comparison
from bench.gate.report.sentences import legend, verdict_line
from bench.gate.run.noise import add_noise
from bench.gate.sides.baseline import drift, read_baseline, write_baseline
from bench.gate.sides.noise import read_noise
from bench.gate.sides.read import read_side
from bench.gate.sides.side import Side
from tests.gate.made import made_record, made_side, write_run, write_runs

TIMES_S = [1.0, 1.01, 0.99]
Record = dict[str, Any]
EXACT = JudgeConfig(metrics=["num_parameters"], allow_missing=True)  # judged from one run on


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Side:
    results = tmp_path_factory.mktemp("base")
    write_runs(results, TIMES_S)
    return read_side(results)


def compared(base: Side, results: Path) -> Comparison:
    return compare(base, read_side(results), EXACT)


def edit(folder: Path, change: Callable[[Record], object]) -> None:
    record = json.loads((folder / "run.json").read_text())
    change(record)
    (folder / "run.json").write_text(json.dumps(record))


def with_batch_size(value: object, record: Record) -> None:
    record["config"]["batch_size"] = value


def nested(levels: int) -> Any:
    tree: Any = 1
    for _ in range(levels):
        tree = {"a": tree}
    return tree


# What no run can have: this run is told, the others are compared.
IMPOSSIBLE: dict[str, Callable[[Record], object]] = {
    "infinite time": lambda r: r["target"].update(time_to_target_s=float("inf")),
    "negative time": lambda r: r["target"].update(time_to_target_s=-5.0),
    "negative joules": lambda r: r["target"].update(energy_to_target_j=-5.0),
    "huge count": lambda r: r["target"].update(samples_to_target=10**200),
    "list as seed": lambda r: r.update(seed=[1]),
    "text as memory": lambda r: r["host"].update(memory_bytes="lots"),
    "huge memory": lambda r: r["host"].update(memory_bytes=10**400),
    "text as GPUs": lambda r: r["host"].update(gpus="two"),
    "numbers as GPUs": lambda r: r["host"].update(gpus=[1, 2]),
    "dict as name": lambda r: r["host"].update(name={"a": 1}),
    "list as CPU": lambda r: r["host"].update(cpu_name=["a"]),
    "list as environment": lambda r: r["host"].update(environment=["OMP"]),
    "deep configuration": lambda r: r["config"].update(model=nested(200)),
    "list as host": lambda r: r.update(host=[]),
    "no object": lambda r: r.clear(),
}


@pytest.mark.parametrize("change", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_one_impossible_record_is_reported_and_the_others_are_compared(
    change: Callable[[Record], object], base: Side, tmp_path: Path
) -> None:
    folder = write_runs(tmp_path, TIMES_S)[1]
    edit(folder, change)
    comparison = compared(base, tmp_path)
    (problem,) = comparison.problems
    assert (problem.kind, comparison.exit_code) == ("unreadable", 5)
    assert folder.name in problem.message
    assert {row.num_base for row in comparison.rows} == {2}


# What is odd and possible: compared like any other.
ODD: dict[str, Callable[[Record], object]] = {
    "mixed types": lambda r: r["config"].update(batch_size="auto", model=["a", {"b": None}]),
    "odd keys": lambda r: r["config"].update({"": 1, "a.b": 2, "a": {"b": 3}, "\x1b[2J\n": "x"}),
    "list as choices": lambda r: r["config"].update(choices=["cnn"]),
    "dict as a choice": lambda r: r["config"].update(choices={"model": {"a": 1}, "data": 5}),
    "huge number": lambda r: r["config"].update(lr=10**300),
    "half a character": lambda r: r["config"].update(model="\ud800"),
    "number as commit": lambda r: r["host"].update(git_commit=7, git_dirty=True),
    "list as commit": lambda r: r["host"].update(git_commit=["a", "b"]),
    "text as dirty": lambda r: r["host"].update(git_dirty="yes"),
    "odd text": lambda r: r["health"].update(flags=["::error::x", "[/x]", "$x_$"]),
}


@pytest.mark.parametrize("change", ODD.values(), ids=ODD)
def test_odd_values_do_not_stop_the_command(
    change: Callable[[Record], object], base: Side, tmp_path: Path
) -> None:
    edit(write_runs(tmp_path, TIMES_S)[0], change)
    comparison = compared(base, tmp_path)
    assert comparison.problems == []
    assert {row.num_base for row in comparison.rows} == {3}
    write_baseline(tmp_path / "perf.json", read_side(tmp_path))
    assert len(read_baseline(tmp_path / "perf.json").runs) == 3


def test_configurations_of_mixed_types_are_told_apart(tmp_path: Path) -> None:
    for number, value in enumerate(["auto", 32, 0.5, None, [1], {"a": 1}, True, 10**30]):
        (folder,) = write_runs(tmp_path, [1.0], batch_size=number + 1)
        edit(folder, partial(with_batch_size, value))
    side = read_side(tmp_path)
    comparison = compare(side, side, JudgeConfig(min_runs=1))
    assert len({row.configuration for row in comparison.rows}) == 8


# What is no run


def test_a_folder_of_something_else_is_passed_over(base: Side, tmp_path: Path) -> None:
    write_runs(tmp_path, TIMES_S)
    (tmp_path / "other" / ".hydra").mkdir(parents=True)
    for folder in (tmp_path / "other", tmp_path / "other" / ".hydra"):
        (folder / "config.yaml").write_text("x: 1")
    assert compared(base, tmp_path).exit_code == 0
    (tmp_path / "other" / "run.json").write_text('{"scripts": {}}')
    side = read_side(tmp_path)
    assert (len(side.runs), side.problems) == (3, [])
    told = f"{tmp_path}/other: ignored, because its run.json is not the record of a run"
    assert side.remarks == [told]


def test_a_cut_record_is_reported_whatever_its_folder_is_called(tmp_path: Path) -> None:
    (folder,) = write_runs(tmp_path, [1.0])
    renamed = folder.rename(folder.with_name("mine"))
    assert len(read_side(tmp_path).runs) == 1
    (renamed / "run.json").write_bytes((renamed / "run.json").read_bytes()[:-9])
    (problem,) = read_side(tmp_path).problems
    assert (problem.kind, problem.exit_code) == ("unreadable", 5)


@pytest.mark.parametrize("config", ["", "seed: [1]\nrepeat: 0\n", "a: &a [*a]", "\x00", "seed: 1"])
def test_a_run_that_was_killed_before_it_began_is_passed_over(
    config: str, base: Side, tmp_path: Path
) -> None:
    write_runs(tmp_path, TIMES_S)
    folder = tmp_path / "train" / "20261128T013440Z-7c747d9703a4-1ae28caf"
    folder.mkdir()
    (folder / "config.yaml").write_text(config)
    comparison = compared(base, tmp_path)
    assert comparison.exit_code == 0
    told = f"candidate: {folder}: ignored, because its run was ended before it began"
    assert told in comparison.remarks
    (folder / "log.txt").touch()  # it had begun
    assert compared(base, tmp_path).exit_code == 5


def test_links_in_a_circle_are_reported_or_skipped(base: Side, tmp_path: Path) -> None:
    write_runs(tmp_path, TIMES_S)
    for name in ("loop", "20261128T013440Z-7c747d9703a4-1ae28caf"):
        link = tmp_path / "train" / name
        link.symlink_to(link)
    assert compared(base, tmp_path).exit_code == 0


def test_a_folder_that_cannot_be_read_is_reported_and_the_others_are_read(
    base: Side, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_runs(tmp_path, TIMES_S)
    (tmp_path / "serve").mkdir()
    scandir = os.scandir

    def refusing(path: str) -> Any:
        if path.endswith("/serve"):  # whoever runs the tests may be allowed everything
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(PermissionError):
        list(runs_below(str(tmp_path)))
    comparison = compared(base, tmp_path)
    assert comparison.exit_code == 5
    assert f"{tmp_path}/serve: cannot be read (Permission denied)" in verdict_line(comparison)
    assert {row.num_base for row in comparison.rows} == {3}


def test_a_path_that_is_too_long_or_goes_in_a_circle_is_a_wrong_path(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path / "loop", tmp_path / ("x" * 300)):
        with pytest.raises(ValueError, match="no such folder or file; give"):
            read_side(path)


# Runs of combinations that do not exist


def with_refused(results: Path, side: str) -> Side:
    """Runs of one configuration, and one of another that is refused, served or not there."""
    write_runs(results, TIMES_S)
    if side == "refused":
        write_run(results, refused(made_record(batch_size=64)))
    elif side == "ran":
        write_runs(results, TIMES_S, batch_size=64)
    return read_side(results)


def refused(record: RunRecord) -> RunRecord:
    because = RunError(kind="CompressionRefused", message="no int8 kernel for this layer")
    return replace(record, status="refused", error=because, target=None, serving=None)


@pytest.mark.parametrize(
    ("base_has", "candidate_has", "code", "told"),
    [
        ("refused", "refused", 0, "candidate refuses these, so they are not compared: train "),
        ("refused", "ran", 0, "base refuses these, so they are not compared: train "),
        ("nothing", "refused", 0, "candidate refuses these, so they are not compared: train "),
        ("ran", "refused", 5, ": refuses now: no int8 kernel for this layer"),
    ],
)
def test_what_is_refused_fails_only_where_it_was_served(
    base_has: str, candidate_has: str, code: int, told: str, tmp_path: Path
) -> None:
    sides = with_refused(tmp_path / "a", base_has), with_refused(tmp_path / "b", candidate_has)
    comparison = compare(*sides, EXACT)
    assert comparison.exit_code == code
    texts = [*comparison.remarks, *(problem.message for problem in comparison.problems)]
    assert any(told in text and "no int8 kernel" in text for text in texts)
    assert len(comparison.problems) == (1 if code else 0)
    assert {row.num_base for row in comparison.rows} == {3}


def test_a_configuration_that_both_sides_refuse_is_not_compared(tmp_path: Path) -> None:
    write_run(tmp_path, refused(made_record()))
    side = read_side(tmp_path)
    comparison = compare(side, side, JudgeConfig())
    assert comparison.exit_code == 3
    assert "nothing was judged" in verdict_line(comparison)


# Files that may hold anything

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | st.text(st.characters(), max_size=3),
    lambda each: (
        st.lists(each, max_size=2) | st.dictionaries(st.text(max_size=2), each, max_size=2)
    ),
    max_leaves=3,
)
FUZZ = settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def places(tree: Any) -> list[tuple[Any, Any]]:
    """Every place in a JSON tree: what it is in, and its key or number there."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    found = []
    for key, value in list(items):
        found.append((tree, key))
        if isinstance(value, (dict, list)):
            found += places(value)
    return found


def damaged(text: str, data: st.DataObject) -> bytes:
    """The file with a value that is another one, or missing, or with bytes cut or changed."""
    how = data.draw(st.sampled_from(["value", "missing", "cut", "byte"]))
    if how in ("value", "missing"):
        tree = json.loads(text)
        within, key = data.draw(st.sampled_from(places(tree)))
        if how == "missing":
            del within[key]
        else:
            within[key] = data.draw(JSON)
        return json.dumps(tree).encode()
    content = bytearray(text.encode())
    place = data.draw(st.integers(0, len(content) - 1))
    if how == "cut":
        return bytes(content[:place])
    content[place] = data.draw(st.integers(0, 255))
    return bytes(content)


SMALL = made_side(
    {
        "time_to_target_s": [*TIMES_S, 1.0, 1.02],
        "energy_to_target_j": [*TIMES_S, 1.0, 1.02],
        "samples_to_target": [64.0] * 5,
    },
    name="candidate",
    facts={"energy_components": {"gpu": 1, "cpu": 1}, "energy_components.gpu": 1},
)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a baseline and a noise file."""
    folder = tmp_path_factory.mktemp("stored")
    write_baseline(folder / "perf.json", SMALL)
    add_noise(folder / "noise.json", SMALL, replace(SMALL, name="base"))
    return folder


def refusal(path: Path, read: Callable[[], object]) -> str | None:
    """The message of a file that is refused; None for one that was read."""
    try:
        read()
    except ValueError as error:
        message = str(error)
        return message if str(path) in message and "\n" not in message else f"not so: {message}"
    return None


@FUZZ
@given(data=st.data())
def test_a_damaged_baseline_is_a_wrong_value_or_a_comparison(
    data: st.DataObject, stored: Path
) -> None:
    path = stored / "damaged.json"
    path.write_bytes(damaged((stored / "perf.json").read_text(), data))

    def read() -> None:
        comparison = compare(read_baseline(path), SMALL, JudgeConfig())
        drift(path, SMALL)
        assert verdict_line(comparison)
        assert legend(comparison)

    assert not (refusal(path, read) or "").startswith("not so")


@FUZZ
@given(data=st.data())
def test_a_damaged_noise_file_is_a_wrong_value_or_floors(data: st.DataObject, stored: Path) -> None:
    path = stored / "damaged noise.json"
    path.write_bytes(damaged((stored / "noise.json").read_text(), data))

    def read() -> None:
        read_noise(path)
        comparison = compare(SMALL, SMALL, JudgeConfig(noise=str(path)))
        assert comparison.exit_code in (0, 3)  # a floor may be so wide that no loss could be seen
        assert verdict_line(comparison)

    assert not (refusal(path, read) or "").startswith("not so")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 1e300])
def test_values_that_cannot_be_do_not_make_a_floor_or_a_baseline(
    value: float, stored: Path, tmp_path: Path
) -> None:
    """A floor that is no number would let every loss pass."""
    for name, reader in (("noise.json", read_noise), ("perf.json", read_baseline)):
        path = tmp_path / name
        path.write_text(re.sub(r"\b1\.01\b", json.dumps(value), (stored / name).read_text()))
        with pytest.raises(ValueError, match=rf"{name}: .*cannot be.*; "):
            reader(path)


def test_a_deeply_nested_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match=r"deep\.json: not a file of perf baseline, or cut"):
        read_baseline(tmp_path / "deep.json")
