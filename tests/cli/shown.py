"""The tables of a command as a console of a given width and encoding shows them."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

from rich.console import Console, RenderableType

from bench.cli.terminal import say
from bench.core.records.run import RunRecord

Tables = Callable[
    [Sequence[tuple[Sequence[str], RunRecord]], Console],
    Sequence[RenderableType],
]


def shown(
    tables: Tables,
    runs: Sequence[tuple[Sequence[str], RunRecord]],
    width: int = 1000,
    encoding: str = "utf-8",
) -> str:
    """All that is printed."""
    stream = io.BytesIO()
    file = io.TextIOWrapper(stream, encoding=encoding)
    console = Console(width=width, file=file)
    for each in tables(runs, console):
        console.print(each, highlight=False)
    file.flush()
    return stream.getvalue().decode(encoding)


def said_in_ascii(text: str) -> str:
    """A line as a console prints it that takes ASCII only."""
    stream = io.BytesIO()
    file = io.TextIOWrapper(stream, encoding="ascii")
    say(Console(file=file), text)
    file.flush()
    return stream.getvalue().decode("ascii").removesuffix("\n")


def rows_under_rule(text: str) -> list[str]:
    """The lines of the first table below its rule, and whatever follows it."""
    lines = text.splitlines()
    rule = next(n for n, line in enumerate(lines) if set(line.strip()) in ({"─"}, {"-"}))
    return lines[rule + 1 :]


def assert_fits(text: str, width: int, words: Sequence[str]) -> None:
    """No line is longer than the console is wide, and these words are whole."""
    assert max(len(line) for line in text.splitlines()) <= width
    for word in words:
        assert word in text
