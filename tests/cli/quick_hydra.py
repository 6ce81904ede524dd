"""Makes Hydra compose in a fraction of the time with the same result, by leaving out repeated work.

Each time that it composes, Hydra reads all files of conf/ anew, copies every schema that it knows,
and notes for each file what was chosen so far, in case its defaults refer to that by `${...}`. A
sweep composes each of its jobs several times, and many tests ask for the same overrides. Here each
configuration is composed once per process, and the files of each choice of options are merged once:
values are set in a copy. Whoever asks again gets a copy. After each file, OmegaConf sets the parent
of every node again; here it does so once. Overrides and interpolations are parsed once. To find the
file of a command, Hydra has the source lines of all frames looked up, and for each of them inspect
may go through all modules: the slowest part of a short command in a process that has imported
everything. Real commands that tests start in a process of their own have Hydra as it is.
"""

from __future__ import annotations

import copy
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from types import FrameType
from typing import Any
from unittest.mock import patch

from hydra._internal import defaults_list, utils
from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra._internal.config_repository import ConfigRepository, IConfigRepository
from hydra._internal.defaults_list import Overrides
from hydra.core.config_store import ConfigStore
from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobRuntime
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, grammar_parser
from omegaconf import base as omegaconf_base
from omegaconf.base import Box, Node

from bench.core.files import config_dir
from tests.cli.quick_copies import quick_copies

# What lies there does not change while tests run; what lies in a test's own folder may.
_UNCHANGING = {("file", str(config_dir())), ("pkg", "hydra.conf"), ("structured", "")}
# Hydra uses or replaces these after it has set the values of the command line.
_SET_EARLY = ("hydra.job", "hydra.runtime", "hydra.overrides")
_parsed: dict[str, Override] = {}
_read: dict[tuple[str, ...], ConfigResult] = {}
_placed: dict[str, ConfigResult] = {}
_merged: dict[str, DictConfig] = {}
_composed: dict[tuple[object, ...], DictConfig] = {}


@contextmanager
def quick_hydra() -> Iterator[None]:
    """Have Hydra compose quickly in this process; only of 1.3 the insides are known here."""
    if not version("hydra-core").startswith("1.3."):
        yield
        return
    compose = _composing_once(ConfigLoaderImpl._load_configuration_impl)
    merge = _merging_once(ConfigLoaderImpl._compose_config_from_defaults_list)
    load = _loading_once(ConfigRepository.load_config)
    place = _placing_once(ConfigLoaderImpl._load_single_config)
    parse = _parsing_once(OverridesParser.parse_rule)
    note = _noting_where_needed(defaults_list._create_interpolation_map)
    detect = _detecting_without_lines(utils.detect_calling_file_or_module_from_stack_frame)
    with (
        patch.object(ConfigLoaderImpl, "_load_configuration_impl", compose),
        patch.object(ConfigLoaderImpl, "_compose_config_from_defaults_list", merge),
        patch.object(ConfigRepository, "load_config", load),
        patch.object(ConfigLoaderImpl, "_load_single_config", place),
        patch.object(ConfigStore, "__deepcopy__", _itself, create=True),
        patch.object(OverridesParser, "parse_rule", parse),
        patch.object(omegaconf_base, "parse", cache(grammar_parser.parse)),
        patch.object(defaults_list, "_create_interpolation_map", note),
        patch.object(utils, "detect_calling_file_or_module_from_stack_frame", detect),
        quick_copies(),
    ):
        yield


def _changes(sources: ConfigLoaderImpl | IConfigRepository) -> bool:
    """Whether a test may change files that are read."""
    read = {(source.scheme(), source.path) for source in sources.get_sources()}
    return not read <= _UNCHANGING


def _composing_once(compose: Callable[..., DictConfig]) -> Callable[..., DictConfig]:
    """Compose once for each command, overrides and mode; the current folder is set anew."""

    def compose_once(
        loader: ConfigLoaderImpl, config_name: str | None, overrides: list[str], **options: Any
    ) -> DictConfig:
        if _changes(loader) or any("searchpath" in each for each in overrides):
            return compose(loader, config_name, overrides, **options)
        job = JobRuntime().get("name")
        key = (config_name, *overrides, *sorted(options.items()), job)
        if key not in _composed:
            values = _values(loader, config_name, overrides, options["run_mode"])
            if values:
                chosen = [each for each in overrides if each not in values]
                config = compose_once(loader, config_name, chosen, **options)
                _composed[key] = _with_values(config, overrides, values)
            else:
                _composed[key] = compose(loader, config_name, overrides, **options)
        config = copy.deepcopy(_composed[key])
        config.hydra.runtime.cwd = os.getcwd()
        return config

    return compose_once


