"""The schema of the groups whose options Hydra instantiates: names and types of their keys.

Values and comments are in conf/<group>/<name>.yaml. Hydra refuses a misspelt key or a wrong type
when it composes the configuration; require_ranges() refuses a value out of range. Options called
`custom` have no schema, because users choose their keys. Targets are dotted paths, so checking a
configuration imports none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, make_dataclass
from typing import Annotated, Any, get_args, get_type_hints

from annotated_types import Ge, Gt, Le, Lt

from bench.core.checks import (
    MISSING,
    Amount,
    Count,
    PositiveAmount,
    PositiveCount,
    one_of,
    require_in_range,
)


def _node(target: str, keys: Mapping[str, Any], *, partial: bool = False) -> type:
    """Make the schema of one option.

    Args:
        target: The class or function that Hydra calls.
        keys: The type of each key. A key that may be None is None by default; the others are
            required.
        partial: Whether Hydra only binds these keys. The job calls the result later, with
            arguments that only it has, such as the parameters of the model.
    """
    fields: list[tuple[str, type, Any]] = [("_target_", str, field(default=target))]
    if partial:
        # A field, so that Hydra accepts the key in the file of the option.
        fields.append(("_partial_", bool, field(default=True)))
    fields += [
        (name, kind, field(default=None if type(None) in get_args(kind) else MISSING))
        for name, kind in keys.items()
    ]
    return make_dataclass(target.rpartition(".")[2], fields)


_Dropout = Annotated[float, Ge(0), Lt(1)]
_Share = Annotated[float, Ge(0), Le(1)]
_SPLITS = {
    "num_validation_samples": int,
    "split_seed": int,
    "in_memory": bool | None,
    "num_workers": int,
    "eval_batch_size": int,
}
_IN_FILES = {**_SPLITS, "root": str | None, "download": bool}
_TABLE = {"split_seed": int, "eval_batch_size": int}
_GROUPED = {**_TABLE, "group": str | None}
_OWN_FILE = {"path": str, "root": str | None}
_DETECTORS = "bench.drift.detectors"

# {group: {name: class}}: a file of the group begins with `- /schema/<group>@_here_: <name>`.
NODES: dict[str, dict[str, Any]] = {
    "data": {
        "digits": _node("bench.tasks.data.digits", _SPLITS),
        "fashion_mnist": _node("bench.tasks.data.fashion_mnist", _IN_FILES),
        "mnist": _node("bench.tasks.data.mnist", _IN_FILES),
        "cifar10": _node("bench.tasks.data.cifar10", _IN_FILES),
        "breast_cancer": _node("bench.tasks.tabular.breast_cancer", _GROUPED),
        "diabetes": _node("bench.tasks.tabular.diabetes", _TABLE),
        "csv": _node(
            "bench.tasks.tabular.csv_file",
            {
                **_OWN_FILE,
                "target": Any,
                "separator": str,
                "decimal": str,
                "task": str,
                **_GROUPED,
            },
        ),
        "text": _node(
            "bench.tasks.text.text",
            {**_OWN_FILE, "path": str | None, "context": int, "eval_batch_size": int},
        ),
    },
    # Sources of streams, in `stream.source`.
    "source": {
        "synthetic": _node(
            "bench.drift.streams.synthetic.synthetic",
            {
                "num_samples": int,
                "num_features": int,
                "num_classes": int,
                "separation": float,
                "seed": int,
            },
        ),
        "fashion_mnist": _node(
            "bench.drift.streams.images.fashion_mnist", {"root": str | None, "download": bool}
        ),
        "flights": _node("bench.drift.streams.flights.flights", {}),
        "csv": _node(
            "bench.drift.streams.csv.csv_stream",
            {**_OWN_FILE, "target": str, "time": str, "separator": str, "decimal": str},
        ),
    },
    "model": {
        "mlp": _node(
            "bench.tasks.models.Mlp", {"width": PositiveCount, "depth": Count, "dropout": _Dropout}
        ),
        "cnn": _node(
            "bench.tasks.models.Cnn",
            {
                "width": PositiveCount,
                "depth": PositiveCount,
                "growth": PositiveCount,
                "patch_size": Count,
                "patch_stride": PositiveCount,
                "whitening": bool,
                "early_pooling": bool,
                "batch_norm_momentum": Annotated[float, Gt(0), Le(1)],
            },
        ),
        "torchvision": _node("bench.tasks.models.torchvision_model", {"name": str}),
        "gpt": _node(
            "bench.tasks.gpt.Gpt",
            {
                "width": PositiveCount,
                "depth": PositiveCount,
                "heads": PositiveCount,
                "dropout": _Dropout,
            },
        ),
        "timm": _node("bench.tasks.optional_models.timm_model", {"name": str}),
        "transformers": _node(
            "bench.tasks.optional_models.transformers_model",
            {"name": str, "config": dict[str, Any], "_convert_": str},
        ),
    },
    "optimizer": {
        "sgd": _node(
            "torch.optim.SGD",
            {"momentum": Annotated[float, Ge(0), Lt(1)], "nesterov": bool, "weight_decay": Amount},
            partial=True,
        ),
        "adamw": _node(
            "torch.optim.AdamW", {"weight_decay": Amount, "eps": PositiveAmount}, partial=True
        ),
    },
    "schedule": {
        "constant": _node("bench.tasks.schedules.constant", {}, partial=True),
        "one_cycle": _node(
            "bench.tasks.schedules.one_cycle",
            {
                "warmup_frac": Annotated[float, Gt(0), Lt(1)],
                "div_factor": PositiveAmount,
                "final_div_factor": PositiveAmount,
                "anneal_strategy": Annotated[str, one_of(("cos", "linear"))],
            },
            partial=True,
        ),
        "cosine": _node("bench.tasks.schedules.cosine", {"final_lr_frac": _Share}, partial=True),
    },
    "energy_source": {
        "cpu_model": _node(
            "bench.measure.meters.cpu_model.CpuModelMeter",
            {"idle_w": float | None, "full_w": float | None},
        ),
        "nvml": _node("bench.measure.meters.nvml.NvmlMeter", {}),
        "rapl": _node("bench.measure.meters.rapl.RaplMeter", {"root": str, "max_w": float | None}),
        "zeus": _node("bench.measure.meters.zeus.ZeusMeter", {}),
    },
    "codecarbon": {
        "default": _node(
            "bench.measure.carbon.CodeCarbonTracker",
            {"country_iso_code": str, "measure_period_s": float, "tracking_mode": str},
        )
    },
    "detector": {
        "error_eprocess": _node(f"{_DETECTORS}.error_eprocess.ErrorEprocess", {"tolerance": float}),
        "two_sample": _node(f"{_DETECTORS}.two_sample.TwoSample", {}),
        "bbsd": _node(f"{_DETECTORS}.two_sample.BlackBoxShift", {"outputs": str}),
        "c2st": _node(f"{_DETECTORS}.c2st.ClassifierTwoSample", {}),
        "ctm": _node(f"{_DETECTORS}.ctm.ConformalMartingale", {"score": str}),
        "cbpe": _node(f"{_DETECTORS}.cbpe.EstimatedAccuracy", {}),
        "adwin": _node(
            f"{_DETECTORS}.river_detectors.Adwin",
            {
                "delta": float,
                "clock": int,
                "max_buckets": int,
                "min_window_length": int,
                "grace_period": int,
            },
        ),
        "page_hinkley": _node(
            f"{_DETECTORS}.river_detectors.PageHinkley",
            {
                "min_instances": int,
                "delta": float,
                "threshold": float,
                "alpha": float,
                "mode": str,
            },
        ),
        "ddm": _node(
            f"{_DETECTORS}.river_detectors.Ddm",
            {"warm_start": int, "warning_threshold": float, "drift_threshold": float},
        ),
    },
    "price": {
        "price": _node(
            "bench.measure.cost.Price",
            {
                "name": str,
                "usd_per_hour": float | None,
                "usd_per_kwh": float | None,
                "region": str,
                "date": str,
                "source": str,
            },
        )
    },
    "policy": {
        "never": _node("bench.drift.policies.periodic.Never", {}),
        "every": _node("bench.drift.policies.periodic.Every", {"windows": int}),
        "performance": _node(
            "bench.drift.policies.performance.Performance",
            {"threshold": float | None, "patience": int, "min_labels": int},
        ),
        "drift": _node("bench.drift.policies.drift.Drift", {}),
        "estimated": _node("bench.drift.policies.estimated.Estimated", {"threshold": float | None}),
        "reweight": _node("bench.drift.policies.reweight.Reweight", {"memory": int}),
        "cost_aware": _node("bench.drift.policies.cost_aware.CostAware", {"min_labels": int}),
        "oracle": _node(
            "bench.drift.policies.oracle.Oracle", {"matrix": str | None, "objective": str}
        ),
    },
}


def require_ranges(values: Mapping[str, Any]) -> None:
    """Refuse values of the options above that are out of range; a class of the user has no range.

    Args:
        values: The resolved configuration of a command. Keys that an option does not have are left
            to its class.

    Raises:
        ValueError: A value is out of range; the message names the key and the range.
    """
    for group, options in NODES.items():
        chosen = values.get(group)
        if not isinstance(chosen, Mapping):
            continue
        for node in options.values():
            if vars(node)["_target_"] != chosen.get("_target_"):
                continue
            for name, kind in get_type_hints(node, include_extras=True).items():
                if name in chosen and hasattr(kind, "__metadata__"):
                    require_in_range(f"{group}.{name}", chosen[name], kind)
