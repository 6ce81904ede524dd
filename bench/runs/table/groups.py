"""The runs of a command by configuration: names, runs that count, flags.

The repeats of a configuration are the runs with its config_hash, over seeds and repeats (and, in
serving, over the models of several seeds).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from bench.cli.overrides import key_of
from bench.core.counting import Ended, counted
from bench.core.identity import CHARGES, UNHASHED, charges_of
from bench.core.printable import printable
from bench.core.records.run import RunRecord, Status
from bench.runs.table.columns import Column, prose, prose_width

Finished = tuple[Sequence[str], RunRecord]

_RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]+-([0-9a-f]+)")
_PATHS = ("/", "~", "./", "../", "$")
_SHORT_HASH = 6  # characters of a configuration's hash that tell two of a sweep apart
_UNCLEAR = ("value", "name")  # of what, does not follow from the last part of a key
# The outcome of a pass that was served and does not count.
INVALID = "INVALID"
_UNCOUNTED = ("interrupted", "refused")
# Overrides that are no part of a configuration's name.
_IGNORED = ("run", *(key for key in UNHASHED if key not in CHARGES))
_LONG_OUTCOMES = 100  # characters, the console from which on an outcome stays on one line


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The runs of one configuration.

    Attributes:
        items: Overrides that tell it from the others; none where it is the only one.
        runs: All of them, in the order in which they ran.
        counted: Those that its statistics rest on: of each seed and repeat the one that counts,
            without what was interrupted or refused.
    """

    items: Sequence[str]
    runs: Sequence[RunRecord]
    counted: Sequence[RunRecord]

    @property
    def measured(self) -> Sequence[RunRecord]:
        """The runs that count; where none does, those that were interrupted."""
        return self.counted or [run for run in self.runs if run.status == "interrupted"]


def grouped(
    runs: Sequence[Finished], extra_name: Callable[[RunRecord], str] | None = None
) -> list[Group]:
    """The runs by configuration, in the order in which the first of each ran.

    Args:
        runs: Records, each with the overrides it was started with.
        extra_name: One more part of a name, which comes first, in the form of an override.
    """
    alike: dict[tuple[str, str], list[Finished]] = {}
    for run in runs:
        # A command that sweeps prices asks for the money at each of them.
        key = run[1].config_hash, charges_of(run[1].config)
        alike.setdefault(key, []).append(run)
    named = []
    for members in alike.values():
        overrides, record = members[0]
        extra = extra_name(record) if extra_name else ""
        named.append([extra] * bool(extra) + _configuring(overrides))
    groups = []
    hashes = [digest for digest, _ in alike]
    for items, members in zip(_distinguishing(named, hashes), alike.values(), strict=True):
        records = [record for _, record in members]
        groups.append(Group(items=items, runs=records, counted=_counted(records)))
    return groups


def _configuring(overrides: Iterable[str]) -> list[str]:
    """The overrides that are part of a configuration: not the seed, nor where results lie."""
    return [_short(printable(item)) for item in overrides if not _is_ignored(item)]


def _shared_overrides(runs: Sequence[Finished]) -> list[str]:
    """The overrides that all runs have in common, seeds and places aside."""
    parts = [_configuring(overrides) for overrides, _ in runs]
    return [item for item in parts[0] if all(item in each for each in parts)] if parts else []


def _is_ignored(override: str) -> bool:
    key = key_of(override)
    return any(key == one or key.startswith(f"{one}.") for one in _IGNORED)


def _short(override: str) -> str:
    """An override with a run by the end of its id, and a path by its last part."""
    key, equals, value = override.partition("=")
    if value.startswith(_PATHS):
        value = value.rstrip("/").rpartition("/")[2] or value
    return key + equals + _RUN_ID.sub(r"\1", value)


def _distinguishing(items: Sequence[Sequence[str]], hashes: Sequence[str]) -> list[list[str]]:
    """What tells the configurations apart; with a piece of the hash where nothing else does."""
    if len(items) == 1:
        return [[]]
    shared = set.intersection(*map(set, items))
    parts = [[item for item in each if item not in shared] or ["defaults"] for each in items]
    alike = Counter(map(tuple, parts))
    return [
        each if alike[tuple(each)] == 1 else [*each, f"({digest[:_SHORT_HASH]})"]
        for each, digest in zip(parts, hashes, strict=True)
    ]


def naming(groups: Sequence[Group], console: Console) -> list[Column]:
    """What the configurations are called: `model.width=32 lr=0.1`, or shorter.

    Where all have the same keys, the shorter one has these in its heading, over their values. Else
    `width=32` stands for `model.width=32`.

    Args:
        groups: A row each.
        console: The values must not take more than half of its width.
    """
    full = _names_column("configuration", [" ".join(group.items) for group in groups])
    keys = {tuple(key_of(item) for item in group.items) for group in groups}
    leaves = _leaves({key for each in keys for key in each})
    if len(keys) == 1 and all("=" in item for group in groups for item in group.items):
        lines = [[leaves[key] for key in keys.pop()]]
        lines += [[item.partition("=")[2] for item in group.items] for group in groups]
        widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
        heading, *cells = ("  ".join(map(set_cell_size, line, widths)).rstrip() for line in lines)
        aligned = _names_column(heading, cells)
        if aligned.width <= console.width // 2:
            return [full, aligned]
    short = [
        " ".join(leaves[key_of(item)] + item[len(item.partition("=")[0]) :] for item in each.items)
        for each in groups
    ]
    return [full, _names_column("configuration", short)]


