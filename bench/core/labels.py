"""How joules were obtained."""

from __future__ import annotations

from typing import Literal

# From the strongest to the weakest: a sum is as trustworthy as its weakest part.
EnergyLabel = Literal["counter", "integrated", "modelled", "constant"]
