"""Imported by the fork server of tests: its jobs fork their servers and retrainings."""

from __future__ import annotations

from tests.forked_children import forked_children

UNTIL_THE_END = forked_children()
UNTIL_THE_END.__enter__()
