"""Runs bench.train as the second node of trainings, one after another, and prints how each ended.

    python -m tests.cli.second_node

reads one JSON object a line: the folder, the arguments and variables of a command. Its jobs come
from one fork server, so that the libraries are imported once for all tests of a file.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from unittest import mock

from tests.cli.command import own_modules, train


def main() -> None:
    """Make the parts of this node until the input ends."""
    for line in sys.stdin:
        asked = json.loads(line)
        folder = Path(asked["folder"])
        with own_modules(folder), mock.patch.dict(os.environ, asked["variables"]):
            answer = train(folder, *asked["arguments"])
        print(json.dumps(asdict(answer)), flush=True)


if __name__ == "__main__":
    main()
