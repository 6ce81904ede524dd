"""The runs of a command by configuration: their names, the runs that count, and their flags.

Runs with the same config_hash are repeats of one configuration, over seeds and repeats (and, in
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
from bench.core.counting import Ended, choose_run
from bench.core.identity import CHARGES, UNHASHED, charges_of
from bench.core.printable import printable
from bench.core.records.run import RunRecord, Status
from bench.runs.table.columns import Column, prose, prose_width

Finished = tuple[Sequence[str], RunRecord]

_RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]+-([0-9a-f]+)")
_PATHS = ("/", "~", "./", "../", "$")
_SHORT_HASH = 6  # digits of a configuration's hash: enough to tell those of one sweep apart
_AMBIGUOUS = ("value", "name")  # last parts of a key that do not say what they are the value of
# The outcome of a pass that was served but does not count.
INVALID = "INVALID"
_UNCOUNTED = ("interrupted", "refused")
# Overrides that do not belong to the name of a configuration.
_IGNORED = ("run", *(key for key in UNHASHED if key not in CHARGES))
_WIDE_CONSOLE = 100  # characters; from here on the parts of an outcome share one line


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The runs of one configuration.

    Attributes:
        items: The overrides that tell it from the others; empty if it is the only one.
        runs: All of its runs, in the order in which they were started.
        counted: The runs that statistics use: for each seed and repeat the one that counts, without
            interrupted and refused runs.
    """

    items: Sequence[str]
    runs: Sequence[RunRecord]
    counted: Sequence[RunRecord]

    @property
    def measured(self) -> Sequence[RunRecord]:
        """The runs that count or, if there are none, the interrupted ones."""
        return self.counted or [run for run in self.runs if run.status == "interrupted"]


def group_runs(
    runs: Sequence[Finished], extra_name: Callable[[RunRecord], str] | None = None
) -> list[Group]:
    """Group runs by configuration, in the order of the first run of each.

    Args:
        runs: Records, each with the overrides it was started with.
        extra_name: Gives one more part of a name in the form of an override; it comes first.
    """
    repeats: dict[tuple[str, str], list[Finished]] = {}
    for run in runs:
        # The hash leaves prices out. A command that sweeps them still needs a row for each.
        key = run[1].config_hash, charges_of(run[1].config)
        repeats.setdefault(key, []).append(run)
    names = []
    for members in repeats.values():
        overrides, record = members[0]
        extra = extra_name(record) if extra_name else ""
        names.append([extra] * bool(extra) + _name_parts(overrides))
    groups = []
    hashes = [digest for digest, _ in repeats]
    for items, members in zip(_distinguish(names, hashes), repeats.values(), strict=True):
        records = [record for _, record in members]
        groups.append(Group(items=items, runs=records, counted=_counted(records)))
    return groups


def _name_parts(overrides: Iterable[str]) -> list[str]:
    """The overrides that belong to a configuration, without its seed or its results folder."""
    return [_shorten(printable(item)) for item in overrides if not _is_ignored(item)]


def _shared_overrides(runs: Sequence[Finished]) -> list[str]:
    parts = [_name_parts(overrides) for overrides, _ in runs]
    return [item for item in parts[0] if all(item in each for each in parts)] if parts else []


def _is_ignored(override: str) -> bool:
    key = key_of(override)
    return any(key == name or key.startswith(f"{name}.") for name in _IGNORED)


def _shorten(override: str) -> str:
    """Shorten run ids to their last part, and paths to their file name."""
    key, equals, value = override.partition("=")
    if value.startswith(_PATHS):
        value = value.rstrip("/").rpartition("/")[2] or value
    return key + equals + _RUN_ID.sub(r"\1", value)


def _distinguish(items: Sequence[Sequence[str]], hashes: Sequence[str]) -> list[list[str]]:
    """Keep what tells the configurations apart; add a part of the hash if nothing else does."""
    if len(items) == 1:
        return [[]]
    shared = set.intersection(*map(set, items))
    parts = [[item for item in each if item not in shared] or ["defaults"] for each in items]
    uses = Counter(map(tuple, parts))
    return [
        each if uses[tuple(each)] == 1 else [*each, f"({digest[:_SHORT_HASH]})"]
        for each, digest in zip(parts, hashes, strict=True)
    ]


def name_columns(groups: Sequence[Group], console: Console) -> list[Column]:
    """Make columns of the configurations' names: `model.width=32 lr=0.1`, then a shorter one.

    If all configurations have the same keys, the shorter column has the keys in its heading and the
    values below them. Else it writes `width=32` for `model.width=32`.

    Args:
        groups: One row for each.
        console: Keys in the heading may take up to half of its width.
    """
    full = _name_column("configuration", [" ".join(group.items) for group in groups])
    keys = {tuple(key_of(item) for item in group.items) for group in groups}
    leaves = _leaves({key for each in keys for key in each})
    if len(keys) == 1 and all("=" in item for group in groups for item in group.items):
        lines = [[leaves[key] for key in keys.pop()]]
        lines += [[item.partition("=")[2] for item in group.items] for group in groups]
        widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
        heading, *cells = ("  ".join(map(set_cell_size, line, widths)).rstrip() for line in lines)
        aligned = _name_column(heading, cells)
        if aligned.width <= console.width // 2:
            return [full, aligned]
    short = [
        " ".join(leaves[key_of(item)] + item[len(item.partition("=")[0]) :] for item in each.items)
        for each in groups
    ]
    return [full, _name_column("configuration", short)]


