# Copyright (c) mmseg_semi authors.
"""The wrapped segmentor: its config, and what can be wrapped."""
from pathlib import Path
from typing import Iterator, List, Optional, Type, Union

from mmengine.config import Config, ConfigDict
from mmengine.hub import get_config
from mmengine.utils import get_installed_path, import_modules_from_strings
from mmseg.models import (BaseSegmentor, CascadeEncoderDecoder, DepthEstimator,
                          EncoderDecoder)
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS

from ...config_files import PREFIX, find_config
from ...datasets.paths import nearest
from ..decode_heads.stock_query_heads import (has_queries, own_query_head,
                                              with_num_classes)
from ..head_adapters import adapter_class

IGNORED = 255
"""Id of pixels without a label, in all of the package."""

# What a training by terms never calls, and so would silently leave out.
TRAINING = ('loss', '_decode_head_forward_train',
            '_auxiliary_head_forward_train', 'encode_decode')
# Packages whose heads this one has itself.
REPLACED = ('mmdet', )
PREDICTION = ('predict', 'inference', 'whole_inference', 'slide_inference',
              'postprocess_result')


def resolve_segmentor(cfg: Union[str, dict],
                      num_classes: Optional[int] = None,
                      class_weight: bool = True) -> ConfigDict:
    """The model part of a stock config.

    Args:
        cfg (str | dict): A segmentor config; a config file or
            ``'mmseg::family/name.py'``, of which only ``model`` is taken; or
            ``dict(config='mmseg::...', decode_head=dict(...))``, where the
            other keys are merged over the file's.
        num_classes (int, optional): For all heads that score the classes of
            the data set. None leaves them as they are.
        class_weight (bool): Losses keep their weights of classes; those of
            queries do in any case. Defaults to True.

    Returns:
        ConfigDict: A model config, a copy.

    Raises:
        KeyError: The file defines no model.
        ValueError: Weights of classes are not as many as these, or a head
            has another id for pixels without a label.
    """
    cfg = dict(config=cfg) if isinstance(cfg, str) else dict(cfg)
    source = cfg.pop('config', None)
    if source is None:
        resolved = ConfigDict(Config(dict(model=cfg)).copy().model)
    else:
        loaded = _load(source)
        if 'model' not in loaded:
            raise KeyError(f'{source} defines no model to wrap.')
        base = Config(dict(model=loaded.model))
        base.merge_from_dict(dict(model=cfg))
        resolved = ConfigDict(base.model)
    cls = _class_of(resolved)
    if cls is not None:
        check_segmentor(cls)
    if has_queries(resolved.get('decode_head')):
        resolved.decode_head = ConfigDict(own_query_head(resolved.decode_head))
    if num_classes is not None:
        _give_classes(resolved, num_classes)
    if not class_weight:
        _drop_class_weights(resolved)
    _check_class_weights(resolved)
    _check_ignored_id(resolved)
    return resolved


def settings_of(model: dict, name: str) -> dict:
    """A part of a model's config as it acts: the wrapper's over the wrapped.

    Args:
        model (dict): Config of a wrapper or of a plain segmentor.
        name (str): ``test_cfg`` or ``data_preprocessor``.

    Returns:
        dict: Empty where nothing is said.
    """
    own = dict(model.get(name) or {})
    if 'segmentor' not in model or 'type' in own:
        return own
    return {**(resolve_segmentor(model['segmentor']).get(name) or {}), **own}


def _load(source: str) -> Config:
    """A config file; what it wants imported may be missing.

    MMSegmentation's configs of MaskFormer import mmdet, which the heads of
    this package do not need.

    Raises:
        ImportError: What it imports is missing and needed.
    """
    path = Path(find_config(source))
    if '::' in source and not source.startswith(PREFIX):
        package, name = source.split('::', 1)
        path = Path(get_installed_path(package), '.mim', 'configs', name)
        if not path.is_file():  # moved since: the package knows its new name
            try:
                return get_config(source)
            except Exception as err:
                raise FileNotFoundError(f'{package} has no config {name!r}. '
                                        f'{nearest(str(path))}') from err
    elif not path.is_file():
        raise FileNotFoundError(
            f'segmentor: there is no config {source}. {nearest(str(path))}')
    loaded = Config.fromfile(path, import_custom_modules=False)
    wanted = loaded.get('custom_imports') or {}
    modules = wanted.get('imports') or []
    for module in [modules] if isinstance(modules, str) else modules:
        try:
            import_modules_from_strings(module)
        except ImportError as err:
            if wanted.get('allow_failed_imports') or module.split(
                    '.')[0] in REPLACED:
                continue
            raise ImportError(
                f'{source} needs {module}, which cannot be imported ({err}). '
                f'Install {module.split(".")[0]}, for mmpretrain with the '
                'torchvision that fits your torch (docs/install.md).') from err
    return loaded


