# Copyright (c) mmseg_semi authors.
"""In which settings configs differ."""
from collections.abc import Mapping, Sequence
from typing import NamedTuple

# What MMEngine's runner reads. A config has other names, too, which only
# help to write these.
SETTINGS = ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper',
            'param_scheduler', 'val_dataloader', 'val_cfg', 'val_evaluator',
            'test_dataloader', 'test_cfg', 'test_evaluator', 'randomness',
            'auto_scale_lr', 'data_preprocessor', 'default_hooks',
            'custom_hooks', 'load_from', 'env_cfg', 'default_scope',
            'eval_protocol', 'tta_model')
UNSET = 'not set'
_LONGEST = 160


class Setting(NamedTuple):
    """A setting, and what each config says."""
    name: str
    values: list[str]


def config_differences(configs: Sequence[Mapping]) -> list[Setting]:
    """Settings that are not the same in all configs.

    A part that some do not have at all is one setting.

    Args:
        configs (Sequence[Mapping]): Whole configs.

    Returns:
        list[Setting]: By dotted name, with the value in each config as text
        of 160 characters at most.
    """
    found: list[Setting] = []
    for name in SETTINGS:
        _compare(name, [config.get(name, _UNSET) for config in configs], found)
    return found


_UNSET = object()


def _compare(name: str, values: list, found: list[Setting]) -> None:
    first = values[0]
    if all(type(v) is type(first) and v == first for v in values):
        return
    if all(isinstance(v, Mapping) for v in values):
        for key in dict.fromkeys(key for value in values for key in value):
            _compare(f'{name}.{key}', [v.get(key, _UNSET) for v in values],
                     found)
    elif _are_alike(values):
        for index, entries in enumerate(zip(*values)):
            _compare(f'{name}[{index}]', list(entries), found)
    else:
        found.append(Setting(name, [_text(value) for value in values]))


def _are_alike(values: list) -> bool:
    """Lists of one length with parts of their own, such as pipelines."""
    if not all(isinstance(v, (list, tuple)) for v in values):
        return False
    return len({len(v)
                for v in values}) == 1 and any(
                    isinstance(entry, (Mapping, list, tuple)) for v in values
                    for entry in v)


def _text(value) -> str:
    if value is _UNSET:
        return UNSET
    text = repr(_plain(value))
    return text if len(text) <= _LONGEST else f'{text[:_LONGEST - 1]}…'


def _plain(value):
    """Without the classes of MMEngine, whose texts are longer."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(entry) for entry in value)
    return value
