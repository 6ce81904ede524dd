"""Results folders with hostile runs among intact ones, and every way in which they are read.

A mutation changes one leaf of a record, adds or drops a key, or damages a file. Whatever it is,
readers may refuse a run with a StoreError; nothing else may come out of them.
"""

from __future__ import annotations

import copy
import json
import random
import shutil
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from analysis.figures.caption import whole_caption
from analysis.figures.entries import FIGURES
from analysis.figures.prepare import NothingToDraw
from analysis.figures.registry import Frames, draw_figure, figure_data
from analysis.figures.save import save_all
from analysis.load.runs import UnreadFile, load_runs
from analysis.page.build import Listed, page_html
from analysis.stats.search_cost import search_cost
from analysis.stats.summary import summarise
from analysis.tables.mllog import export_runs
from analysis.tables.tables import summary_tables, write_tables
from bench.config.gate import JudgeConfig
from bench.core.files import StoreError
from bench.core.find import runs_below
from bench.core.store import read_curve, read_record
from bench.gate.matching.compare import compare
from bench.gate.sides.read import read_side
from bench.runs.find import find_runs, trained_record
from tests.analysis.made import Made, Served, make_run, make_served, make_sweep

NAMES = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "$x_$ and $\\frac{1}$",
    "a|b`c`*d*_e_[f](g)",
    "=cmd|' /C calc'!A0",
    "line\nbreak\r\n# Heading",
    "\x00\x1b[31mred\x1b]0;title\x07",
    "\u202eright to left\u2066",
    "\ud800 half a character",
    "\u65e5\u672c\u8a9e \u0645\u0631\u062d\u0628\u0627 \U0001f600",
    "[bold]b [/x]",
    "100% \\ {a} ~^#&",
    "x" * 5000,
    "many words " * 500,
    "",
    " ",
    "nan",
    "1e5",
    "@octocat #1 https://a.b",
)
NUMBERS: tuple[Any, ...] = (
    0,
    0.0,
    -0.0,
    1,
    -1,
    1e307,
    -1e307,
    1.7e308,
    1e200,
    1e-320,
    5e-324,
    float("inf"),
    float("-inf"),
    float("nan"),
    2**31,
    2**53 + 1,
    2**63,
    -(2**63) - 1,
    2**64,
    10**400,
    0.1,
    1e16,
)
OTHERS: tuple[Any, ...] = (
    None,
    True,
    False,
    [],
    {},
    [1, 2],
    ["a", None],
    [{}],
    [{"a": 1}, {"b": [2]}],
    {"a": {"b": {"c": 1}}},
    {"": 1, "a.b": 2, "$x$": 3},
    "auto",
    "cosine from 0.1",
    "2026-01-05",
)


@dataclass(frozen=True)
class Mutation:
    """What is done to a run folder, in words that a failing test shows."""

    words: str
    apply: Callable[[Path], None]


def make_base(results: Path) -> None:
    """Eight trainings of two configurations and two servings, all whole."""
    trained = make_sweep(results, batch_sizes=(32, 256), seeds=range(3), missed=(4,), failed=(5,))
    make_run(results, Made(seed=7, outcome="interrupted", batch_size=32))
    make_served(results, trained[0], Served())
    make_served(results, trained[1], Served(scenario="server", backend="http", place="edge"))