def _values(
    loader: ConfigLoaderImpl, config_name: str | None, overrides: list[str], mode: RunMode
) -> dict[str, Override | None]:
    """The overrides that choose no file; None for those that are swept, which set nothing yet.

    Empty if only Hydra knows what they do.
    """
    parsed, repo = loader._parse_overrides_and_create_caching_repo(config_name, overrides)
    setting = Overrides(repo=repo, overrides_list=parsed).config_overrides
    swept = [each for each in parsed if each.is_sweep_override()]
    early = [each for each in setting if each.key_or_group.startswith(_SET_EARLY)]
    if early or (swept and mode is RunMode.RUN) or len(set(overrides)) < len(overrides):
        return {}
    values = {str(each.input_line): each for each in setting}
    return values | dict.fromkeys(str(each.input_line) for each in swept)


def _with_values(
    config: DictConfig, overrides: list[str], values: dict[str, Override | None]
) -> DictConfig:
    """Set values in a configuration whose files have been merged, as Hydra does."""
    ConfigLoaderImpl._apply_overrides_to_config([each for each in values.values() if each], config)
    parsed = OverridesParser.create().parse_overrides(overrides)
    ours = [each for each in parsed if not each.is_hydra_override()]
    config.hydra.overrides.task = [each.input_line for each in ours]
    config.hydra.overrides.hydra = [each.input_line for each in parsed if each not in ours]
    names = config.hydra.job.config.override_dirname
    config.hydra.job.override_dirname = get_overrides_dirname(
        ours, names.exclude_keys, names.item_sep, names.kv_sep
    )
    return config


def _parsing_once(parse: Callable[..., Any]) -> Callable[..., Any]:
    """Parse each override once; who asks for it sets its loader, but does not change its value."""

    def parse_once(parser: OverridesParser, text: str, rule: str) -> Any:
        if rule != "override":
            return parse(parser, text, rule)
        if text not in _parsed:
            _parsed[text] = parse(parser, text, rule)
        return copy.copy(_parsed[text])

    return parse_once


def _merging_once(merge: Callable[..., DictConfig]) -> Callable[..., DictConfig]:
    """Merge the same files once."""

    def merge_once(
        loader: ConfigLoaderImpl, defaults: list[ResultDefault], repo: IConfigRepository
    ) -> DictConfig:
        if _changes(repo):
            return merge(loader, defaults, repo)
        key = repr(defaults)
        if key not in _merged:
            with patch.object(Box, "_re_parent", _set_parent_of_children):
                _merged[key] = merge(loader, defaults, repo)
            _merged[key]._re_parent()
        return copy.deepcopy(_merged[key])

    return merge_once


def _loading_once(
    load: Callable[[ConfigRepository, str], ConfigResult | None],
) -> Callable[[ConfigRepository, str], ConfigResult | None]:
    """Read each file of conf/ once. Hydra changes only what `_load_single_config` returns."""

    def load_once(repository: ConfigRepository, config_path: str) -> ConfigResult | None:
        if _changes(repository):
            return load(repository, config_path)
        key = (config_path, *(source.path for source in repository.sources))
        if key in _read:
            return _read[key]
        result = load(repository, config_path)
        if result is not None and not result.is_schema_source:  # schemas are registered anew
            _read[key] = result
        return result

    return load_once


def _placing_once(place: Callable[..., ConfigResult]) -> Callable[..., ConfigResult]:
    """Put what a file sets where it belongs in the configuration once."""

    def place_once(
        loader: ConfigLoaderImpl, default: ResultDefault, repo: IConfigRepository
    ) -> ConfigResult:
        if _changes(repo):
            return place(loader, default, repo)
        key = repr(default)
        if key in _placed:
            return copy.deepcopy(_placed[key])
        result = place(loader, default, repo)
        if result.is_schema_source:
            return result
        _placed[key] = result
        return copy.deepcopy(result)

    return place_once


def _set_parent_of_children(box: Box) -> None:
    """Set the parent of a node's own children, which were merged before it."""
    content = box.__dict__["_content"]
    children = content.values() if isinstance(content, dict) else content
    for child in children if isinstance(children, Iterable) else ():
        if isinstance(child, Node):
            child._set_parent(box)


def _itself(store: ConfigStore, memo: dict[int, Any]) -> ConfigStore:
    """There is one store, and what is loaded from it is a copy in any case."""
    return store


def _noting_where_needed(note: Callable[..., DictConfig]) -> Callable[..., DictConfig]:
    """Note what was chosen only for defaults that refer to it."""

    def note_where_needed(overrides: Any, defaults: list[Any], self_added: bool) -> DictConfig:
        if any(default.is_interpolation() for default in defaults):
            return note(overrides, defaults, self_added)
        return OmegaConf.create()

    return note_where_needed


def _detecting_without_lines(detect: Callable[[int], Any]) -> Callable[[int], Any]:
    """Find the file of a command without the source lines of the frames, which Hydra ignores."""

    def detect_without_lines(stack_depth: int) -> Any:
        with patch.object(inspect, "stack", _frames_without_lines):
            return detect(stack_depth + 1)

    return detect_without_lines


def _frames_without_lines() -> list[inspect.FrameInfo]:
    frames = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        frames.append(
            inspect.FrameInfo(frame, code.co_filename, frame.f_lineno, code.co_name, None, None)
        )
        frame = frame.f_back
    return frames
