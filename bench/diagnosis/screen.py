"""Prints a diagnosis on one screen of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table

from bench.cli.terminal import in_ascii, plain_text, say
from bench.core.labels import GUESSED
from bench.core.scales import BYTES, ENERGY, TIME, quantity
from bench.diagnosis.model import ComponentFinding, Diagnosis, Finding, State, StepNoise

_MARKS: dict[State, str] = {"good": "ok", "note": "note", "bad": "BAD", "unknown": "?"}
_STYLES: dict[State, str] = {"good": "green", "note": "", "bad": "bold red", "unknown": "dim"}
_IN_LINES: tuple[State, ...] = ("bad", "note")
_SHORT = 16  # characters
_WIDTH = 100  # a reader does not follow longer lines, and a pipe takes any


def print_diagnosis(found: Diagnosis, console: Console) -> None:
    """Print everything, the verdict last."""
    say(console, _host(found))
    _print("energy", _meters(found), console)
    _print("also recorded", _lines(found.sources), console)
    _print("disturbances", _lines(found.disturbances), console)
    _print("extras", _lines(found.extras), console)
    _print("data", _lines(found.data), console)
    say(console, "\nnoise", style="bold")
    for line in _noise(found.noise):
        say(console, f"  {line}")
    say(console, f"\n{_verdict(found)}", style="green" if found.comparable else "bold red")


def _host(found: Diagnosis) -> str:
    host = found.host
    memory = quantity(host["memory_bytes"], BYTES)
    place = [
        "virtual machine" if host["surroundings"]["virtual"] else "",
        "in a container" if host["surroundings"]["container"] else "",
    ]
    facts = [host["cpu_name"], f"{host['num_cpus']} CPUs", memory, host["os"], *filter(None, place)]
    return f"{host['name']}: {', '.join(map(str, facts))}"


# A line of a section: a mark with its style, a name and a text.
_Line = tuple[State, str, str]


def _lines(findings: Sequence[Finding]) -> Iterator[_Line]:
    """What is wrong or worth knowing, each in a line; what is as it should be, in one.

    Of neighbours with the same remedy, the last one shows it.
    """
    some = sorted((each for each in findings if each.state in _IN_LINES), key=_place)
    remedies = [*(each.remedy for each in some), ""]
    for each, next_remedy in zip(some, remedies[1:], strict=False):
        remedy = each.remedy if each.remedy != next_remedy else ""
        yield each.state, each.name, _with_remedy(each.text, remedy)
    if good := [_short(each) for each in findings if each.state == "good"]:
        yield "good", "", ", ".join(good)
    if unknown := [each.name for each in findings if each.state == "unknown"]:
        yield "unknown", "", f"the system does not say: {', '.join(unknown)}"


def _place(finding: Finding) -> int:
    return _IN_LINES.index(finding.state)


def _short(finding: Finding) -> str:
    """The name, with what was found if that is a word or two."""
    is_short = 0 < len(finding.text) <= _SHORT
    return f"{finding.name} ({finding.text})" if is_short else finding.name


def _with_remedy(text: str, remedy: str) -> str:
    return f"{text}\n-> {remedy}" if remedy else text


def _meters(found: Diagnosis) -> Iterator[_Line]:
    for meter in found.meters:
        for component in meter.components:
            state: State = "note" if component.label in GUESSED else "good"
            yield state, f"{meter.meter} {component.component}", _component(component)
        if meter.reasons:
            yield "note", meter.meter, _with_remedy("; ".join(meter.reasons), meter.remedy)


def _component(component: ComponentFinding) -> str:
    return (
        f"{component.label}, error at most {component.error_frac:.0%} and "
        f"{quantity(component.edge_error_j, ENERGY)}; changes every "
        f"{quantity(component.refresh_s, TIME)}, so for runs of "
        f"{quantity(component.shortest_s, TIME)} and more; {component.source}"
    )


def _print(title: str, lines: Iterator[_Line] | Sequence[_Line], console: Console) -> None:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=4)
    table.add_column(min_width=12, max_width=20)
    table.add_column(overflow="fold")
    for state, name, text in lines:
        texts = [in_ascii(each) if console.options.ascii_only else each for each in (name, text)]
        mark = plain_text(_MARKS[state])
        mark.stylize(_STYLES[state])
        table.add_row(mark, *map(plain_text, texts))
    say(console, f"\n{title}", style="bold")
    console.print(table, width=min(console.width, _WIDTH))


def _noise(noise: StepNoise) -> Iterator[str]:
    yield (
        f"a training step of {quantity(noise.step_s, TIME)}, timed {noise.num_repeats} times over "
        f"{noise.num_steps} steps: varies by {noise.variation_frac:.1%}"
    )
    found = [
        f"{'none' if frac is None else f'{frac:.0%}'} with {num}"
        for num, frac in noise.slowdown_frac.items()
    ]
    yield f"smallest slowdown that the gate would find, by runs on each side: {', '.join(found)}"
    yield "at best: whole runs differ more than steps of one process (bench.noise measures them)"


def _verdict(found: Diagnosis) -> str:
    if found.comparable:
        return "A run of this moment would be comparable."
    flags = ", ".join(found.flags)
    return f"A run of this moment would not be comparable: {flags} (docs/metrics.md, health flags)."
