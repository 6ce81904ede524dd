"""bench.doctor: composes the configuration, looks at this machine, and prints what was found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.cli.app import run_once
from bench.cli.terminal import say, wide_console
from bench.config.doctor import DoctorConfig
from bench.core.files import write_output
from bench.diagnosis.screen import print_diagnosis

_COMPARABLE, _NOT_COMPARABLE = 0, 1


def doctor_command() -> int:
    """Run bench.doctor with the keys of the command line; return its exit code."""
    return run_once("doctor", DoctorConfig, _run)


def _run(plain: Mapping[str, Any]) -> int:
    config = DoctorConfig.from_dict(plain)
    from bench.diagnosis.job import diagnose  # slow to import, and not needed for a wrong value

    console = wide_console()
    say(console, "examining this machine; this takes some 10 s")
    found = diagnose(config)
    print_diagnosis(found, console)
    if config.json is not None:
        text = json.dumps(asdict(found), indent=2, allow_nan=False)
        write_output("json", Path(config.json), f"{text}\n")
    return _COMPARABLE if found.comparable else _NOT_COMPARABLE
