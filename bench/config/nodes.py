"""The schema of the groups data, model, optimizer and schedule: names and types of their keys.

Values and comments are in conf/<group>/<name>.yaml; a misspelt key or a wrong type stops at
composition with its full path. Groups called `custom` have no schema: their keys are the user's.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.core.checks import MISSING


@dataclass
class DigitsNode:
    """conf/data/digits.yaml."""

    _target_: str = "bench.tasks.data.digits"
    num_validation_samples: int = MISSING
    split_seed: int = MISSING
    in_memory: bool | None = None
    num_workers: int = MISSING
    eval_batch_size: int = MISSING


@dataclass
class FashionMnistNode(DigitsNode):
    """conf/data/fashion_mnist.yaml."""

    _target_: str = "bench.tasks.data.fashion_mnist"
    root: str | None = None
    download: bool = MISSING


@dataclass
class MnistNode(FashionMnistNode):
    """conf/data/mnist.yaml."""

    _target_: str = "bench.tasks.data.mnist"


@dataclass
class Cifar10Node(FashionMnistNode):
    """conf/data/cifar10.yaml."""

    _target_: str = "bench.tasks.data.cifar10"


@dataclass
class MlpNode:
    """conf/model/mlp.yaml."""

    _target_: str = "bench.tasks.models.Mlp"
    width: int = MISSING
    depth: int = MISSING
    dropout: float = MISSING


@dataclass
class CnnNode:
    """conf/model/cnn.yaml."""

    _target_: str = "bench.tasks.models.Cnn"
    width: int = MISSING
    depth: int = MISSING


@dataclass
class TorchvisionNode:
    """conf/model/torchvision.yaml and the models that have a file of their own."""

    _target_: str = "bench.tasks.models.torchvision_model"
    name: str = MISSING


@dataclass
class SgdNode:
    """conf/optimizer/sgd.yaml."""

    _target_: str = "torch.optim.SGD"
    _partial_: bool = True
    momentum: float = MISSING
    nesterov: bool = MISSING
    weight_decay: float = MISSING


@dataclass
class AdamwNode:
    """conf/optimizer/adamw.yaml."""

    _target_: str = "torch.optim.AdamW"
    _partial_: bool = True
    weight_decay: float = MISSING
    eps: float = MISSING


@dataclass
class ConstantNode:
    """conf/schedule/constant.yaml."""

    _target_: str = "bench.tasks.schedules.constant"
    _partial_: bool = True


@dataclass
class OneCycleNode:
    """conf/schedule/one_cycle.yaml."""

    _target_: str = "bench.tasks.schedules.one_cycle"
    _partial_: bool = True
    warmup_frac: float = MISSING
    div_factor: float = MISSING
    final_div_factor: float = MISSING


@dataclass
class CosineNode:
    """conf/schedule/cosine.yaml."""

    _target_: str = "bench.tasks.schedules.cosine"
    _partial_: bool = True
    final_lr_frac: float = MISSING


# {group: {name: class}}: a file of the group begins with `- /schema/<group>@_here_: <name>`.
NODES: dict[str, dict[str, type]] = {
    "data": {
        "digits": DigitsNode,
        "fashion_mnist": FashionMnistNode,
        "mnist": MnistNode,
        "cifar10": Cifar10Node,
    },
    "model": {"mlp": MlpNode, "cnn": CnnNode, "torchvision": TorchvisionNode},
    "optimizer": {"sgd": SgdNode, "adamw": AdamwNode},
    "schedule": {"constant": ConstantNode, "one_cycle": OneCycleNode, "cosine": CosineNode},
}
