"""Joules of counters whose truth is known: `python -m benchmarks.energy_accuracy [--out FILE]`.

Runs our meters, CodeCarbon's and Zeus's through the cases of the conformance kit
(tests/conformance), and prints the largest error of each in ten windows. `--tool MODULE:CLASS` adds
an adapter of another tool. With --docs, the table in docs/conformance.md is rewritten.

Nothing here is timed, and any machine gives the same numbers. The exit code is 1 if ours does not
conform to a case, is off by more than 0.1% where nothing but arithmetic stands between the hardware
and the truth, or is off by more than the best of the others (and 0.1%).
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.core.errors import install_hint
from tests.conformance.adapters import TOOLS, find_tool
from tests.conformance.case import Case
from tests.conformance.cases import CASES
from tests.conformance.judge import Outcome, outcome
from tests.conformance.known_failures import KNOWN_FAILURES

EXACT_FRAC = 0.001
DOCS = Path(__file__).parents[1] / "docs" / "conformance.md"
_LIBRARIES = ("codecarbon", "zeus", "nvidia-ml-py")
_MARKED = re.compile(r"(<!-- conformance -->\n).*?(<!-- end of conformance -->)", re.S)

# Outcomes of all cases in order, by tool.
Outcomes = Mapping[str, Sequence[Outcome]]


def complaints(case: Case, own: Outcome, others: Sequence[Outcome]) -> list[str]:
    """List what is wrong with our outcome of a case."""
    texts = [] if own.conforms else [own.complaint]
    if own.error_frac is None:
        return texts
    off_frac = abs(own.error_frac)
    if case.exact and off_frac > EXACT_FRAC:
        texts.append(f"off by {off_frac:.3%} where nothing but arithmetic can be wrong")
    other_fracs = [abs(one.error_frac) for one in others if one.error_frac is not None]
    if other_fracs and off_frac > min(other_fracs) + EXACT_FRAC:
        texts.append("worse than the best of the others")
    return texts


def failures(outcomes: Outcomes) -> list[str]:
    """List what is wrong with ours in any case."""
    others = [found for name, found in outcomes.items() if name != "ours"]
    return [
        f"{case.name}: ours is {text}"
        for case, own, *rest in zip(CASES, outcomes["ours"], *others, strict=True)
        for text in complaints(case, own, rest)
    ]


def rows(outcomes: Outcomes) -> list[list[str]]:
    """The table as text, its heading first."""
    others = [name for name in outcomes if name != "ours"]
    table = [["case", "true J", "ours", "our bound", *others]]
    for i, case in enumerate(CASES):
        own = outcomes["ours"][i]
        bound = "-" if own.bound_frac is None else f"{own.bound_frac:.0%}"
        cells = [_cell(outcomes[name][i]) for name in others]
        mark = "" if case.knowable else " *"
        table.append([f"{case.name}{mark}", f"{own.true_j:,.0f}", _cell(own), bound, *cells])
    return table


def _cell(one: Outcome) -> str:
    """The error, or what a tool did instead of stating joules; ✗ if it does not conform."""
    text: str = one.answer
    if one.error_frac is not None:
        shown_frac = round(one.error_frac, 4) + 0.0  # which turns -0.0 into 0.0
        text = f"{shown_frac:+,.2%}" if shown_frac else "0.00%"
    return f"{text} ✗" if one.conforms is False else text


def rendered(page: str, outcomes: Outcomes) -> str:
    """Return the page with the table of these outcomes, and the reasons for failures."""
    reasons = [
        [tool, case, reason]
        for tool, known in KNOWN_FAILURES.items()
        for case, reason in known.items()
    ]
    versions = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    made = "\n".join(
        [
            *_markdown(rows(outcomes)),
            "",
            f"Versions: {versions}. Why there is a ✗:",
            "",
            *_markdown([["tool", "case", "reason"], *reasons]),
        ]
    )
    return _MARKED.sub(lambda match: f"{match[1]}\n{made}\n\n{match[2]}", page)


def _markdown(table: Sequence[Sequence[str]]) -> list[str]:
    heading, *body = table
    return [f"| {' | '.join(row)} |" for row in (heading, ["---"] * len(heading), *body)]


def _terminal_table(outcomes: Outcomes) -> Table:
    heading, *body = rows(outcomes)
    shown = Table(*heading, caption="✗: does not conform. *: the hardware does not show it to 1%.")
    for row in body:
        shown.add_row(*row)
    return shown


def main() -> int:
    """Measure, print and write the results; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, help="a JSON file for the results")
    parser.add_argument("--docs", action="store_true", help="rewrite the table in the docs")
    parser.add_argument("--tool", metavar="MODULE:CLASS", help="a further tool to run")
    chosen = parser.parse_args()
    if chosen.docs and find_spec("zeus") is None:
        parser.error(f"--docs: Zeus is not installed; {install_hint('zeus')}")
    if chosen.docs and chosen.tool:
        parser.error("--docs: the table in the docs has no further tool; leave out --tool")
    tools = dict(TOOLS)
    if chosen.tool:
        try:
            tools[chosen.tool.rpartition(":")[2]] = find_tool(chosen.tool)
        except ValueError as error:
            parser.error(f"--tool {error}")
    outcomes = {name: [outcome(make, case) for case in CASES] for name, make in tools.items()}
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(_terminal_table(outcomes))
    for name, found in outcomes.items():
        for reason in dict.fromkeys(one.reason for one in found if one.answer == "not run"):
            console.print(f"not run, {name}: {reason}", markup=False)
    if chosen.out:
        named = {name: [asdict(one) for one in found] for name, found in outcomes.items()}
        chosen.out.write_text(json.dumps(named, indent=2) + "\n")
    if chosen.docs:
        DOCS.write_text(rendered(DOCS.read_text(), outcomes))
    failed = failures(outcomes)
    for line in failed:
        console.print(line, markup=False)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
