"""The first module that the fork server imports."""

from bench.launch.server import begin_imports

begin_imports()
