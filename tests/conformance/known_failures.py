"""What released versions of other tools do not get right, and why: strict expected failures."""

from __future__ import annotations

_NO_COUNTER = "it integrates power only of cards before Volta"
_MIG_CARD = "it takes the joules of the whole card for those of the instance"
_TWO_MODELS = "two models of GPU, one visible by CUDA's number"
_TWICE = "it adds the processor again"
_ORDER = "it takes CUDA's number for NVML's"
_STANDS_STILL = "it states 0 J"

# Reasons by tool and case.
KNOWN_FAILURES: dict[str, dict[str, str]] = {
    "CodeCarbon": {
        "RAPL, reset after 15.5 s": "it takes the reset for a wrap",
        "RAPL, held at the end": "it does not notice",
        "RAPL, held for 3 s, then lost": "it does not notice",
        "RAPL, never refreshed, as in some virtual machines": _STANDS_STILL,
        "GPU counter, refreshed every 100 ms, for 750 ms": "it states no bound",
        "GPU counter, never refreshed, beside a power sensor": _STANDS_STILL,
        "GPU counter, lost after 15.5 s": "it adds 0 J from then on, and warns in the log alone",
        "GPU power, sensor sees 25 of 100 ms, in step with it": "it states no bound",
        "eight GPUs, one used, visible by UUID": (
            "it strips the G of the UUID as if it were one of MIG, finds no card and states 0 J"
        ),
        "Grace-Hopper, power of the module not shown": _TWICE,
        "Grace-Hopper, power of the module shown": _TWICE,
        _TWO_MODELS: _ORDER,
        "MIG, instance named": "it finds no card and states 0 J",
        "MIG, card named": _MIG_CARD,
    },
    "Zeus": {
        "RAPL, a wrap within the last two seconds": "its process has not seen the wrap yet",
        "RAPL, a wrap every 10 s": "its process has not seen the last wrap yet",
        "RAPL, reset after 15.5 s": "it takes the reset for a wrap",
        "RAPL, held at the end": "it does not notice",
        "RAPL, held for 3 s, then lost": "it does not notice",
        "RAPL, never refreshed, as in some virtual machines": _STANDS_STILL,
        "RAPL, a second package that mirrors the first": "it adds both",
        "RAPL, psys beside package": "it lists psys, which includes the package, as a processor",
        "GPU counter, refreshed every 100 ms, for 750 ms": "it states no bound",
        "GPU counter, reset after 15.5 s": "it does not notice, and states less than nothing",
        "GPU counter, never refreshed, beside a power sensor": _STANDS_STILL,
        "GPU power, constant 300 W": _NO_COUNTER,
        "GPU power, step": _NO_COUNTER,
        "GPU power, square wave 370 ms": _NO_COUNTER,
        "eight GPUs, one used, visible by UUID": "it takes CUDA_VISIBLE_DEVICES for numbers",
        _TWO_MODELS: _ORDER,
        "MIG, card named": _MIG_CARD,
    },
}