def leaves(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of everything in a record, nodes and leaves."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, (dict, list)):
            yield from leaves(value, (*path, key))


def changed(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value at a path; DROPPED leaves the key out."""
    found = copy.deepcopy(tree)
    node = found
    for key in path[:-1]:
        node = node[key]
    if value is DROPPED:
        node.pop(path[-1], None)
    else:
        node[path[-1]] = value
    return found


DROPPED = object()


def set_leaf(path: tuple[Any, ...], value: Any) -> Mutation:
    """Another value of one key of run.json."""
    dropped = value is DROPPED
    words = f"{'.'.join(map(str, path))} = {'dropped' if dropped else repr(value)[:80]}"

    def apply(folder: Path) -> None:
        file = folder / "run.json"
        if file.exists():
            record = json.loads(file.read_text())
            if _has(record, path):
                file.write_text(json.dumps(changed(record, path, value)))

    return Mutation(words, apply)


def _has(tree: Any, path: tuple[Any, ...]) -> bool:
    for key in path[:-1]:
        try:
            tree = tree[key]
        except (KeyError, IndexError, TypeError):
            return False
    return isinstance(tree, dict) or (isinstance(tree, list) and path[-1] in range(len(tree)))


FILES = ("run.json", "config.yaml", "curve.jsonl", "telemetry.parquet", "requests.parquet")
CONTENTS: tuple[bytes, ...] = (
    b"",
    b"\x00" * 100,
    b"\xff\xfe bytes that are not UTF-8",
    b"[1]\n",
    b'"x"\n',
    b"null\n",
    b"{}\n",
    b"[" * 3000,
    b"a: &a [*a]\nseed: 0\nrepeat: 0\n",
    b"? 2026-01-05\n: 1\nseed: 0\nrepeat: 0\n1: 2\nnull: 3\nwhen: 2026-01-05\n",
    b"seed: [1]\nrepeat: 0\n",
    b"!!python/object/apply:os.system [x]\n",
    b'{"time_s": "soon"}\n',
    b"PAR1 but not really",
)


def damage(name: str, content: bytes | float) -> Mutation:
    """Another content of a file, or that share of it alone."""

    def apply(folder: Path) -> None:
        file = folder / name
        if isinstance(content, bytes):
            file.write_bytes(content)
        elif file.exists():
            whole = file.read_bytes()
            file.write_bytes(whole[: int(content * len(whole))])

    return Mutation(f"{name}: {content!r:.60}", apply)


def _linked(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.symlink_to(folder.name)


def _without_record(folder: Path) -> None:
    (folder / "run.json").unlink(missing_ok=True)


def _renamed(folder: Path) -> None:
    folder.rename(folder.with_name("mine"))


def _copied(folder: Path) -> None:
    shutil.copytree(folder, folder.with_name("20270101T000000Z-0123456789ab-00000001"))


def _foreign(folder: Path) -> None:
    other = folder.with_name(".hydra")
    other.mkdir(exist_ok=True)
    (other / "config.yaml").write_text("a: 1\n")
    beside = folder.with_name("site")
    beside.mkdir(exist_ok=True)
    (beside / "config.yaml").write_text("theme: dark\n")


def _file_in_place(name: str, folder: Path) -> None:
    (folder / name).unlink(missing_ok=True)
    (folder / name).mkdir()


WHOLE = (
    Mutation("a link to itself", _linked),
    Mutation("no run.json", _without_record),
    Mutation("renamed", _renamed),
    Mutation("copied", _copied),
    Mutation("a foreign folder beside it", _foreign),
    *(Mutation(f"{name} is a folder", partial(_file_in_place, name)) for name in FILES),
)


def random_mutation(rng: random.Random, record: Any) -> Mutation:
    """Any mutation; record says which keys there are."""
    kind = rng.random()
    if kind < 0.08:
        return rng.choice(WHOLE)
    if kind < 0.2:
        content: bytes | float = rng.random() if rng.random() < 0.5 else rng.choice(CONTENTS)
        return damage(rng.choice(FILES), content)
    paths = list(leaves(record))
    path = rng.choice(paths)
    if kind < 0.3:
        value: Any = DROPPED
    else:
        value = rng.choice(rng.choice((NAMES, NUMBERS, OTHERS)))
    if kind > 0.9:  # a further key
        node = rng.choice([("config",), ("host",), ("config", "data"), ("config", "model")])
        path = (*node, rng.choice(NAMES))
    return set_leaf(path, value)


def run_folders_of(results: Path) -> list[Path]:
    """The run folders that were made."""
    return sorted(path for path in results.glob("*/*") if path.is_dir())


def read_all(results: Path) -> None:
    """What the readers of records do with each folder; they may refuse it."""
    for folder in run_folders_of(results):
        for read in (read_record, read_curve, partial(trained_record, allow_missed=True)):
            try:
                read(folder)
            except StoreError:
                continue
            except ValueError as refusal:  # documented: not a training, no target reached
                if read in (read_record, read_curve):
                    raise AssertionError(f"{read}: {refusal!r}") from refusal
    with suppress(ValueError):
        find_runs(results, "*")


def judge(results: Path) -> None:
    """What the gate does with all of them."""
    with suppress(ValueError):
        compare(read_side(results), read_side(results), JudgeConfig())


def analyse(
    results: Path,
    out: Path,
    *,
    figures: Collection[str] = tuple(FIGURES),
    drawn: Collection[str] = (),
    has_page: bool = True,
) -> None:
    """What analysis.report and analysis.export do, below the boundary that would list a defect.

    Args:
        results: The results folder.
        out: Where files are written.
        figures: Those whose data is prepared.
        drawn: Those of them that are drawn.
        has_page: Whether the page is made.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", UnreadFile)
        warnings.filterwarnings("ignore", message=".*missing from font")
        if not any(runs_below(str(results))):
            return
        loaded = load_runs([results])
        with suppress(ValueError):
            export_runs([results], out / "export")
        if loaded.runs.empty:
            return
        frames = Frames(loaded.runs)
        summary = summarise(loaded.runs)
        costs = search_cost(loaded.runs)
        found = summary_tables(summary, costs, loaded.runs)
        write_tables(found, summary, costs, out / "tables")
        for name in figures:
            try:
                data = figure_data(name, frames)
                if name in drawn:
                    figure = draw_figure(name, data, "one")
                    caption = whole_caption(name, figure, frames.runs, "")
                    save_all({"one": figure}, data, caption, out / "figures" / name, ["svg"])
            except NothingToDraw:
                pass
            except Exception as error:
                error.add_note(f"figure {name}")
                raise
        if not has_page:
            return
        listed = Listed(
            title="made",
            unread=loaded.unread,
            not_drawn=[],
            summary=summary,
            tables=list(found.values()),
            num_not_started=loaded.num_not_started,
        )
        page_html(loaded.runs, listed)
