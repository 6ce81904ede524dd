from __future__ import annotations

import argparse
import enum
from collections import namedtuple
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from omegaconf import OmegaConf

from bench.core.identity import config_hash
from bench.runs.plain_config import plain, plain_config

TARGET = {"metric": "accuracy", "value": 0.9, "ladder": [0.8]}


class Colour(enum.Enum):
    RED = 1


@dataclass
class Options:
    width: int = 8


Pair = namedtuple("Pair", "first second")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.float64(0.1), 0.1),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.arange(2), [0, 1]),
        (torch.tensor(1.5), 1.5),
        (torch.tensor([1, 2]), [1, 2]),
        (torch.Size([2, 3]), [2, 3]),
        (np.dtype("float32"), "float32"),
        (torch.float32, "torch.float32"),
        (torch.device("cpu"), "cpu"),
        (Path("a/b"), "a/b"),
        (Colour.RED, "Colour.RED"),
        (torch.nn.ReLU, "torch.nn.modules.activation.ReLU"),
        (plain, "bench.runs.plain_config.plain"),
        ({10, 9, 1}, [1, 9, 10]),
        ({"b", 1}, ["b", 1]),
        ((0.9, 0.99), [0.9, 0.99]),
        (Pair(1, 2), [1, 2]),
        (argparse.Namespace(lr=np.float32(0.5)), {"lr": 0.5}),
        (Options(), {"width": 8}),
        ({1: 2, "a": {None: 3}}, {"1": 2, "a": {"None": 3}}),
        (OmegaConf.create({"w": 1, "deep": [{"v": "${w}"}]}), {"w": 1, "deep": [{"v": 1}]}),
        (None, None),
    ],
)
def test_what_has_a_plain_form_is_recorded_in_it(value: Any, expected: Any) -> None:
    kept = plain_config({"key": value}, TARGET)
    assert kept == {"key": expected, "target": TARGET}
    assert yaml.safe_load(yaml.safe_dump(kept)) == kept
    assert len(config_hash(kept)) == 12


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"a": {"act": torch.relu}}, r"config\['a'\]\['act'\]: a value of type builtin_function"),
        ({"a": [1, object()]}, r"config\['a'\]\[1\]: a value of type object cannot"),
        ({"a": b"x"}, r"config\['a'\]: a value of type bytes"),
        ({"a": np.longdouble(1)}, r"config\['a'\]: a value of type longdouble"),
        ({"a": torch.eye(2).to_sparse()}, r"config\['a'\]: a value of type Tensor"),
        ({1: 2, "1": 3}, r"config\['1'\]: two keys have this text"),
        (OmegaConf.create({"m": {"w": "???"}}), r"config\['m'\]\['w'\]: Missing mandatory value"),
        ([("a", 1)], "must be a mapping"),
        ({"target": "imagenet"}, r"config\['target'\]='imagenet': contradicts the target"),
        ({"target": {"value": 0.8}}, r"config\['target'\]=\{'value': 0.8\}: contradicts"),
    ],
)
def test_what_has_none_is_refused_by_its_key_in_one_line(config: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refusal:
        plain_config(config, TARGET)
    assert "\n" not in str(refusal.value)


def test_a_target_that_says_the_same_is_fine() -> None:
    assert plain_config({"target": {"value": 0.9, "ladder": [0.8]}}, TARGET)["target"] == TARGET


def test_plain_values_stay_themselves() -> None:
    values = {"a": [1, 0.5, True, None, "x"], "b": {}}
    assert plain(values, "config") == values