def _head_configs(cfg: dict) -> Iterator[dict]:
    """The heads that score the classes of the data set."""
    for key in ('decode_head', 'auxiliary_head'):
        heads = cfg.get(key) or []
        for head in heads if isinstance(heads, (list, tuple)) else [heads]:
            cls = _class_of(head)
            adapter = adapter_class(cls) if cls else None
            if not (adapter and adapter.own_classes):
                yield head


def _class_of(cfg: dict) -> Optional[type]:
    kind = cfg.get('type')
    return MODELS.get(kind) if isinstance(kind, str) else kind


def _parts(cfg: dict, key: str) -> List[dict]:
    """This config and all inside it that have ``key``."""
    found = [cfg] if key in cfg else []
    for value in cfg.values():
        inner = value if isinstance(value, (list, tuple)) else [value]
        for part in inner:
            if isinstance(part, dict):
                found += _parts(part, key)
    return found


def _give_classes(cfg: ConfigDict, num_classes: int) -> None:
    """Write the number of classes wherever a head says it."""
    if has_queries(cfg.get('decode_head')):
        cfg.decode_head = ConfigDict(
            with_num_classes(cfg.decode_head, num_classes))
    for head in _head_configs(cfg):
        if has_queries(head):
            continue
        for part in _parts(head, 'num_classes') or [head]:
            cls = _class_of(part)
            if (cls and issubclass(cls, BaseDecodeHead)
                    and part.get('out_channels') not in (None, 1)):
                part['out_channels'] = num_classes
            part['num_classes'] = num_classes


def _check_class_weights(cfg: dict) -> None:
    for head in _head_configs(cfg):
        known = [p['num_classes'] for p in _parts(head, 'num_classes')]
        for part in _parts(head, 'class_weight') if known else []:
            weights = part['class_weight']
            if not isinstance(weights, (list, tuple)):
                continue
            # The last one of queries is "no object".
            if len(weights) != known[0] + has_queries(head):
                raise ValueError(
                    f'{head.get("type")}: {part.get("type", "a loss")} has '
                    f'class_weight of {len(weights)} classes, the model '
                    f'{known[0]}. Set model.class_weight: None for no '
                    "weights, 'balanced' for those of your labelled masks, "
                    'or a number for each class.')


def _drop_class_weights(cfg: dict) -> None:
    for head in _head_configs(cfg):
        for part in [] if has_queries(head) else _parts(head, 'class_weight'):
            part['class_weight'] = None


def _check_ignored_id(cfg: dict) -> None:
    for head in _head_configs(cfg):
        ignored = head.get('ignore_index', IGNORED)
        if ignored != IGNORED:
            raise ValueError(
                f'{head.get("type")}: ignore_index={ignored}, but pixels '
                f'without a label have the id {IGNORED} in a training of this '
                f'package. Leave it out of the head, and give these pixels '
                f'{IGNORED} in the masks (reduce_zero_label=True of the data '
                'set does so with id 0, and takes 1 off the others).')


def drop_pretrained(cfg: dict) -> None:
    """Take every file of pretrained weights out of a config, in place."""
    for part in _parts(cfg, 'pretrained'):
        part['pretrained'] = None
    for part in _parts(cfg, 'init_cfg'):
        init = part['init_cfg']
        inits = init if isinstance(init, (list, tuple)) else [init]
        kept = [i for i in inits if i and i.get('type') != 'Pretrained']
        part['init_cfg'] = kept or None


def check_segmentor(cls: Type[BaseSegmentor]) -> None:
    """Refuse a class whose own way to train would be left out.

    Args:
        cls (type): Of the wrapped segmentor.

    Raises:
        TypeError: Names what does not fit and what does.
    """
    if issubclass(cls, DepthEstimator) or not issubclass(cls, EncoderDecoder):
        raise TypeError(
            f'{cls.__name__} cannot be wrapped: it is no EncoderDecoder whose '
            'decode head scores the classes of every pixel. Wrap an '
            'EncoderDecoder, a CascadeEncoderDecoder or a subclass of them.')
    known = EncoderDecoder, CascadeEncoderDecoder
    own = [
        name for name in TRAINING
        if getattr(cls, name) not in [getattr(k, name) for k in known]
    ]
    if own:
        raise TypeError(
            f'{cls.__name__} has its own {" and ".join(own)}, which a '
            'training by loss terms would never call: the terms read encoder '
            "and heads. Move what it does into a head's forward, "
            'loss_by_feat or predict, or into a loss term '
            '(docs/add_a_method.md).')


def predicts_itself(cls: Type[BaseSegmentor]) -> bool:
    """Whether the class brings its own prediction."""
    known = EncoderDecoder, CascadeEncoderDecoder
    return any(
        getattr(cls, name) not in [getattr(k, name) for k in known]
        for name in PREDICTION)
