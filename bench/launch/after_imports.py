"""The last module that the fork server imports."""

from bench.launch.server import finish_imports

finish_imports()
