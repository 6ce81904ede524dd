"""The schema of the groups meter, energy_source, codecarbon, price and grid: names and types.

Values and comments are in conf/<group>/<name>.yaml; a misspelt key or a wrong type stops at
composition with its full path. The group sampler has its schema in config.py, since its node is
no object to make.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.config.train import MeterConfig
from bench.core.checks import MISSING


@dataclass
class CpuModelNode:
    """conf/energy_source/cpu_model.yaml."""

    _target_: str = "bench.measure.meters.cpu_model.CpuModelMeter"
    idle_w: float | None = None
    full_w: float | None = None


@dataclass
class NvmlNode:
    """conf/energy_source/nvml.yaml."""

    _target_: str = "bench.measure.meters.nvml.NvmlMeter"


@dataclass
class RaplNode:
    """conf/energy_source/rapl.yaml."""

    _target_: str = "bench.measure.meters.rapl.RaplMeter"
    root: str = MISSING
    max_w: float | None = None


@dataclass
class ZeusNode:
    """conf/energy_source/zeus.yaml."""

    _target_: str = "bench.measure.meters.zeus.ZeusMeter"


@dataclass
class CodeCarbonNode:
    """conf/codecarbon/default.yaml."""

    _target_: str = "bench.measure.carbon.CodeCarbonTracker"
    country_iso_code: str = MISSING
    measure_period_s: float = MISSING
    tracking_mode: str = MISSING


@dataclass
class PriceNode:
    """conf/price/*.yaml."""

    _target_: str = "bench.measure.cost.Price"
    name: str = MISSING
    usd_per_hour: float | None = None
    usd_per_kwh: float | None = None
    region: str = MISSING
    date: str = MISSING
    source: str = MISSING


@dataclass
class GridNode:
    """conf/grid/country.yaml."""

    country_iso_code: str = MISSING


# {group: {name: class}}: a file of the group begins with `- /schema/<group>@_here_: <name>`.
MEASURE_NODES: dict[str, dict[str, type]] = {
    "meter": {"meter": MeterConfig},
    "energy_source": {
        "cpu_model": CpuModelNode,
        "nvml": NvmlNode,
        "rapl": RaplNode,
        "zeus": ZeusNode,
    },
    "codecarbon": {"default": CodeCarbonNode},
    "price": {"price": PriceNode},
    "grid": {"country": GridNode},
}
