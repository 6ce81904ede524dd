"""Threads that outlive every pass of the load generator.

LoadGen keeps a log per thread that calls it, and its own thread frees that log when the caller's
ends. If a pass runs meanwhile it may do so while the ending thread still writes, and the process
ends with a segmentation fault (version 6.0; `TlsLogger` in loadgen/logging.cc: Log reads its own
fields after what it logged had it freed). Joining is no help: before Python 3.13 a thread counts as
joined before C++ has ended it. So what calls LoadGen runs in threads that end with the process.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

# Idle threads are used again; a pass takes two of them: LoadGen's and the system's.
LASTING_THREADS = ThreadPoolExecutor(max_workers=64, thread_name_prefix="serving")
