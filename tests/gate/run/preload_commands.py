"""Imported by the server of the gate's commands: what each fork would import or register anew."""

from __future__ import annotations

import scipy.special  # noqa: F401 -- imported when it is needed
from hydra.core.plugins import Plugins

import bench.gate.run.ab
import bench.gate.run.compare
import bench.gate.run.noise  # noqa: F401
from bench.cli.app import register

register()
Plugins.instance()  # imports the plugins of Hydra
