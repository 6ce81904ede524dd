"""What the commands share of Hydra: where the configuration lies, its schema, and errors in a line.

Hydra is used in bench/cli and in the commands only; no library function sees a DictConfig.
"""

from __future__ import annotations

import difflib
import os
import re
import secrets
import signal
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import bench
from bench.core.config import TrainConfig, known_keys
from bench.core.config_nodes import NODES
from bench.core.measure_nodes import MEASURE_NODES
from bench.core.recipe_nodes import RECIPE_NODES
from bench.core.serve_config import SERVE_NODES, ServeConfig, known_serve_keys

USAGE_ERROR = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def config_dir() -> Path:
    """The folder conf/: of the checkout, or the copy inside an installed package."""
    package = Path(next(iter(bench.__path__)))
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


@cache
def sweep_id() -> str:
    """Names this call of a command in the ledger."""
    return secrets.token_hex(4)


def register() -> None:
    """Make the schema and the resolvers of this project known to Hydra."""
    store = ConfigStore.instance()
    store.store(name="train_schema", node=TrainConfig)
    store.store(name="serve_schema", node=ServeConfig)
    for groups in (NODES, MEASURE_NODES, RECIPE_NODES, SERVE_NODES):
        for group, nodes in groups.items():
            for name, node in nodes.items():
                store.store(group=f"schema/{group}", name=name, node=node)
    OmegaConf.register_new_resolver("sweep_id", sweep_id, replace=True)


def run_app(config_name: str, task: Callable[[DictConfig], Any]) -> int:
    """Run a Hydra command; a wrong key, value or path becomes one line.

    Returns:
        The exit code so far: 0, USAGE_ERROR or INTERRUPTED.
    """
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    # Hydra would print several lines and exit with 1: with this set it raises, and we print.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    register()
    # A job manager's SIGTERM ends a sweep as orderly as a person's Ctrl-C.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt_once)
    main = hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=config_name)(
        task
    )
    try:
        main()
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        if wants_traceback:
            raise
        print(f"error: {one_line(error)}", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _interrupt_once(number: int, frame: object) -> None:
    """The first signal ends the sweep; a second one must not break the writing of its records.

    `timeout` sends SIGTERM twice, to the command and to its group.
    """
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def one_line(error: BaseException) -> str:
    """The message of an error in one line, with the key that it is about and a remedy."""
    text = str(error)
    if error.__cause__ is not None and isinstance(error, HydraException):
        text += f"\n{error.__cause__}"
    unknown = re.search(r"Could not override '([^']+)'", text)
    if unknown:
        return f"{unknown[1]}: no such key{_did_you_mean(unknown[1])}"
    text = text.partition("Config search path")[0]
    options = ", ".join(line.strip() for line in text.splitlines() if line.startswith("\t"))
    lines = [line.strip() for line in text.splitlines() if line and not line.startswith("\t")]
    # Hydra repeats itself, and names classes that say nothing to a user.
    kept = dict.fromkeys(
        line for line in lines if not line.startswith(("object_type", "reference"))
    )
    return " ".join(filter(None, ["; ".join(kept), options])).replace("full_key: ", "key ")


def _did_you_mean(key: str) -> str:
    close = difflib.get_close_matches(key, [*known_keys(), *known_serve_keys()], n=3)
    return f"; did you mean {' or '.join(close)}?" if close else "; --help shows all keys"
