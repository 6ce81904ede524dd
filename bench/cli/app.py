"""Starts Hydra for the commands: registers the schema, composes, and prints errors in one line.

Only bench/cli, the plans of the flows and the commands use Hydra; no other code sees a DictConfig.
"""

from __future__ import annotations

import os
import secrets
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from traceback import walk_tb
from typing import Any

import hydra
from hydra._internal.hydra import Hydra
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bench.cli.messages import one_line
from bench.cli.start import CRASHED, INTERRUPTED, MULTIRUN, USAGE_ERROR, open_streams
from bench.config.beside import BesideConfig
from bench.config.maintain import (
    DriftConfig,
    FaultConfig,
    LabelsConfig,
    MaintainConfig,
    RetrainConfig,
    StreamConfig,
)
from bench.config.nodes import NODES
from bench.config.recipe import RECIPES
from bench.config.run import GridConfig, MeterConfig
from bench.config.serve import (
    BackendConfig,
    CompressionConfig,
    CustomBackend,
    HttpConfig,
    PlacementConfig,
    ScenarioConfig,
    ServeConfig,
)
from bench.config.skew import SkewConfig
from bench.config.slurm import SlurmConfig
from bench.config.sweeper import CheckedConfig, RaceConfig
from bench.config.train import TrainConfig
from bench.core.errors import kind_and_line
from bench.core.files import config_dir, expand_path
from bench.launch.stopping import interrupt_on_signals

# {group: {name: class}}: a file of the group begins with `- /schema/<group>@_here_: <name>`.
_SCHEMAS = {
    **NODES,
    "recipe": RECIPES,
    "meter": {"meter": MeterConfig},
    "grid": {"country": GridConfig},
    "scenario": {"scenario": ScenarioConfig},
    "backend": {"backend": BackendConfig, "custom": CustomBackend},
    "http": {"http": HttpConfig},
    "compression": {"compression": CompressionConfig},
    "placement": {"placement": PlacementConfig},
    "stream": {"stream": StreamConfig},
    "drift": {"drift": DriftConfig},
    "fault": {"fault": FaultConfig},
    "labels": {"labels": LabelsConfig},
    "retrain": {"retrain": RetrainConfig},
    "skew": {"skew": SkewConfig},
    "beside": {"beside": BesideConfig},
    "launcher": {"slurm": SlurmConfig},
    "sweeper": {"checked": CheckedConfig, "race": RaceConfig},
}


# Hydra finds plugins in this package, which those of others share.
_OWN_PLUGINS = tuple(
    f"hydra_plugins.{name}"
    for name in ("checked_sweeper", "plannings", "race_sweeper", "slurm_launcher")
)

# Overrides that only choose or set a part of Hydra's own, so that they do not decide its mode.
_NEVER_DECIDE = ("hydra/launcher=", "hydra/sweeper=", "hydra.launcher.", "hydra.sweeper.")


@cache
def sweep_id() -> str:
    """A random id that the ledger stores with every run of this command."""
    return secrets.token_hex(4)


