"""The configuration of hydra/launcher=slurm: what its jobs ask SLURM for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from annotated_types import Ge

from bench.core.checks import MISSING, CheckedAs, Count, KeyGroup, PositiveAmount, PositiveCount

# Without these, a run would share its node, or be measured a second time behind the command's back.
_ALWAYS: dict[str, Any] = {"exclusive": True, "no-requeue": True}
# The launcher relies on its own values of these: with others, two processes would make the same
# run, or nobody would find what a job has written.
_OURS = {
    *("array", "chdir", "error", "input", "nodes", "ntasks", "ntasks-per-node", "open-mode"),
    *("output", "parsable", "requeue", "test-only", "wait", "wrap"),
}


@dataclass(kw_only=True)
class SlurmConfig(KeyGroup):
    """What each job asks SLURM for; keys that are null leave it to the cluster."""

    _target_: str = "hydra_plugins.slurm_launcher.SlurmLauncher"
    name: str = MISSING
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    timeout_min: PositiveCount = MISSING
    constraint: str | None = None
    nodelist: str | None = None
    exclude: str | None = None
    gres: str | None = None
    gpus_per_node: Annotated[int, Ge(0)] | None = None
    cpus_per_task: PositiveCount | None = None
    mem_gb: PositiveAmount | None = None
    setup: list[str] = field(default_factory=list)
    array_parallelism: PositiveCount = MISSING
    signal_delay_s: Count = MISSING
    # Any, since Hydra would not let a value such as {exclusive: false} add keys to a mapping
    additional_parameters: Annotated[Any, CheckedAs(dict[str, Any] | None)] = None

    def __post_init__(self) -> None:
        """Refuse options of sbatch that the launcher sets itself.

        Raises:
            ValueError: There is one.
        """
        extra = self.additional_parameters if isinstance(self.additional_parameters, dict) else {}
        for name in extra:
            if str(name).replace("_", "-") in _OURS:
                raise ValueError(
                    f"hydra.launcher.additional_parameters.{name}: the launcher sets this option "
                    "itself; leave it out"
                )

    def parameters(self) -> dict[str, Any]:
        """The parameters by submitit's names: one node, whole, and one process on it."""
        chosen = {**_ALWAYS, **(self.additional_parameters or {})}
        own = {
            key: value
            for key, value in vars(self).items()
            if key not in ("_target_", "name", "timeout_min", "mem_gb", "additional_parameters")
        }
        return {
            **own,
            "job_name": self.name,
            "time": self.timeout_min,
            "mem": None if self.mem_gb is None else f"{self.mem_gb * 1024:.0f}M",
            "nodes": 1,
            "ntasks_per_node": 1,
            # submitit writes `--KEY=False`, which sbatch does not understand
            "additional_parameters": {
                key: value for key, value in chosen.items() if value not in (None, False)
            },
        }