def _name_column(heading: str, names: Sequence[str]) -> Column:
    return Column(heading=heading, cells=names, rank=0, is_text=True)


def _leaves(keys: Iterable[str]) -> dict[str, str]:
    """Shorten each key to its last part, unless that is ambiguous."""
    last = {key: key.rpartition(".")[2] for key in keys}
    uses = Counter(last.values())
    return {
        key: key if uses[leaf] > 1 or leaf in _AMBIGUOUS else leaf for key, leaf in last.items()
    }


def _counted(records: Sequence[RunRecord]) -> list[RunRecord]:
    places: dict[tuple[object, ...], list[RunRecord]] = {}
    for record in records:
        # In serving, models of several training seeds are repeats, each with its own place.
        trained = record.trained.run_id if record.trained else None
        places.setdefault((record.seed, record.repeat, trained), []).append(record)
    chosen = []
    for runs in places.values():
        place = choose_run([_ended(run) for run in runs])
        # A refused combination does not exist, so it is no failure of the configuration.
        if place is not None and runs[place].status != "refused":
            chosen.append(runs[place])
    return chosen


def _ended(record: RunRecord) -> Ended:
    kind = record.error.kind if record.error else None
    cut_off = record.target is not None and record.target.cut_off_by is not None
    return Ended(record.status, kind, record.started_utc, record.run_id, cut_off)


def outcome_column(
    groups: Sequence[Group],
    success: str,
    outcome: Callable[[RunRecord], str | None],
    console: Console,
) -> Column:
    """Make the column of outcomes: `reached`, or `2/3 reached, 1 failed` for several runs.

    Args:
        groups: One row for each.
        success: The outcome that several runs are counted by.
        outcome: Gives the outcome of a run; None if its status says it all.
        console: On a narrow one, each part of an outcome has its own line.
    """
    between = ", " if console.width >= _WIDE_CONSOLE else ",\n"
    cells = [between.join(_outcome_parts(group, success, outcome)) for group in groups]
    return Column(heading="outcome", cells=cells, rank=0, is_text=True)


def _outcome_parts(
    group: Group, success: str, outcome: Callable[[RunRecord], str | None]
) -> list[str]:
    if len(group.runs) == 1:
        (run,) = group.runs
        status = None if run.status == "ok" else _status_words(run.status)
        return list(filter(None, (outcome(run), status)))
    outcomes = Counter(map(outcome, group.counted))
    parts = [f"{outcomes[success]}/{len(group.counted)} {success}"] * bool(group.counted)
    parts += [f"{outcomes[INVALID]} {INVALID}"] * bool(outcomes[INVALID])
    statuses: Counter[Status] = Counter(run.status for run in group.counted if run.status != "ok")
    statuses.update(run.status for run in group.runs if run.status in _UNCOUNTED)
    return parts + [f"{num} {_status_words(status)}" for status, num in statuses.items()]


def _status_words(status: Status) -> str:
    return status.replace("_", " ")


def ending_line(record: RunRecord) -> str:
    """How a run that is not ok ended, such as `failed: MESSAGE`."""
    message = printable(record.error.message) if record.error else ""
    return ": ".join(filter(None, (_status_words(record.status), message)))


def incomparable_column(groups: Sequence[Group]) -> Column:
    """Count the runs of each configuration that are not comparable."""
    numbers = [
        sum(r.health is not None and not r.health.comparable for r in g.runs) for g in groups
    ]
    cells = [str(num) if num else "" for num in numbers]
    return Column(heading="not\ncomparable", cells=cells, rank=1)


def flag_notes(records: Sequence[RunRecord]) -> list[str]:
    """Name each health flag once, with its number of runs; those of incomparable runs first."""
    notes = []
    for comparable, title in ((False, "Not comparable"), (True, "Flagged, and comparable")):
        flags = Counter(
            printable(flag)
            for record in records
            if record.health is not None and record.health.comparable is comparable
            for flag in record.health.flags
        )
        if flags:
            counts = ", ".join(f"{flag} ({_count_runs(num)})" for flag, num in flags.items())
            notes.append(f"{title}: {counts}.")
    return notes


def headline(
    command: str, runs: Sequence[Finished], groups: Sequence[Group], console: Console, fact: str
) -> Text:
    """Make the line above a table: what was run, and what all runs have in common.

    Args:
        command: Such as `train`.
        runs: All runs.
        groups: Their configurations.
        console: Overrides that all runs share are named as far as its line has room.
        fact: Something else that holds for all runs; may be empty.
    """
    what = _count_runs(len(runs))
    if len(groups) > 1:
        what += f" of {len(groups)} configurations"
    line = "; ".join(filter(None, (f"{command}: {what}", fact)))
    shared = _join_fitting(_shared_overrides(runs), prose_width(console) - len(line) - 2)
    return prose(f"{line}; {shared}" if shared else line, console)


def _join_fitting(items: Sequence[str], width: int) -> str:
    """Join as many whole items as fit into the width, and count the others."""
    for num in range(len(items), 0, -1):
        more = f" and {len(items) - num} more" if num < len(items) else ""
        text = " ".join(items[:num]) + more
        if cell_len(text) <= width:
            return text
    return ""


def _count_runs(num: int) -> str:
    return f"{num} run{'s' * (num != 1)}"