@cache
def register() -> None:
    """Register the schema and the resolvers of this project with Hydra, once per process."""
    store = ConfigStore.instance()
    store.store(name="train_schema", node=TrainConfig)
    store.store(name="serve_schema", node=ServeConfig)
    store.store(name="maintain_schema", node=MaintainConfig)
    for group, nodes in _SCHEMAS.items():
        for name, node in nodes.items():
            store.store(group=f"schema/{group}", name=name, node=node)
    # The processes that make the jobs of a sweep get its value with the configuration.
    OmegaConf.register_new_resolver("sweep_id", sweep_id, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("expanded", lambda path: str(expand_path(path)), replace=True)


def run_once(
    config_name: str,
    schema: type,
    run: Callable[[dict[str, Any]], int],
    keys: Sequence[str] = (),
) -> int:
    """Compose the configuration of a command that cannot sweep, and run it.

    Args:
        config_name: Name of its primary file, whose first default is `<config_name>_schema`.
        schema: The dataclass that Hydra checks names and types against.
        run: Takes the resolved configuration and returns the exit code. If it raises ValueError,
            the message is printed in one line.
        keys: Further dotted keys to suggest for a misspelt one, besides those in conf/.

    Returns:
        The exit code; CRASHED, with a traceback, after any other error.
    """
    if MULTIRUN & set(sys.argv[1:]):  # Hydra would make a folder before it refuses this
        print(f"error: -m: {config_name} has nothing to sweep; leave it out", file=sys.stderr)
        return USAGE_ERROR
    jobs: list[DictConfig] = []
    wants_traceback = _wants_traceback()  # before run_app sets the variable
    ConfigStore.instance().store(name=f"{config_name}_schema", node=schema)
    code = run_app(config_name, jobs.append, keys)
    # Resolve and run the job outside of Hydra, which would add lines of its own to an error. With a
    # flag such as --cfg, Hydra only prints something, and there is no job.
    refusals = (OmegaConfBaseException, ValueError)
    with _exit_code(config_name, keys, wants_traceback, refusals) as outcome:
        values: list[Any] = [OmegaConf.to_container(job, resolve=True) for job in jobs]
        outcome.code = code or max((run(each) for each in values), default=0)
    return outcome.code


def run_app(
    config_name: str,
    task: Callable[[DictConfig], Any],
    keys: Sequence[str] = (),
    on_signal: Callable[[int], None] | None = None,
) -> int:
    """Run a Hydra command; print one line for a wrong key, value or path.

    Args:
        config_name: Name of its primary file.
        task: Called for each job.
        keys: Further dotted keys to suggest for a misspelt one, besides those in conf/.
        on_signal: Called with the first signal, before it interrupts a launcher of Hydra.

    Returns:
        The exit code so far: 0, USAGE_ERROR, INTERRUPTED, or CRASHED after any other error.
    """
    wants_traceback = _wants_traceback()
    # Without this variable, Hydra prints several lines and exits with 1. With it, Hydra raises.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    register()
    # Put flags first: argparse would stop reading overrides at a flag that stands between them.
    arguments = sys.argv[1:]
    sys.argv[1:] = sorted(arguments, key=lambda each: each not in MULTIRUN)
    open_streams()
    interrupt_on_signals(on_signal)
    decorate = hydra.main(
        version_base="1.3", config_path=str(config_dir()), config_name=config_name
    )
    refusals = (HydraException, OmegaConfBaseException, ValueError, OSError)
    with (
        _exit_code(config_name, keys, wants_traceback, refusals) as outcome,
        _mode_by_flag(arguments),
    ):
        decorate(task)()
    return outcome.code


@contextmanager
def _mode_by_flag(arguments: Sequence[str]) -> Iterator[None]:
    """Have Hydra sweep if there is -m, and else not, where only that flag can decide it.

    Hydra would compose the whole configuration once more, to see whether it sets `hydra.mode`. Of
    conf/ no file does, but an argument, or a file that an argument names, may.
    """
    others = {each for each in arguments if not each.startswith(_NEVER_DECIDE)} - MULTIRUN
    if any(each.startswith(("-", "hydra", "+hydra", "++hydra")) for each in others):
        yield
        return
    look_for_mode = Hydra.get_mode
    Hydra.get_mode = lambda *_, **__: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        Hydra.get_mode = look_for_mode  # type: ignore[method-assign]


class LaunchFailed(Exception):  # noqa: N818 -- says what happened to the launch
    """A launcher of Hydra has failed; one line with the reason."""


@dataclass(slots=True)
class _Outcome:
    code: int = 0


@contextmanager
def _exit_code(
    config_name: str,
    keys: Sequence[str],
    wants_traceback: bool,
    refusals: tuple[type[Exception], ...],
) -> Iterator[_Outcome]:
    """Turn an exception of the block into an exit code, and print an error of the user's."""
    outcome = _Outcome()
    try:
        yield outcome
    except refusals as error:
        outcome.code = USAGE_ERROR
        _print_error(error, one_line(error, config_name, keys), wants_traceback)
    except LaunchFailed as error:
        outcome.code = CRASHED
        _print_error(error, str(error), wants_traceback)
    except KeyboardInterrupt:
        outcome.code = INTERRUPTED
    except Exception as error:
        outcome.code = CRASHED
        text = f"hydra/sweeper= or hydra/launcher= failed: {kind_and_line(error)}"
        text = f"{text}; HYDRA_FULL_ERROR=1 shows where"
        _print_error(error, text, wants_traceback or _is_own(error))


def _print_error(error: Exception, text: str, wants_traceback: bool) -> None:
    if wants_traceback:
        traceback.print_exception(error)
    else:
        print(f"error: {text}", file=sys.stderr)


def _is_own(error: Exception) -> bool:
    """Whether code of this project raised an exception, rather than a plugin of Hydra."""
    modules = {frame.f_globals.get("__name__") for frame, _ in walk_tb(error.__traceback__)}
    ours = ("bench.", "analysis.", *_OWN_PLUGINS)
    return any(str(name).startswith(ours) for name in modules - {__name__})


def _wants_traceback() -> bool:
    return os.environ.get("HYDRA_FULL_ERROR") == "1"
