"""Reports on a race: winner and runner-up, and the bill of the search beside that of the grid."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

from bench.cli.adaptive import Ending, Step
from bench.cli.overrides import key_of, of_swept_keys
from bench.core.metrics import METRICS
from bench.core.scales import ENERGY, MONEY, TIME, Scale, quantity, unit_of
from bench.runs.table.columns import Column, fit_table, legend, prose
from bench.runs.table.history import write_search
from bench.runs.table.place import Place, bounds_note, bounds_text, place_as_json, place_of
from bench.search.candidate import Candidate
from bench.search.grid_price import GridPrice, grid_price
from bench.search.race import Race

_SCALES: dict[str, Scale] = {"s": TIME, "J": ENERGY, "USD": MONEY}


class RaceReport:
    """Reports on a race at any moment, finished or not; a SearchReport."""

    def __init__(
        self,
        *,
        race: Race,
        cost: str,
        names: Sequence[Sequence[str]],
        swept: Sequence[str],
        history: Sequence[Step],
    ) -> None:
        """Read nothing yet.

        Args:
            race: The race.
            cost: The quantity by which it chooses.
            names: The overrides of each configuration of its grid.
            swept: The keys that differ between them.
            history: Its trials, as they end.
        """
        self._race = race
        self._cost = METRICS[cost]
        # With resume=true the same command would make nothing again.
        self._overrides = [[text for text in each if key_of(text) != "resume"] for each in names]
        self._swept = [key for key in swept if key not in ("seed", "repeat")]
        self._history = history

    def write(self, folder: Path) -> Path:
        """Write search.json, the result, and search.csv, a row for each trial.

        Raises:
            OSError: They cannot be written.
        """
        names = [self._name(overrides) for overrides in self._overrides]
        return write_search(folder, self.summary(), self._history, names)

    def summary(self) -> dict[str, Any]:
        """The result as JSON has it; costs are in `unit`."""
        race, grid = self._race, self._grid()
        evidence, second = race.evidence(), race.second()
        return {
            "cost": self._cost.path,
            "unit": self._cost.unit,
            "num_configurations": len(self._overrides),
            "num_tried": len(race.candidates),
            "num_runs": len(self._history),
            "num_found": sum(step.found for step in self._history),
            "num_stopped": self._num("stopped"),
            "num_failed": self._num("failed"),
            "num_interrupted": self._num("interrupted"),
            "is_over": race.is_over,
            "winner": place_as_json(self._place(race.leader())),
            "runner_up": place_as_json(self._place(self._runner_up())),
            "compared_with": None if second is None else list(self._overrides[second.place]),
            "is_separated": evidence is not None and evidence.is_enough,
            "p": None if evidence is None else evidence.p,
            "level": None if evidence is None else evidence.level,
            "spent": self._spent(),
            "spent_before": self._spent(found=True),
            "num_unknown": self._num_unknown(),
            "grid": {
                "price": grid.value,
                "at_least": grid.least,
                "num_seeds": self._num_seeds(),
                "is_estimate": self._is_estimated(),
                "num_measured": grid.num_complete,
                "num_stopped": grid.num_stopped,
                "num_not_run": self._num_not_run(),
            },
        }

    def tables(self, console: Console) -> Sequence[RenderableType]:
        """The headline, the table of winner and runner-up, and what they mean."""
        race = self._race
        places = [self._place(race.leader()), self._place(self._runner_up())]
        kept = [place for place in places if place is not None]
        lines = [prose(self._headline(), console)]
        if race.leader() is None:
            return [*lines, prose(f"{self._why_no_winner()} {self._bill()}", console)]
        titles = ["winner", "runner-up"] if race.is_over else ["best so far", "next"]
        scale = _SCALES[self._cost.unit]
        unit = unit_of(kept[0].ert.value or 0.0, scale)
        columns = [
            Column(heading="", cells=titles[: len(kept)], rank=0, is_text=True),
            Column(
                heading=f"{self._cost.short}, ERT\n{unit.name}",
                cells=[quantity(place.ert.value, scale, unit) for place in kept],
                rank=1,
                note=(
                    "ERT: expected cost with restarts, which is the cost of all runs, misses"
                    " included, divided by the number that reached the target."
                ),
            ),
            Column(
                heading=f"range\n{unit.name}",
                cells=[bounds_text(place.ert, scale, unit) for place in kept],
                rank=1,
                note=bounds_note(kept),
            ),
            Column(
                heading="reached",
                cells=[f"{place.num_hits} of {place.ert.num}" for place in kept],
                rank=1,
            ),
            Column(heading="stopped", cells=[str(place.num_stopped) for place in kept], rank=2),
        ]
        names = Column(
            heading="configuration", cells=[place.name for place in kept], rank=0, is_text=True
        )
        table = fit_table([names], columns, console)
        again = f"again: python -m bench.train {shlex.join(kept[0].overrides)}"
        paragraphs = (self._verdict(kept), self._bill())
        return [*lines, table.table, *legend([table], console, *paragraphs), Text(again)]

    def _runner_up(self) -> Candidate | None:
        """The configuration with the lowest cost after the leader's."""
        race = self._race
        hits = [
            each for each in race.candidates.values() if each.num_hits and each is not race.leader()
        ]
        return min(hits, key=lambda each: (each.ert, each.place), default=race.second())

    def _headline(self) -> str:
        history = self._history
        facts = {
            "stopped": self._num("stopped"),
            "failed": self._num("failed"),
            "interrupted": self._num("interrupted"),
            "found by resume=": sum(step.found for step in history),
        }
        parts = [f"{num} {name}" for name, num in facts.items() if num]
        runs = f"{len(history)} run{'s' * (len(history) != 1)}"
        if parts:
            runs += f" ({', '.join(parts)})"
        tried = f"{len(self._race.candidates)} of {len(self._overrides)} configurations tried"
        return f"race by {self._cost.title}: {tried}, {runs}"

    def _why_no_winner(self) -> str:
        num = sum(step.result.reached for step in self._history)
        if num:
            return (
                f"No winner: {num} runs reached the target, but {self._cost.title} is not known of"
                " any; health.flags in sweep.csv say why."
            )
        if not self._race.is_over:
            return "No configuration has reached the target yet."
        if self._race.is_spent:
            return "No configuration has reached the target within hydra.sweeper.max_spent."
        return (
            "No configuration has reached the target; a larger budget (budget.max_epochs) or a"
            " lower target.value may help."
        )

    def _verdict(self, places: Sequence[Place]) -> str:
        evidence, second = self._race.evidence(), self._race.second()
        if second is None:
            return "No rival: every other configuration that was tried has failed or missed."
        name = self._name(self._overrides[second.place])
        other = "the runner-up" if name == places[-1].name else f"{name}, which may be as good"
        if evidence is None:
            return f"Not separated from {other}: too few further seeds for the rank test."
        test = (
            f"p = {evidence.p:.2g} over {evidence.num_seeds} further seeds each, where at most"
            f" {evidence.level:.2g} was needed."
        )
        return f"{'Better than' if evidence.is_enough else 'Not separated from'} {other}: {test}"

    def _bill(self) -> str:
        scale, grid = _SCALES[self._cost.unit], self._grid()
        num_unknown, found = self._num_unknown(), self._spent(found=True)
        more = f", and {num_unknown} runs of unknown cost" if num_unknown else ""
        before = f" ({quantity(found, scale)} of it before)" if found else ""
        end = ", all that hydra.sweeper.max_spent allows" if self._race.is_spent else ""
        bill = f"The search has spent {quantity(self._spent(), scale)}{before}{more}{end}."
        return f"{bill} {self._grid_text(grid, scale)}"

    def _grid_text(self, grid: GridPrice, scale: Scale) -> str:
        """The price of the whole grid, and how it was found."""
        num = self._num_seeds()
        seeds = "one seed each" if num == 1 else f"{num} seeds each, as many as the winner,"
        kinds = {"measured": grid.num_complete, "stopped": grid.num_stopped}
        kinds["not tried"] = self._num_not_run()
        how = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
        least = quantity(grid.least, scale)
        if grid.value is None:
            return f"The whole grid with {seeds} costs at least {least} ({how})."
        price, share = quantity(grid.value, scale), self._spent() / grid.value
        text = f"The whole grid with {seeds} costs about {price} (estimated: {how})"
        return f"{text}, and at least {least}; the search cost {share:.0%} of the estimate."

    def _grid(self) -> GridPrice:
        race = self._race
        return grid_price(race.candidates.values(), len(self._overrides), self._num_seeds())

    def _num_seeds(self) -> int:
        """Seeds that the grid would need for what the race knows of its winner."""
        leader = self._race.leader()
        return 1 if leader is None else leader.num_runs

    def _num_not_run(self) -> int:
        return len(self._overrides) - sum(
            bool(each.runs) for each in self._race.candidates.values()
        )

    def _is_estimated(self) -> bool:
        """Whether any run of the grid was not measured to its end."""
        num = self._num_seeds()
        whole = (
            each.num_runs == num and not each.num_stopped for each in self._race.candidates.values()
        )
        return bool(self._num_not_run()) or not all(whole)

    def _num(self, ending: Ending) -> int:
        return sum(step.ending == ending for step in self._history)

    def _num_unknown(self) -> int:
        return sum(step.result.spent is None for step in self._history)

    def _spent(self, *, found: bool = False) -> float:
        """What all runs have spent, or only those that resume= found."""
        steps = [step for step in self._history if step.found or not found]
        return math.fsum(step.result.spent or 0.0 for step in steps)

    def _name(self, overrides: Sequence[str]) -> str:
        return " ".join(of_swept_keys(overrides, self._swept)) or "the only one"

    def _place(self, candidate: Candidate | None) -> Place | None:
        if candidate is None:
            return None
        overrides = self._overrides[candidate.place]
        return place_of(candidate, self._name(overrides), overrides)
