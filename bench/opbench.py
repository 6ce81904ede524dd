"""Run any command: `opbench train KEY=VALUE...` is `python -m bench.train KEY=VALUE...`.

`python -m` searches the working directory first, where a folder called bench/ or analysis/ would
hide this project. The script `opbench` searches it last, and only for your own models and data.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

from bench.cli.start import USAGE_ERROR, start
from bench.core.suggest import did_you_mean

COMMANDS = {
    "train": "bench.train",
    "serve": "bench.serve",
    "maintain": "bench.maintain",
    "compare": "bench.compare",
    "ab": "bench.ab",
    "bisect": "bench.bisect",
    "noise": "bench.noise",
    "doctor": "bench.doctor",
    "verify": "bench.verify",
    "measure": "bench.measure.__main__",
    "report": "analysis.report",
    "plot": "analysis.plot",
    "export": "analysis.export",
}
_USAGE = f"opbench COMMAND --help shows its keys; the commands: {', '.join(COMMANDS)}"


def main() -> int:
    """Run the command that the first argument names."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("--help", "-h"):
        print(_USAGE)
        return 0
    if name not in COMMANDS:
        print(f"error: {name}: no such command{did_you_mean(name, COMMANDS)}", file=sys.stderr)
        print(_USAGE, file=sys.stderr)
        return USAGE_ERROR
    del sys.argv[1]
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    code: int = import_module(COMMANDS[name]).main()
    return code


def script() -> None:
    """The entry point of the installed script; it handles Ctrl-C from the beginning."""
    start(main)


if __name__ == "__main__":
    script()
