"""Imported last by the fork server of the tests: its libraries leave the garbage collector's sight.

A Window collects garbage before it measures, and a job would look through all of torch for it.
"""

import gc

gc.collect()
gc.freeze()
