"""The kernel's powercap tree: which zones there are, what they state, and numbers from its files.

Packages and DRAM are components of their own. `psys` holds the packages, and packages hold `core`
and `uncore`: none of these is reported. A zone that appears twice, through the model-specific
registers and through memory-mapped ones, is counted once.

Source: https://docs.kernel.org/power/powercap/powercap.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.measure.meters.base import MeterUnavailable

# Limits of power hold on average over a second or more: for milliseconds a package exceeds them.
PEAK_OVER_LIMIT = 2.0
# Where no limit is stated: more than any package, or memory of one, draws today.
DEFAULT_MAX_W = {"cpu": 1000.0, "dram": 200.0}
# Firmware that states less, or more than registers hold, states nothing.
_LIMITS_W = (1.0, 5000.0)
_MOST_UJ = 2.0**64


@dataclass(frozen=True, slots=True)
class Zone:
    """A folder of the tree with a counter that is wanted; package is the number of its socket."""

    component: str
    part: str
    package: str
    path: Path

    def max_w(self) -> float:
        """Twice the largest limit that the zone states, else the default."""
        stated_w: list[float] = []
        for kind in ("max_power_uw", "power_limit_uw"):
            for file in self.path.glob(f"constraint_*_{kind}"):
                # Some firmware has a file that cannot be read, or has no value for it.
                with suppress(OSError, ValueError):
                    stated_w.append(int(file.read_text()) * 1e-6)
        least_w, most_w = _LIMITS_W
        usable_w = [limit_w for limit_w in stated_w if least_w <= limit_w <= most_w]
        return PEAK_OVER_LIMIT * max(usable_w) if usable_w else DEFAULT_MAX_W[self.part]

    def range_j(self) -> float:
        """Where its counter begins anew.

        Raises:
            MeterUnavailable: It states no range.
            OSError: The file cannot be read.
        """
        path = self.path / "max_energy_range_uj"
        text = path.read_bytes()
        range_uj = number_in(path, text)
        if range_uj == 0:
            raise _odd(path, text)
        return range_uj / 1e6


def number_in(path: Path, text: bytes) -> int:
    """The number that a file holds.

    Raises:
        MeterUnavailable: It holds something else.
    """
    with suppress(ValueError):
        number = int(text)
        if 0 <= number <= _MOST_UJ:
            return number
    raise _odd(path, text)


def _odd(path: Path, text: bytes) -> MeterUnavailable:
    content = text.decode(errors="replace").strip()
    return MeterUnavailable(f"{path} holds {content!r}, which cannot be")


def zones(root: Path) -> Iterator[Zone]:
    """Packages and their DRAM; of twins those in model-specific registers come first.

    The class folder holds links to all zones side by side, a devices folder one folder for each
    kind of access; subzones lie in their package's folder in both.

    Raises:
        MeterUnavailable: A zone has no name: it may be a package that would be missing.
        OSError: A name cannot be read.
    """
    folders: dict[str, Path] = {}
    for access in ("intel-rapl", "intel-rapl-mmio"):
        for parent in (root, root / access):
            for path in sorted(parent.glob(f"{access}:*")):
                if re.fullmatch(rf"{access}:\d+", path.name):
                    folders.setdefault(path.name, path)
    for path in folders.values():
        package = re.fullmatch(r"package-(\d+)(?:-die-(\d+))?", _name(path))
        if package is None:
            continue  # psys, which holds the packages
        number = package[1] if package[2] is None else f"{package[1]}-die{package[2]}"
        yield Zone(f"cpu{number}", "cpu", package[1], path)
        for child in sorted(path.glob(f"{path.name}:*")):
            if _name(child) == "dram":
                yield Zone(f"dram{number}", "dram", package[1], child)


def _name(zone: Path) -> str:
    path = zone / "name"
    text = path.read_bytes()
    name = text.decode(errors="replace").strip()
    if re.fullmatch(r"[\w-]+", name) is None:
        raise _odd(path, text)
    return name
