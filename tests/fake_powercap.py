"""A powercap tree of real files, whose counters follow power curves on a fake clock."""

from __future__ import annotations

from pathlib import Path

from tests.fakes import FakeClock
from tests.power import EnergyCounter


class FakePowercap:
    """Folders laid out as the kernel's; files are rewritten in place as the clock moves."""

    def __init__(self, root: Path, clock: FakeClock) -> None:
        self.root = root
        self.clock = clock
        self._counters: dict[Path, EnergyCounter] = {}
        self._shown: dict[Path, bytes] = {}  # what each file holds

    def add(
        self, folder: str, name: str, counter: EnergyCounter, *, limit_w: float | None = None
    ) -> Path:
        """Add a zone, such as add("intel-rapl:0/intel-rapl:0:0", "dram", ...).

        Args:
            folder: Where it lies below the root.
            name: What its file `name` says.
            counter: What its energy follows; its range goes to max_energy_range_uj.
            limit_w: What its long-term limit says.
        """
        path = self.root / folder
        path.mkdir(parents=True)
        (path / "name").write_text(f"{name}\n")
        range_j = counter.range_j or 2**32 * 61e-6  # what 32 bits of 61 microjoules hold
        (path / "max_energy_range_uj").write_text(f"{round(range_j * 1e6)}\n")
        if limit_w is not None:
            (path / "constraint_0_power_limit_uw").write_text(f"{round(limit_w * 1e6)}\n")
        (path / "energy_uj").touch()
        self._counters[path] = counter
        self.update()
        return path

    def replace(self, path: Path, counter: EnergyCounter) -> None:
        """Let a zone follow another counter from now on: a reset, for one."""
        self._counters[path] = counter
        self.update()

    def advance(self, seconds: float) -> None:
        """Let time pass, and every counter with it."""
        self.clock.advance(seconds)
        self.update()

    def update(self) -> None:
        """Write what each counter shows now."""
        for path, counter in self._counters.items():
            text = b"%d\n" % round(counter.joules(self.clock()) * 1e6)
            held = self._shown.get(path, b"")
            if text == held:
                continue
            # In place: the meter holds the file open. To empty it first takes many times as long.
            with open(f"{path}/energy_uj", "r+b", buffering=0) as file:
                file.write(text)
                if len(text) < len(held):
                    file.truncate()
            self._shown[path] = text
