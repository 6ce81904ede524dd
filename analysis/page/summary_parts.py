"""The parts of the page's summary, and the first one: what was read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pandas import DataFrame

from analysis.figures.prepare import are_comparable
from analysis.load.values import column
from analysis.stats.outcomes import counted_runs, outcomes, refused, with_target


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A row of the summary: the best configuration in one respect.

    Attributes:
        objective: What it is cheapest in, with how joules were obtained.
        best: The configuration; empty if none can be named.
        value: Its median with its bounds, in a unit.
        hits: How many of its runs reached the target.
        second: The next one, with its median.
        verdict: Whether it is better than all others, by which test, or why that is not known.
        gives_up: What it loses in other respects.
    """

    objective: str
    best: str = ""
    value: str = ""
    hits: str = ""
    second: str = ""
    verdict: str
    gives_up: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A heading with sentences, and findings as a table."""

    heading: str
    sentences: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


def read_words(runs: DataFrame, unread: DataFrame, num_not_started: int = 0) -> Part:
    """Write the first part of the summary at the top of the page: what was read.

    Args:
        runs: As loaded.
        unread: Folders that could not be read.
        num_not_started: Runs that were interrupted before they began.
    """
    read = (*_read(runs, unread), *_uncounted(runs, num_not_started), *_health_words(runs))
    return Part(heading="What was read", sentences=(*read, *_label_words(runs)))


def _read(runs: DataFrame, unread: DataFrame) -> Iterator[str]:
    is_training = runs["target.metric"].notna()
    configurations = runs.loc[is_training, "configuration"].nunique()
    found = (
        f"{count(int(is_training.sum()), 'training')} of "
        f"{count(configurations, 'configuration')} and "
        f"{count(int((~is_training).sum()), 'other run')}"
    )
    if not is_training.any():
        found = count(len(runs), "run")
    yield f"{found} were read; {count(len(unread), 'folder')} could not be read."
    counted = counted_runs(runs)
    trained = with_target(counted)
    if len(trained):
        ended = outcomes(trained)
        missed = len(trained) - ended.num_hits - int(ended.failed.sum())
        yield (
            f"Of the trainings, {ended.num_hits} reached their target, {missed} missed it, "
            f"{ended.failed.sum()} failed. Every number below includes misses and failures as the "
            "worst values."
        )
    others = counted[counted["target.metric"].isna()]
    if len(others):
        failed = int(others["status"].ne("ok").sum())
        which = "other runs" if len(trained) else "runs"
        yield f"Of the {which}, {len(others) - failed} succeeded, {failed} failed."
    num_refused = int(refused(runs).sum())
    if num_refused:
        yield (
            f"{num_refused} refused: that combination of settings does not exist, so nothing was"
            " measured. They count nowhere; the reasons are listed under Provenance and health."
        )


def _uncounted(runs: DataFrame, num_not_started: int) -> Iterator[str]:
    # Refused runs are described above.
    num = len(runs) - len(counted_runs(runs)) - int(refused(runs).sum())
    if num:
        yield (
            "One run counts per configuration, seed and repeat. Interrupted or measured again"
            f" later, and only in the cost of the search: {count(num, 'run')}."
        )
    if num_not_started:
        words = count(num_not_started, "run")
        yield f"Interrupted before the start, and counted nowhere: {words}."


def _health_words(runs: DataFrame) -> Iterator[str]:
    incomparable = runs[~are_comparable(runs)]
    if incomparable.empty:
        yield "No run is marked as not comparable."
        return
    texts = incomparable["health.flags"].dropna()
    flags = sorted({flag for text in texts for flag in text.split(",")})
    words = count(len(incomparable), "run")
    yield f"{words} not comparable ({', '.join(flags)}); figures, tables and charts mark them."


def _label_words(runs: DataFrame) -> Iterator[str]:
    labels = column(runs, "energy_label").dropna().value_counts()
    if labels.empty:
        yield "No run has measured or modelled joules, so there are no findings on energy."
        return
    words = ", ".join(f"{label} ({count})" for label, count in labels.items())
    yield f"Joules by label: {words}."
    if len(labels) > 1:
        yield "Joules of different labels are not compared with one another."
    if "modelled" in labels:
        yield (
            "Modelled joules are an estimate, CPU time times watts from a table. They cannot rank "
            "configurations by energy, nor by money that includes it."
        )


def count(num: int, word: str) -> str:
    """Write a number of things: `1 run`, `2 runs`."""
    return f"{num} {word}" if num == 1 else f"{num} {word}s"