def _names_column(heading: str, names: Sequence[str]) -> Column:
    return Column(heading=heading, cells=names, rank=0, is_text=True)


def _leaves(keys: Iterable[str]) -> dict[str, str]:
    """The last part of each key, where that says which key it is; else all of it."""
    last = {key: key.rpartition(".")[2] for key in keys}
    num = Counter(last.values())
    return {key: key if num[leaf] > 1 or leaf in _UNCLEAR else leaf for key, leaf in last.items()}


def _counted(records: Sequence[RunRecord]) -> list[RunRecord]:
    places: dict[tuple[object, ...], list[RunRecord]] = {}
    for record in records:
        trained = record.trained.run_id if record.trained else None
        places.setdefault((record.seed, record.repeat, trained), []).append(record)
    chosen = []
    for runs in places.values():
        place = counted([_ended(run) for run in runs])
        if place is not None and runs[place].status != "refused":
            chosen.append(runs[place])
    return chosen


def _ended(record: RunRecord) -> Ended:
    kind = record.error.kind if record.error else None
    return Ended(record.status, kind, record.started_utc, record.run_id)


def outcome_column(
    groups: Sequence[Group],
    word: str,
    outcome: Callable[[RunRecord], str | None],
    console: Console,
) -> Column:
    """How the runs of each configuration ended: `reached`, or `2/3 reached, 1 failed` of several.

    Args:
        groups: A row each.
        word: The outcome that several runs are counted by.
        outcome: What a run came to; None where its status says it all.
        console: On a narrow one, each part is on a line of its own.
    """
    between = ", " if console.width >= _LONG_OUTCOMES else ",\n"
    cells = [between.join(_outcome_parts(group, word, outcome)) for group in groups]
    return Column(heading="outcome", cells=cells, rank=0, is_text=True)


def _outcome_parts(
    group: Group, word: str, outcome: Callable[[RunRecord], str | None]
) -> list[str]:
    if len(group.runs) == 1:
        (run,) = group.runs
        status = None if run.status == "ok" else _status_word(run.status)
        return list(filter(None, (outcome(run), status)))
    num_good = sum(outcome(run) == word for run in group.counted)
    parts = [f"{num_good}/{len(group.counted)} {word}"] * bool(group.counted)
    num_invalid = sum(outcome(run) == INVALID for run in group.counted)
    parts += [f"{num_invalid} {INVALID}"] * bool(num_invalid)
    statuses: Counter[Status] = Counter(run.status for run in group.counted if run.status != "ok")
    statuses.update(run.status for run in group.runs if run.status in _UNCOUNTED)
    return parts + [f"{num} {_status_word(status)}" for status, num in statuses.items()]


def _status_word(status: Status) -> str:
    return status.replace("_", " ")


def ending_line(record: RunRecord) -> str:
    """How a run that is not ok ended, such as `failed: MESSAGE`."""
    message = printable(record.error.message) if record.error else ""
    return ": ".join(filter(None, (_status_word(record.status), message)))


def incomparable_column(groups: Sequence[Group]) -> Column:
    """How many runs of each configuration are not comparable."""
    numbers = [
        sum(r.health is not None and not r.health.comparable for r in g.runs) for g in groups
    ]
    cells = [str(num) if num else "" for num in numbers]
    return Column(heading="not\ncomparable", cells=cells, rank=1)


def flag_notes(records: Sequence[RunRecord]) -> list[str]:
    """Every health flag once, with how many runs have it; those of incomparable runs first."""
    notes = []
    for comparable, title in ((False, "Not comparable"), (True, "Flagged, and comparable")):
        flags = Counter(
            printable(flag)
            for record in records
            if record.health is not None and record.health.comparable is comparable
            for flag in record.health.flags
        )
        if flags:
            named = ", ".join(f"{flag} ({_runs(num)})" for flag, num in flags.items())
            notes.append(f"{title}: {named}.")
    return notes


def headline_of(
    command: str, runs: Sequence[Finished], groups: Sequence[Group], console: Console, *facts: str
) -> Text:
    """The line above a table: what was run, and what all of it has in common.

    Args:
        command: Such as `train`.
        runs: All runs.
        groups: Their configurations.
        console: Overrides that all runs share are named as far as its line has room.
        facts: More that holds for all of them; empty ones are left out.
    """
    what = _runs(len(runs))
    if len(groups) > 1:
        what += f" of {len(groups)} configurations"
    line = "; ".join(filter(None, (f"{command}: {what}", *facts)))
    shared = _fitting(_shared_overrides(runs), prose_width(console) - len(line) - 2)
    return prose(f"{line}; {shared}" if shared else line, console)


def _fitting(items: Sequence[str], width: int) -> str:
    """As many of the items as have room, whole, and how many there are besides."""
    for num in range(len(items), 0, -1):
        more = f" and {len(items) - num} more" if num < len(items) else ""
        text = " ".join(items[:num]) + more
        if cell_len(text) <= width:
            return text
    return ""


def _runs(num: int) -> str:
    return f"{num} run{'s' * (num != 1)}"
