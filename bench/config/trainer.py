"""The keys of the group `trainer`: devices, and how a training computes on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from bench.core.checks import Count, KeyGroup, PositiveAmount, PositiveCount, Threads, one_of

# Keys of the group trainer that do something on a GPU only, and the value that asks for nothing.
_GPU_ONLY = {
    "gpu_power_limit_w": None,
    "gpu_clock_mhz": None,
    "float32_matmul_precision": "highest",
    "data_memory": "host",
}
# The mode of torch.compile that does nothing else than `default` without CUDA graphs.
_CUDA_GRAPHS = "reduce-overhead"


@dataclass(kw_only=True)
class TrainerConfig(KeyGroup):
    """The devices of the training, and how it computes."""

    loop: Annotated[str, one_of(("lightning", "fabric"))] = "lightning"
    accelerator: Annotated[str, one_of(("auto", "cpu", "gpu"))] = "auto"
    devices: PositiveCount = 1
    num_nodes: PositiveCount = 1
    num_threads: Threads | None = None
    compile: bool = False
    compile_mode: Annotated[str, one_of(("default", _CUDA_GRAPHS, "max-autotune"))] = "default"
    float32_matmul_precision: Annotated[str, one_of(("highest", "high", "medium"))] = "highest"
    data_memory: Annotated[str, one_of(("host", "pinned", "device"))] = "host"
    channels_last: bool = False
    num_warmup_steps: Count = 3
    deterministic: bool = False
    gpu_power_limit_w: PositiveAmount | None = None
    gpu_clock_mhz: PositiveCount | None = None

    def __post_init__(self) -> None:
        """Refuse keys that would do nothing.

        Raises:
            ValueError: There is such a key; the message names it.
        """
        if self.compile_mode != "default" and not self.compile:
            raise ValueError(
                f"trainer.compile_mode={self.compile_mode}: does nothing without "
                "trainer.compile=true; set that, or leave it out"
            )
        if self.accelerator == "cpu" and self.gpu_keys:
            raise ValueError(
                f"{self.gpu_keys[0]}: needs a GPU, and trainer.accelerator=cpu uses none; "
                "leave it out"
            )

    @property
    def gpu_keys(self) -> list[str]:
        """The keys, with their values, that only a GPU can follow."""
        keys = {name: getattr(self, name) for name in _GPU_ONLY}
        keys = {name: value for name, value in keys.items() if value != _GPU_ONLY[name]}
        if self.compile_mode == _CUDA_GRAPHS:
            keys["compile_mode"] = self.compile_mode
        return [
            f"trainer.{name}={f'{value:g}' if isinstance(value, float) else value}"
            for name, value in keys.items()
        ]

    @property
    def num_ranks(self) -> int:
        """Processes that train together: one for each device of each node."""
        return self.devices * self.num_nodes
