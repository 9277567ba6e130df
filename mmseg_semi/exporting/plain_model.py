# Copyright (c) mmseg_semi authors.
"""The config and the weights of a network as a plain segmentor."""
from collections import OrderedDict

from mmengine.config import ConfigDict
from mmseg.models import CascadeEncoderDecoder, EncoderDecoder
from torch import Tensor

from ..models.head_adapters import HeadAdapter, scoring_stage
from ..models.segmentors.semi_segmentor import SemiSegmentor
from ..models.segmentors.wrapped import predicts_itself
from ..models.taps import resolve_tap
from .carried import (TappedPrototypeHead, WindowedCascadeEncoderDecoder,
                      WindowedEncoderDecoder)
from .exportable import Exportable

# Options of sliding evaluation, and what MMSegmentation does without them.
STOCK_WINDOWS = dict(windows='shifted', average='logits', pad_to_crop=False)
_WINDOWED = {
    EncoderDecoder: WindowedEncoderDecoder,
    CascadeEncoderDecoder: WindowedCascadeEncoderDecoder
}
_HEADS = 'semi_heads.'


class NotExportableError(TypeError):
    """A model that has no plain form; the message says why."""


def plain_model(exportable: Exportable) -> ConfigDict:
    """Config of a segmentor that predicts as the model does.

    Auxiliary heads, which only train, are left out.

    Args:
        exportable (Exportable): The trained model.

    Returns:
        ConfigDict: Classes of this package in it are to be brought along.

    Raises:
        NotExportableError: There is no such segmentor.
    """
    cfg = ConfigDict(exportable.network_cfg)
    cfg.train_cfg = dict()
    cfg.pop('pretrained', None)
    cfg.auxiliary_head = None
    _without_sync(cfg)
    if not isinstance(exportable.model, SemiSegmentor):
        return cfg
    cfg.test_cfg = ConfigDict(exportable.model.test_cfg)
    _plain_windows(cfg, exportable)
    if exportable.prototype_head is not None:
        cfg.decode_head = _prototype_head(cfg, exportable)
    return cfg


def plain_weights(exportable: Exportable) -> 'OrderedDict[str, Tensor]':
    """Weights for the segmentor of :func:`plain_model`."""
    state = exportable.network.state_dict()
    chosen = getattr(exportable.model, 'predict_head', None)
    result = OrderedDict()
    if hasattr(state, '_metadata'):  # versions of modules, for loading
        result._metadata = OrderedDict(
            (name, value) for name, value in state._metadata.items()
            if not name.startswith((_HEADS[:-1], 'auxiliary_head')))
    for key, value in state.items():
        if key.startswith('auxiliary_head.'):
            continue
        if chosen is not None:
            if key.startswith('decode_head.'):
                key = f'decode_head.{key}'
            elif key.startswith(f'{_HEADS}{chosen}.'):
                key = key.replace(f'{_HEADS}{chosen}.',
                                  'decode_head.prototypes.')
        if not key.startswith(_HEADS):
            # Of its own: two networks may share what one file shall have.
            result[key] = value.detach().clone()
    if chosen is not None:  # of modules that have other names now
        del result._metadata
    return result


def _without_sync(part) -> None:
    """Norms that wait for other processes are no use to one that predicts."""
    if isinstance(part, dict):
        if part.get('type') == 'SyncBN':
            part['type'] = 'BN'
        part = list(part.values())
    for inner in part if isinstance(part, (list, tuple)) else ():
        _without_sync(inner)


def _plain_windows(cfg: ConfigDict, exportable: Exportable) -> None:
    """Options of windows go where they change nothing."""
    own = {k: cfg.test_cfg.pop(k) for k in STOCK_WINDOWS if k in cfg.test_cfg}
    kind = type(exportable.network)
    itself = exportable.prototype_head is None and predicts_itself(kind)
    changed = {k: v for k, v in own.items() if v != STOCK_WINDOWS[k]}
    if cfg.test_cfg.get('mode') != 'slide' or itself or not changed:
        return
    if kind not in _WINDOWED:
        raise NotExportableError(
            f'test_cfg has {changed}, which MMSegmentation does not have and '
            f'{kind.__name__} cannot be given. Set test_cfg of the config to '
            'what it has: --cfg-options ' +
            ' '.join(f'model.test_cfg.{k}={STOCK_WINDOWS[k]}'
                     for k in changed))
    cfg.type = _WINDOWED[kind].__name__
    cfg.test_cfg.update(changed)


def _prototype_head(cfg: ConfigDict, exportable: Exportable) -> dict:
    """Config of a decode head whose feature the prototypes classify."""
    model, net = exportable.model, exportable.network
    head = exportable.prototype_head
    path, adapter = scoring_stage(net)
    spec = resolve_tap(net, head.tap)
    as_it_is = type(adapter).as_map is HeadAdapter.as_map
    if (path != 'decode_head' or not spec.startswith('decode_head.')
            or not as_it_is):
        raise NotExportableError(
            f'The prototype head {model.predict_head!r} reads {spec} of '
            f'{type(adapter.head).__name__}, which a plain decode head cannot '
            'give it. Export the decode head: predict_head=None.')
    return dict(
        type=TappedPrototypeHead.__name__,
        head=cfg.decode_head,
        prototypes=_term_head(exportable),
        tap=spec.removeprefix('decode_head.'))


def _term_head(exportable: Exportable) -> dict:
    """Config of the term's head that predicts."""
    model = exportable.model
    heads = {}
    for term in model.terms.values():
        heads.update(term.heads())
    return {
        'align_corners': exportable.network.align_corners,
        **heads[model.predict_head], 'num_classes': model.num_classes
    }
