"""The meters that are tried by default, which conf/meter/auto.yaml names."""

from __future__ import annotations

from pkgutil import resolve_name

import yaml

from bench.config.nodes import NODES
from bench.core.files import config_dir
from bench.measure.meters.base import Meter


def auto_meters() -> dict[str, Meter]:
    """The meters of `meter=auto`, by name, in order of preference.

    Read without Hydra, which a library does not compose anything with in a user's process.
    """
    folder = config_dir()
    meters = {}
    for entry in yaml.safe_load((folder / "meter" / "auto.yaml").read_text())["defaults"]:
        place, option = next(iter(entry.items())) if isinstance(entry, dict) else (entry, "")
        group, _, package = place.strip("/").partition("@")
        if group == "energy_source":
            keys = yaml.safe_load((folder / group / f"{option}.yaml").read_text())
            del keys["defaults"]
            made: Meter = resolve_name(NODES[group][option]._target_)(**keys)
            meters[package.removeprefix("sources.")] = made
    return meters
